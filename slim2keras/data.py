"""Images for the command line: a folder, or an ``.npz`` of images that are preprocessed already."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import DataReadError
from slim2keras.nets import find_net
from slim2keras.preprocessing import image_size, pipeline_of, preprocess_for_eval
from slim2keras.recognition import NetSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slim2keras.conversion import Progress

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_SHOWN = 5


@dataclass(frozen=True)
class ImageBatches:
    """Batches of images, or of (images, labels), in the same order each time they are gone through.

    Attributes:
        images: Images, float32, (count, height, width, channels); or files to read.
        labels: Number of the class of each, ``None`` if unknown.
        batch_size: Images a batch; the last may have fewer.
        spec: Network that the images are for.
    """

    images: NDArray[Any] | Sequence[Path]
    labels: NDArray[Any] | None
    batch_size: int
    spec: NetSpec

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), self.batch_size):
            part = slice(start, start + self.batch_size)
            chosen = self.images[part]
            images = chosen if isinstance(chosen, np.ndarray) else np.stack([_read_image(p, self.spec) for p in chosen])
            yield images if self.labels is None else (images, self.labels[part])


def image_counter(
    progress: Progress | None, what: str, batches: Iterable[Any], sweeps: int = 1
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


def open_images(path: Path, spec: NetSpec, batch_size: int) -> ImageBatches:
    """Open the images of a folder or of an ``.npz``.

    Args:
        path: Folder of images, or of one folder a class, which are numbered by name; or ``.npz`` with float32
            ``images``, (count, height, width, channels), preprocessed, and maybe ``labels``, (count,).
        spec: Network that they are for: its size, channels and preprocessing.
        batch_size: Images a batch.

    Raises:
        DataReadError: If nothing there can be read, or it does not fit the network.
    """
    if path.is_dir():
        return _open_folder(path, spec, batch_size)
    if not path.is_file():
        raise DataReadError(f"There are no images {path}. Give a folder of images, or an .npz.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays.get("labels")
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        AttributeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataReadError(
            f"{path} is no .npz with an array `images` (and maybe `labels`): {type(error).__name__}: {error}."
        ) from error
    return ImageBatches(_checked(images, path, spec), _checked_labels(labels, len(images), path), batch_size, spec)


def _checked(images: NDArray[Any], path: Path, spec: NetSpec) -> NDArray[Any]:
    wanted = spec.input_shape
    fits = images.ndim == len(wanted) + 1 and all(
        size in (None, given) for size, given in zip(wanted, images.shape[1:], strict=True)
    )
    if images.dtype != np.float32 or not fits or not len(images):
        raise DataReadError(
            f"{path} has images {images.shape} of {images.dtype}; {spec.net} takes (count, "
            f"{', '.join('any' if size is None else str(size) for size in wanted)}) of float32, preprocessed. For "
            "another size: --input-shape H,W,C."
        )
    return images


def _checked_labels(labels: NDArray[Any] | None, count: int, path: Path) -> NDArray[Any] | None:
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise DataReadError(
            f"{path} has labels {labels.shape} of {labels.dtype}; wanted are ({count},) integers, a class an image."
        )
    return labels


def _open_folder(path: Path, spec: NetSpec, batch_size: int) -> ImageBatches:
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if not folders:
        return ImageBatches(_files_in(path), None, batch_size, spec)
    files = [(file, number) for number, folder in enumerate(folders) for file in _files_in(folder)]
    classes = spec.arguments["num_classes"] or 0
    # A network with a background class has one more than there are folders.
    offset = {classes: 0, classes - 1: 1}.get(len(folders))
    labels = None if offset is None else np.asarray([number + offset for _, number in files])
    return ImageBatches([file for file, _ in files], labels, batch_size, spec)


def _files_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        others = ", ".join(sorted(item.name for item in folder.iterdir())[:_SHOWN]) or "nothing"
        raise DataReadError(f"{folder} has no images (.jpg, .png, .bmp), but {others}.")
    return files


def _read_image(path: Path, spec: NetSpec) -> NDArray[Any]:
    import tensorflow as tf

    channels = spec.input_shape[-1] or find_net(spec.net).default_input_shape[-1]
    try:
        image = tf.io.decode_image(tf.io.read_file(str(path)), channels=channels, expand_animations=False)
    except tf.errors.OpError as error:
        raise DataReadError(f"{path} cannot be read as an image: {error.message.splitlines()[0][:200]}.") from error
    prepared: NDArray[Any] = preprocess_for_eval(image, pipeline_of(spec).name, *image_size(spec)).numpy()
    return prepared
