"""The zip that a ``.keras`` file is: three members, none of them compressed.

Source: tf_keras/src/saving/saving_lib.py, ``save_model``.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import h5py

METADATA = "metadata.json"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"


def write_archive(path: Path, config: Mapping[str, Any], weights: Path) -> None:
    """Write configuration and weights as tf_keras does."""
    import tf_keras

    saved = time.strftime("%Y-%m-%d@%H:%M:%S")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps({"keras_version": tf_keras.__version__, "date_saved": saved}))
        archive.writestr(CONFIG, json.dumps(config))
        archive.write(weights, WEIGHTS)


def is_archive(path: Path) -> bool:
    """Whether tf_keras would read a file as a zip: by the content of a ``.keras`` file, not by its name alone."""
    return path.name.endswith(".keras") and zipfile.is_zipfile(path)


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a ``.keras`` file, which was checked before."""
    with zipfile.ZipFile(path) as archive:
        config: dict[str, Any] = json.loads(archive.read(CONFIG))
        return config


def is_plain_archive(path: Path, config: Mapping[str, Any]) -> bool:
    """Whether a ``.keras`` file has nothing but layers and HDF5: no assets, and no objects that layers share."""
    with zipfile.ZipFile(path) as archive:
        return sorted(archive.namelist()) == sorted((METADATA, CONFIG, WEIGHTS)) and not _has_key(
            config, "shared_object_id"
        )


def _has_key(config: Any, key: str) -> bool:
    pending = [config]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if key in item:
                return True
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return False


@contextlib.contextmanager
def unpacked_weights(path: Path) -> Iterator[Path]:
    """The weights within a ``.keras`` file, as a file of their own."""
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(path) as archive:
        yield Path(archive.extract(WEIGHTS, name))


@contextlib.contextmanager
def open_weights(path: Path) -> Iterator[h5py.File]:
    """The weights within a ``.keras`` file, as HDF5."""
    import h5py

    with (
        zipfile.ZipFile(path) as archive,
        path.open("rb") as raw,
        h5py.File(opened_member(archive, archive.getinfo(WEIGHTS), raw), "r") as file,
    ):
        yield file


def opened_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: BinaryIO) -> BinaryIO:
    """A member of a zip, as a file that seeks at once where it is not compressed; tf_keras never compresses.

    Up to Python 3.11, ``zipfile`` reads a member again from its start for each step backwards.

    Args:
        file: The zip itself; its position will move.
    """
    if member.compress_type != zipfile.ZIP_STORED:
        return archive.open(member)  # type: ignore[return-value]
    file.seek(member.header_offset)
    name_and_extra = struct.unpack("<26xHH", file.read(30))
    return _Part(file, member.header_offset + 30 + sum(name_and_extra), member.file_size)  # type: ignore[return-value]


class _Part(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size, self.position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        self.file.seek(self.start + self.position)
        left = max(0, self.size - self.position)
        count: int = self.file.readinto(memoryview(buffer)[:left])  # type: ignore[attr-defined]
        self.position += count
        return count
