"""What a model file says of its sizes, held against what there is of it.

tf_keras makes a model from its configuration, every variable with values that are drawn, before it reads any: a few
bytes that say ``"units": 2147483648`` would fill the memory.
"""

from __future__ import annotations

import contextlib
import functools
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slim2keras.errors import ModelReadError
from slim2keras.outputs.keras_archive import WEIGHTS, is_keras_archive

if TYPE_CHECKING:
    import h5py
    import tensorflow as tf

ALWAYS_ALLOWED = 2**26
"""Bytes of variables, whatever the size of the file."""

_MOST_PER_BYTE = 32
"""Bytes of variables for each of a file, whose datasets may be compressed."""

_MOST_DEFLATED = 1032
"""Bytes that one of zlib gives at most."""

_HEAP = b"GCOL\1\0\0\0"
"""How a global heap of HDF5 begins."""

AT_ONCE = 2**20
"""Bytes that are searched for heaps."""


class Room:
    """What a file has room for: variables as many and as large as it can hold the values of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = 0

    def take(self, name: Any, shape: Any, dtype: Any) -> None:
        """Count a variable that is about to be made.

        Raises:
            ModelReadError: If the file cannot hold its values besides those of all before.
        """
        import tensorflow as tf

        shape = tf.TensorShape(shape)
        if not shape.is_fully_defined():
            return
        self._made += math.prod(shape.as_list()) * tf.as_dtype(dtype).size
        if self._made > self._at_once and self._made > self._unpacked:
            raise ModelReadError(
                f"{self._path} is damaged: by its configuration {name} has the shape {tuple(shape)}, which "
                f"{_size_of(self._path):,} bytes cannot hold. Convert the checkpoint again."
            )

    @functools.cached_property
    def _at_once(self) -> int:
        return max(ALWAYS_ALLOWED, _MOST_PER_BYTE * _size_of(self._path))

    @functools.cached_property
    def _unpacked(self) -> int:
        """Bytes of weights that were compressed as a whole, however much: counted, since a zip may say any size."""
        if not is_keras_archive(self._path):
            return 0
        with zipfile.ZipFile(self._path) as archive:
            if WEIGHTS not in archive.namelist() or archive.getinfo(WEIGHTS).compress_type == zipfile.ZIP_STORED:
                return 0
            with archive.open(WEIGHTS) as weights:
                return sum(map(len, iter(functools.partial(weights.read, AT_ONCE), b"")))


@contextlib.contextmanager
def variables_fit(path: Path) -> Iterator[None]:
    """Within it variables are made only as far as a file can hold their values.

    Raises:
        ModelReadError: With the first that it cannot, before it is made.
    """
    import tensorflow as tf

    room = Room(path)

    def make(following: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        room.take(arguments.get("name"), arguments.get("shape"), arguments.get("dtype") or tf.float32)
        return following(**arguments)

    with tf.variable_creator_scope(make):
        yield


def _size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def check_dataset(dataset: h5py.Dataset) -> None:
    """Refuse a dataset of HDF5 that was never written, or not as large as it says.

    Raises:
        ValueError: With its name and shape.
    """
    stored, filters = dataset.id.get_storage_size(), dataset.id.get_create_plist().get_nfilters()
    if dataset.shape is not None and dataset.nbytes > stored * (_MOST_DEFLATED if filters else 1):
        raise ValueError(f"{dataset.name} is to have the shape {dataset.shape}, and its values are not there")


def check_heaps(file: BinaryIO) -> None:
    """Refuse HDF5 whose heaps of texts have no end: it would follow one of zeros, as a disk leaves them, for ever.

    Raises:
        ValueError: With the place.

    Source: HDF5 File Format Specification 3.0, III.E, Global Heap; its H5HG.c.
    """
    # Not mapped into memory: the process would end with a file that somebody shortens, and not all file systems can.
    for start in list(_heaps(file)):
        _check_heap(file, start)


def _heaps(file: BinaryIO) -> Iterator[int]:
    """Where heaps begin."""
    start, kept = file.seek(0), b""
    while part := file.read(AT_ONCE):
        content, start = kept + part, start - len(kept)
        place = content.find(_HEAP)
        while place >= 0:
            yield start + place
            place = content.find(_HEAP, place + 1)
        kept, start = content[1 - len(_HEAP) :], start + len(content)


def _check_heap(file: BinaryIO, start: int) -> None:
    file.seek(start + len(_HEAP))
    end = start + int.from_bytes(file.read(8), "little")
    place = start + 16
    while place + 16 <= end:
        file.seek(place)
        head = file.read(16)
        if len(head) < 16:
            return
        index, of_object = struct.unpack("<H6xQ", head)
        if not index and not of_object:
            raise ValueError(f"its heap at byte {start} has no end")
        # What is free comes last, and counts its own head.
        place += -(-of_object // 8) * 8 + 16 if index else of_object
