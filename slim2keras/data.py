"""Images for the command line: a folder, or an ``.npz`` of images that are preprocessed already."""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import DataReadError, did_you_mean
from slim2keras.network import Network
from slim2keras.pages import plural
from slim2keras.preprocessing import pipeline_of, preprocess
from slim2keras.progress import StepProgress
from slim2keras.scopes import natural_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_LABELS_FILE = "labels.txt"
_SHARD = re.compile(r"\.tfrecord|-\d{5}-of-\d{5}$")
_SHOWN = 5
_IGNORE_LABELS = "To go on without accuracy: labels=False (command line: --ignore-labels)."


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
        return np.stack([_read_image(self.images[number], self.network) for number in chosen])


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


def open_images(path: Path, network: Network, batch_size: int, *, labels: bool = True) -> ImageBatches:
    """Open the images of a folder or of an ``.npz``.

    Args:
        path: Folder of images, or of one folder a class; or ``.npz`` with float32 ``images``, (count, height, width,
            channels), preprocessed, and maybe ``labels``, (count,). Folders are numbered by a ``labels.txt`` that lies
            there (slim's lines ``0:daisy``, or a name a line), else by name, from 1 where the network has a class more
            than there are folders: slim's background.
        network: That they are for: its size, channels and preprocessing.
        batch_size: Images a batch.
        labels: Whether labels are wanted.

    Raises:
        DataReadError: If nothing there can be read, or it does not fit the network.
    """
    check_images_path(path)
    if path.is_dir():
        return _open_folder(path, network, batch_size, labels=labels)
    images, numbers = _read_arrays(path)
    images = _checked(images, path, network)
    unlabelled = _reason_unlabelled(network, labels=labels)
    if numbers is None or unlabelled is not None:
        return ImageBatches(images, None, batch_size, network, unlabelled or "")
    numbers = _checked_labels(numbers, len(images), path, network)
    return ImageBatches(images, numbers, batch_size, network, f"labels as they stand in {path.name}")


def check_images_path(path: Path) -> None:
    """Refuse a path where nothing is, before anything else is done.

    Raises:
        DataReadError: If there is no such file or folder.
    """
    if not path.exists():
        raise DataReadError(f"There are no images {path}. Give a folder of images, or an .npz.")


def _reason_unlabelled(network: Network, *, labels: bool) -> str | None:
    if not labels:
        return "labels ignored, as asked"
    return None if network.num_classes else f"no labels: {network.name} ends in its features, without classes"


def _read_arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["images"], arrays.get("labels")
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
            _describe_other_file(path)
            or f"{path} is no .npz with an array `images` (and maybe `labels`): {type(error).__name__}: {error}."
        ) from error


def _describe_other_file(path: Path) -> str:
    """What a file is that people give for images, and what to give instead; empty if it is none of these."""
    import tensorflow as tf

    instead = "Give a folder of images or an .npz; in Python, diagnose and recalibrate take any tf.data.Dataset."
    with contextlib.suppress(tf.errors.OpError, StopIteration):
        next(iter(tf.data.TFRecordDataset(str(path))))
        return f"{path} is a file of TFRecords, which the command line does not read. {instead}"
    with path.open("rb") as file:
        head = file.read(64)
    if head and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return f"{path} is no .npz but text, beginning {head[:32].decode('ascii')!r}. {instead}"
    return f"{path} is one image. Give the folder that it lies in." if path.suffix.lower() in _IMAGE_SUFFIXES else ""


def _checked(images: NDArray[Any], path: Path, network: Network) -> NDArray[Any]:
    wanted = network.input_shape
    if images.ndim == len(wanted) + 1 and images.shape[-1] != wanted[-1]:
        raise DataReadError(
            f"{path} has images of {images.shape[-1]} channels; {network.name} takes {wanted[-1]}, as its first "
            "weights do."
        )
    fits = images.ndim == len(wanted) + 1 and all(
        size in (None, given) for size, given in zip(wanted, images.shape[1:], strict=True)
    )
    if images.dtype != np.float32 or not fits or not len(images):
        raise DataReadError(
            f"{path} has images {images.shape} of {images.dtype}; {network.name} takes (count, "
            f"{', '.join('any' if size is None else str(size) for size in wanted)}) of float32, preprocessed. For "
            "another size: --input-shape H,W,C."
        )
    return images


def _checked_labels(labels: NDArray[Any], count: int, path: Path, network: Network) -> NDArray[Any]:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataReadError(
            f"{path} has labels {labels.shape} of {labels.dtype}; wanted are ({count},) integers, a class an image."
        )
    classes = network.num_classes or 0
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        first = outside[0]
        raise DataReadError(
            f"{path} has {len(outside)} labels that are no classes of the network, which has {classes}, 0 to "
            f"{classes - 1}: the first is {labels[first]}, of image {first}. {_IGNORE_LABELS}"
        )
    return labels


