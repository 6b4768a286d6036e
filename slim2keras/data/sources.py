"""Where images are, and how one of them becomes a tensor within ``tf.data``."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.decoding import decode_image
from slim2keras.errors import DataReadError

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_HASHED_ENDS = 64 * 1024
"""Bytes at either end of a file that its fingerprint covers."""

_HASHING_THREADS, _FILES_AT_ONCE = 16, 16
"""Most of the time of a small read is waiting; a thread takes some files at a time."""


class Source(abc.ABC):
    """Images that are not read yet."""

    is_prepared = False
    """Whether they are float32 as the network takes them, past preprocessing."""

    @property
    @abc.abstractmethod
    def names(self) -> Sequence[str]:
        """What each is called in messages and tables."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def subset(self, indices: NDArray[Any]) -> Source:
        """Those of the given places, in that order."""

    @property
    @abc.abstractmethod
    def places(self) -> tuple[NDArray[Any], ...]:
        """Columns, a row an image, that tell ``read`` where it is."""

    @property
    @abc.abstractmethod
    def paths(self) -> Sequence[Path]:
        """The files that they lie in, each once."""

    @property
    def is_encoded(self) -> bool:
        """Whether all of them are image files, whose bytes ``contents`` gives."""
        return False

    def contents(self, *place: tf.Tensor) -> tf.Tensor:
        """Bytes of one image file by its row of ``places``, a scalar string; only where ``is_encoded``."""
        raise NotImplementedError

    @abc.abstractmethod
    def read(self, *place: tf.Tensor, channels: int = 3, exif_orientation: bool = False) -> tf.Tensor:
        """One image by its row of ``places``: uint8, (height, width, channels), or float32 if prepared."""

    @abc.abstractmethod
    def hashed_parts(self) -> Iterator[bytes]:
        """What the fingerprint covers, besides names and labels."""


@dataclass(frozen=True, eq=False)
class ImageFiles(Source):
    """Image files.

    Attributes:
        folder: That they lie in.
        files: Their paths, relative to it.
    """

    folder: Path
    files: Sequence[str]

    @property
    def names(self) -> Sequence[str]:
        """Paths relative to the folder."""
        return self.files

    def __len__(self) -> int:
        return len(self.files)

    def subset(self, indices: NDArray[Any]) -> ImageFiles:
        return replace(self, files=[self.files[index] for index in indices])

    @property
    def places(self) -> tuple[NDArray[Any], ...]:
        """The whole paths."""
        return (np.array([os.fsencode(path) for path in self.paths], dtype=object),)

    @property
    def paths(self) -> Sequence[Path]:
        """Theirs."""
        return [self.folder / name for name in self.files]

    @property
    def is_encoded(self) -> bool:
        """They are."""
        return True

    def contents(self, *place: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.io.read_file(*place)

    def read(self, *place: tf.Tensor, channels: int = 3, exif_orientation: bool = False) -> tf.Tensor:
        return decode_image(self.contents(*place), channels, exif_orientation=exif_orientation)

    def hashed_parts(self) -> Iterator[bytes]:
        """Size, and both ends, of each file."""
        return hashed_ends(self.paths)


@dataclass(frozen=True, eq=False)
class ImageArrays(Source):
    """Images of an ``.npz``.

    Attributes:
        path: The file.
        images: (count, ...); uint8, or float32 as the network takes them.
        rows: Which of them.
    """

    path: Path
    images: NDArray[Any]
    rows: NDArray[Any]

    @property
    def is_prepared(self) -> bool:  # type: ignore[override]
        """Whether they are no pixels of 0 to 255."""
        return self.images.dtype != np.uint8

    @cached_property
    def names(self) -> Sequence[str]:
        """``data.npz, image 17``."""
        return [f"{self.path.name}, image {row}" for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, indices: NDArray[Any]) -> ImageArrays:
        return replace(self, rows=self.rows[indices])

    @property
    def places(self) -> tuple[NDArray[Any], ...]:
        """The rows."""
        return (self.rows,)

    @property
    def paths(self) -> Sequence[Path]:
        """The one."""
        return [self.path]

    def read(self, *place: tf.Tensor, channels: int = 3, exif_orientation: bool = False) -> tf.Tensor:  # noqa: ARG002
        """One image as it stands there; its channels are checked before, see ``batches``."""
        import tensorflow as tf

        image = tf.numpy_function(self.images.__getitem__, [*place], tf.as_dtype(self.images.dtype))
        image.set_shape(self.images.shape[1:])
        return image

    def hashed_parts(self) -> Iterator[bytes]:
        """Size, and both ends, of the file, and the rows."""
        yield from hashed_ends(self.paths)
        yield self.rows.tobytes()


def hashed_ends(paths: Sequence[Path]) -> Iterator[bytes]:
    """Size, first and last 64 KiB of each file, read in parallel.

    Raises:
        DataReadError: If one cannot be read.
    """
    parts = [paths[start : start + _FILES_AT_ONCE] for start in range(0, len(paths), _FILES_AT_ONCE)]
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        yield from pool.map(_sizes_and_ends, parts)


def _sizes_and_ends(paths: Sequence[Path]) -> bytes:
    return b"".join(_size_and_ends(path) for path in paths)


def _size_and_ends(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            first = os.pread(descriptor, _HASHED_ENDS, 0)
            last = os.pread(descriptor, _HASHED_ENDS, max(len(first), size - _HASHED_ENDS))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    return b"%d\n" % size + first + last
