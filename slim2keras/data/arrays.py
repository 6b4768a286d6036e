"""Images of an ``.npz``."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.examples import Examples
from slim2keras.data.labels import LabelOptions, checked_numbers, find_labels_file, names_of_classes, read_label_names
from slim2keras.data.sources import ImageArrays
from slim2keras.errors import DataReadError
from slim2keras.files.reports import plural
from slim2keras.models.finite import all_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_DEFLATED = 1032
"""Bytes that one of zlib gives at most."""

_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    AttributeError,
    MemoryError,
    RecursionError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def list_arrays(path: Path, options: LabelOptions) -> Examples:
    """List the images of an ``.npz``: ``images``, (count, ...), and maybe ``labels``, (count,).

    Raises:
        DataReadError: If it has no such arrays, or labels that are no classes.
    """
    images, numbers = _read_arrays(path)
    source = ImageArrays(path, images, np.arange(len(images)))
    if numbers is None or not options.wanted:
        words = f"{path.name} has no array `labels`" if options.wanted else "labels ignored, as asked"
        return Examples(source, None, numbering=words)
    labels = _checked_labels(numbers, source, options)
    labels_file = find_labels_file([path.parent])
    known = read_label_names(labels_file) if labels_file is not None else {}
    classes = 1 + int(labels.max(initial=0)) if options.classes is None else options.classes
    names = names_of_classes({name: number - options.offset for name, number in known.items()}, classes)
    return Examples(source, labels, names, f"labels as they stand in {path.name}{options.remark}")


def _read_arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            _check_sizes(path)
            images, labels = arrays["images"], arrays.get("labels")
            if not images.ndim:
                raise ValueError("images is a scalar")
    except _UNREADABLE as error:
        raise DataReadError(
            f"{path} is no .npz with an array `images` (and maybe `labels`): {type(error).__name__}: {error}."
        ) from error
    _check_finite(path, images)
    return images, labels


def _check_finite(path: Path, images: NDArray[Any]) -> None:
    broken = [number for number, image in enumerate(images) if image.dtype.kind == "f" and not all_finite(image)]
    if broken:
        raise DataReadError(
            f"{path} has {plural(len(broken), 'image')} with NaN or infinite values, first number {broken[0]}, counted "
            "from 0. Leave such images out of it."
        )


def _check_sizes(path: Path) -> None:
    """Refuse arrays that are larger than what there is of them, for which NumPy would take the memory first.

    Raises:
        ValueError: With the first.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            if math.prod(shape) * dtype.itemsize > min(member.file_size, _MOST_DEFLATED * member.compress_size):
                raise ValueError(f"{member.filename} is to have the shape {shape}, and its values are not there")


def _checked_labels(labels: NDArray[Any], source: ImageArrays, options: LabelOptions) -> NDArray[np.int64]:
    if labels.shape != (len(source),) or labels.dtype.kind not in "iu":
        raise DataReadError(
            f"{source.path} has labels {labels.shape} of {labels.dtype}; wanted are ({len(source)},) integers, a class "
            "an image."
        )
    return checked_numbers(labels, source.names, options, str(source.path))
