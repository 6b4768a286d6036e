"""The zip that a ``.keras`` file is: three members, none of them compressed.

Source: tf_keras/src/saving/saving_lib.py, ``save_model``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slim2keras.errors import OutputError

if TYPE_CHECKING:
    import h5py

METADATA = "metadata.json"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"

_LARGEST = 2**32 - 2**24
"""Bytes that a zip can address without its later extensions, less than its directory takes."""


@contextlib.contextmanager
def archive_for_writing(path: Path, config: Mapping[str, Any]) -> Iterator[int]:
    """A new ``.keras`` file whose weights are written straight into it: HDF5 steps back, which ``zipfile`` does not.

    Yields:
        Where in the file the weights start, which are to be its end.
    """
    members = _write_members(path, config)
    start = members[-1].header_offset + len(_local_header(members[-1]))
    os.truncate(path, start)
    yield start
    with path.open("r+b") as file:
        members[-1].CRC, members[-1].file_size = _checksum_and_size(file, start)
        file.write(_directory(members, file.tell()))
        file.seek(members[-1].header_offset)
        file.write(_local_header(members[-1]))


def _write_members(path: Path, config: Mapping[str, Any]) -> list[zipfile.ZipInfo]:
    """Write the zip without weights; gives its members, the weights last."""
    import tf_keras

    metadata = {"keras_version": tf_keras.__version__, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, b"")
        return archive.infolist()


def _checksum_and_size(file: io.BufferedRandom, start: int) -> tuple[int, int]:
    """Of all that follows ``start``; afterwards the file is at its end."""
    end = file.seek(0, io.SEEK_END)
    size = end - start
    if end >= _LARGEST:
        raise OutputError(f"The weights are {size / 2**30:.1f} GiB, too large for a .keras file. Give a .weights.h5.")
    file.seek(start)
    buffer, checksum = memoryview(bytearray(2**20)), 0
    while count := file.readinto(buffer):
        checksum = zlib.crc32(buffer[:count], checksum)
    return checksum, size


def _local_header(member: zipfile.ZipInfo) -> bytes:
    """What lies before the content of a member that is not compressed."""
    return b"PK\3\4" + _common_header(member) + member.filename.encode()


def _directory(members: Sequence[zipfile.ZipInfo], start: int) -> bytes:
    """The end of a zip, behind its members."""
    entries = b"".join(
        b"PK\1\2\x14\3"
        + _common_header(member)
        + struct.pack("<HHHLL", 0, 0, 0, member.external_attr, member.header_offset)
        + member.filename.encode()
        for member in members
    )
    return entries + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, len(members), len(members), len(entries), start, 0)


def _common_header(member: zipfile.ZipInfo) -> bytes:
    """Version, flags, method, time, date, checksum, sizes, and lengths of name and extra field."""
    year, month, day, hour, minute, second = member.date_time
    return struct.pack(
        "<HHHHHLLLHH",
        20,
        0,
        zipfile.ZIP_STORED,
        hour << 11 | minute << 5 | second // 2,
        (year - 1980) << 9 | month << 5 | day,
        member.CRC,
        member.file_size,
        member.file_size,
        len(member.filename),
        0,
    )


def is_keras_archive(path: Path) -> bool:
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
