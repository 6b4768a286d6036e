"""Images of a folder, or of an ``.npz``."""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.batches import ImageBatches
from slim2keras.data.labels import IGNORE_LABELS, SHOWN, number_folders
from slim2keras.errors import DataReadError
from slim2keras.files.reports import plural
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import pipeline_of
from slim2keras.scopes import natural_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})

_SHARD = re.compile(r"\.tfrecord|-\d{5}-of-\d{5}$")


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
            f"{classes - 1}: the first is {labels[first]}, of image {first}. {IGNORE_LABELS}"
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
    numbers, numbering = number_folders(path, [folder.name for folder in folders], network.num_classes or 0)
    loose = sum(file.suffix.lower() in _IMAGE_SUFFIXES for file in path.iterdir())
    numbering += f"; {plural(loose, 'image')} beside the folders left out" if loose else ""
    return ImageBatches(files, np.asarray(numbers)[folder_of], batch_size, network, numbering)


def _files_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)
    if files:
        return files
    inside = sorted(folder.iterdir())
    others = ", ".join(item.name for item in inside[:SHOWN]) or "nothing"
    hint = ""
    if any(_SHARD.search(item.name) for item in inside):
        hint = " TFRecords are not read: give a folder of images, an .npz, or in Python any tf.data.Dataset."
    elif any(item.is_dir() for item in inside):
        hint = f" If {folder.name} is one of several splits, give it by itself: {folder}."
    raise DataReadError(f"{folder} has no images (.jpg, .png, .bmp), but {others}.{hint}")
