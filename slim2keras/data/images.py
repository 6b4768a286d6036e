"""Images as the doctor, recalibration and evaluation go through them: more than once, broken ones named."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.data.batches import Reading, check_fit, evaluation_batches
from slim2keras.data.broken import SKIP, broken_images_named
from slim2keras.data.examples import Examples
from slim2keras.data.labels import shown
from slim2keras.data.listing import list_for_network
from slim2keras.graphs.network import Network
from slim2keras.progress import StepProgress

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ImageBatches:
    """Batches of images, or of (images, labels), in the same order each time.

    slim trains on shuffled images. Read class by class, a batch would hold one class or two, and its statistics would
    not be those of training.

    Attributes:
        examples: The images.
        network: That they are for.
        batch_size: Images a batch; the last may have fewer.
        shuffle_seed: Of a random order; ``None`` keeps that listed.
        reading: Preprocessing options, parallelism and orientation.
        slices: (worker, workers): the batches that are this worker's.
        way_on: What to do about a broken image.
    """

    examples: Examples
    network: Network
    batch_size: int
    shuffle_seed: int | None = 0
    reading: Reading = field(default_factory=Reading)
    slices: tuple[int, int] = (0, 1)
    way_on: str = SKIP

    def __len__(self) -> int:
        """Number of images."""
        return len(self.examples)

    def __iter__(self) -> Iterator[Any]:
        with broken_images_named(self.examples, self.network.input_shape[-1], self.way_on):
            yield from self._batches.as_numpy_iterator()

    @functools.cached_property
    def _batches(self) -> tf.data.Dataset:
        return evaluation_batches(
            self.examples,
            self.network,
            self.batch_size,
            shuffle_seed=self.shuffle_seed,
            slices=self.slices,
            reading=self.reading,
        )

    def share(self, worker: int, workers: int) -> ImageBatches:
        """The batches of one of several workers; the others' are not read."""
        return replace(self, slices=(worker, workers))

    @property
    def numbering(self) -> str:
        """How the labels were numbered, or why there are none, and which images were left out, in words."""
        left_out = self.examples.broken
        return (
            f"{self.examples.numbering}; left out, not readable: {shown(left_out)}"
            if left_out
            else self.examples.numbering
        )


def open_images(
    path: str | Path,
    network: Network,
    batch_size: int,
    *,
    split: str | None = None,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
    workers: int | None = None,
) -> ImageBatches:
    """Open images for a network, see ``data.listing.list_examples``.

    Args:
        path: Folder of images, slim's TFRecords, or an ``.npz``.
        network: That they are for: its size, channels, classes and preprocessing.
        batch_size: Images a batch.
        split: ``"train"``, ``"validation"`` or ``"test"``, where the data has splits.
        labels: Whether labels are wanted.
        labels_offset: Taken off the numbers in the data; slim's flag.
        skip_broken: Leave images out that cannot be read.
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.

    Raises:
        DataReadError: If nothing there can be read, or it does not fit the network.
        UnsupportedArgumentError: If nobody knows the preprocessing.
    """
    examples = list_for_network(
        path, network, split=split, labels=labels, labels_offset=labels_offset, skip_broken=skip_broken
    )
    check_fit(examples, network)
    return ImageBatches(examples, network, batch_size, reading=Reading(workers=workers))


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