def _open_folder(path: Path, network: Network, batch_size: int, *, labels: bool) -> ImageBatches:
    pipeline_of(network)
    if None in network.image_size:
        raise DataReadError(f"{path} has images to resize, and {network.name} takes any size. Give an .npz.")
    folders = sorted(
        (folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith(".")),
        key=lambda folder: natural_order(folder.name),
    )
    if not folders:
        files = _files_in(path)
        return ImageBatches(files, None, batch_size, network, "no labels: one folder of images")
    found = [(file, number) for number, folder in enumerate(folders) for file in _files_in(folder)]
    files, folder_of = [file for file, _ in found], np.asarray([number for _, number in found])
    unlabelled = _reason_unlabelled(network, labels=labels)
    if unlabelled is not None:
        return ImageBatches(files, None, batch_size, network, unlabelled)
    numbers, numbering = _number_folders(path, [folder.name for folder in folders], network.num_classes or 0)
    loose = sum(file.suffix.lower() in _IMAGE_SUFFIXES for file in path.iterdir())
    numbering += f"; {plural(loose, 'image')} beside the folders left out" if loose else ""
    return ImageBatches(files, np.asarray(numbers)[folder_of], batch_size, network, numbering)


def _number_folders(path: Path, names: Sequence[str], classes: int) -> tuple[list[int], str]:
    """Class of each folder, and how it was found, in words."""
    labels_file = path / _LABELS_FILE
    if labels_file.is_file():
        return _numbers_of_labels_file(
            labels_file, names, classes
        ), f"{len(names)} folders, classes as in {labels_file}"
    if all(name.isdecimal() for name in names) and len(set(map(int, names))) == len(names):
        by_number = [int(name) for name in names]
        if max(by_number) < classes:
            return by_number, f"{len(names)} folders are called by the numbers of their classes"
    first = classes - len(names)
    if first not in (0, 1):
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise DataReadError(
            f"{path} has {len(names)} folders ({shown}), and "
            f"the network {classes} classes, so it is not clear which is which. Say it in {labels_file}, a line such "
            f"as 0:{names[0]} for each. {_IGNORE_LABELS}"
        )
    why = "; class 0 is slim's background" if first else ""
    return [*range(first, classes)], (
        f"{len(names)} folders by name, {names[0]} is class {first} and {names[-1]} class {classes - 1}{why}"
    )


def _numbers_of_labels_file(path: Path, names: Sequence[str], classes: int) -> list[int]:
    known = read_label_names(path)
    unknown = [name for name in names if name not in known]
    outside = [f"{name} ({known[name]})" for name in names if name in known and known[name] >= classes]
    problems = []
    if unknown:
        problems.append(f"has no line for {', '.join(unknown[:_SHOWN])}.{did_you_mean(unknown[0], known)}")
    if outside:
        problems.append(f"numbers beyond the {classes} classes of the network: {', '.join(outside[:_SHOWN])}.")
    if problems:
        raise DataReadError(f"{path} {' It '.join(problems)} {_IGNORE_LABELS}")
    return [known[name] for name in names]


def read_label_names(path: Path) -> dict[str, int]:
    """Read a ``labels.txt``: name of a class to its number.

    Args:
        path: Lines ``0:daisy``, as slim's ``dataset_utils.write_label_file`` writes them; or a name a line, from 0.

    Raises:
        DataReadError: If it cannot be read, is empty, or gives a name or a number twice.

    Source: research/slim/datasets/dataset_utils.py.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataReadError(f"{path} cannot be read as text: {error}.") from error
    numbered = [match.groups() for line in lines if (match := re.fullmatch(r"(\d{1,9}):(.+)", line))]
    pairs = numbered if len(numbered) == len(lines) else [(str(number), line) for number, line in enumerate(lines)]
    found = {name.strip(): int(number) for number, name in pairs}
    if not lines or (numbered and pairs is not numbered) or len({*found.values()}) < len(lines):
        raise DataReadError(
            f"{path} is no list of {len(lines)} classes: wanted are lines such as 0:daisy, or a name a line, each once."
        )
    return found


def _files_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)
    if files:
        return files
    inside = sorted(folder.iterdir())
    others = ", ".join(item.name for item in inside[:_SHOWN]) or "nothing"
    hint = ""
    if any(_SHARD.search(item.name) for item in inside):
        hint = " TFRecords are not read: give a folder of images, an .npz, or in Python any tf.data.Dataset."
    elif any(item.is_dir() for item in inside):
        hint = f" If {folder.name} is one of several splits, give it by itself: {folder}."
    raise DataReadError(f"{folder} has no images (.jpg, .png, .bmp), but {others}.{hint}")


def _read_image(path: Path, network: Network) -> NDArray[Any]:
    import tensorflow as tf

    try:
        channels = network.input_shape[-1]
        image = tf.io.decode_image(tf.io.read_file(str(path)), channels=channels, expand_animations=False)
    except tf.errors.OpError as error:
        raise DataReadError(f"{path} cannot be read as an image: {error.message.splitlines()[0][:200]}.") from error
    prepared: NDArray[Any] = preprocess(image, network).numpy()
    return prepared
