"""Images in batches, in a seeded order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import DataReadError
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import preprocess
from slim2keras.progress import StepProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageBatches:
    """Batches of images, or of (images, labels), shuffled, in the same order each time.

    slim trains on shuffled images. Read class by class, a batch would hold one class or two, and its statistics would
    not be those of training.

    Attributes:
        images: Images, float32, (count, height, width, channels); or files to read.
        labels: Number of the class of each, ``None`` if unknown.
        batch_size: Images a batch; the last may have fewer.
        network: That the images are for.
        numbering: How the labels were numbered, or why there are none, in words; empty if nobody asked for any.
        seed: Of the order.
    """

    images: NDArray[Any] | Sequence[Path]
    labels: NDArray[Any] | None
    batch_size: int
    network: Network
    numbering: str = ""
    seed: int = 0

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __iter__(self) -> Iterator[Any]:
        order = np.random.RandomState(self.seed).permutation(len(self))
        for start in range(0, len(self), self.batch_size):
            chosen = order[start : start + self.batch_size]
            images = self._read(chosen)
            yield images if self.labels is None else (images, self.labels[chosen])

    def _read(self, chosen: NDArray[Any]) -> NDArray[Any]:
        if isinstance(self.images, np.ndarray):
            found: NDArray[Any] = self.images[chosen]
            return found
        return np.stack([read_image(self.images[number], self.network) for number in chosen])


def image_counter(
    progress: StepProgress | None, what: str, batches: Iterable[Any], sweeps: int = 1
) -> Callable[[int], None]:
    """Something to call with the number of images of each batch, that tells ``progress`` how many are done.

    Args:
        progress: Of the command line; told a total of 0 where the number of images is unknown.
        what: Is being done.
        batches: To count.
        sweeps: Times that they are gone through.
    """
    total = sweeps * len(batches) if isinstance(batches, ImageBatches) else 0
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        if progress:
            progress(what, done, total)

    return count


def read_image(path: Path, network: Network) -> NDArray[Any]:
    """Read an image file and prepare it for a network.

    Raises:
        DataReadError: If it cannot be read.
    """
    import tensorflow as tf

    try:
        channels = network.input_shape[-1]
        image = tf.io.decode_image(tf.io.read_file(str(path)), channels=channels, expand_animations=False)
    except tf.errors.OpError as error:
        raise DataReadError(f"{path} cannot be read as an image: {error.message.splitlines()[0][:200]}.") from error
    prepared: NDArray[Any] = preprocess(image, network).numpy()
    return prepared
