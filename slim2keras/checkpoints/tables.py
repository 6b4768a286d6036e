"""TensorFlow's sorted string tables: what a V1 checkpoint is, and the index of a V2 one.

Source: tensorflow/tsl/lib/io/format.cc and block.cc, which are LevelDB's.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC = bytes.fromhex("57fb808b247547db")
"""The last bytes of a table."""

FOOTER_SIZE = 48

_TRAILER_SIZE = 5
"""How a block is compressed, and its checksum."""

_SNAPPY = 1

_MOST_SNAPPY = 32
"""Bytes that one of Snappy gives at most: its longest copy, 64, takes three."""


def read_entries(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in their order, read block by block; checksums are left to TensorFlow.

    Raises:
        ValueError: If it is no table, points beyond its end, or to one place again and again.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - FOOTER_SIZE))
        footer = io.BytesIO(file.read(FOOTER_SIZE))
        if footer.getvalue()[-len(MAGIC) :] != MAGIC:
            raise ValueError("it does not end as a table does")
        for _ in range(2):  # where another index lies, which TensorFlow does not use
            _varint(footer)
        before = None
        for _, handle in _entries(_block(file, footer, size)):
            for key, value in _entries(_block(file, io.BytesIO(handle), size)):
                if before is not None and key <= before:
                    raise ValueError("its entries are not sorted")
                yield key, value
                before = key


def _block(file: BinaryIO, handle: BinaryIO, size: int) -> bytes:
    """A block from where a handle says that it lies."""
    start, length = _varint(handle), _varint(handle)
    if start + length + _TRAILER_SIZE > size:
        raise ValueError(f"a block ends at byte {start + length + _TRAILER_SIZE:,} of {size:,}")
    file.seek(start)
    block = file.read(length)
    return decompressed(block) if file.read(1) == bytes([_SNAPPY]) else block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block; a key begins with so many bytes of the one before."""
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if len(block) < 4 or end < 0:
        raise ValueError("a block is shorter than it says")
    rows, key = io.BytesIO(block[:end]), b""
    while rows.tell() < end:
        shared, rest, length = _varint(rows), _varint(rows), _varint(rows)
        if shared > len(key) or rows.tell() + rest + length > end:
            raise ValueError("an entry is longer than its block")
        key = key[:shared] + rows.read(rest)
        yield key, rows.read(length)


def _varint(file: BinaryIO) -> int:
    number = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("a number has no end")
        number |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return number


def decompressed(block: bytes) -> bytes:
    """What Snappy made a block of, as TensorFlow 1.1 and before did.

    Raises:
        ValueError: If Snappy made no such block.

    Source: google/snappy, format_description.txt.
    """
    file, made = io.BytesIO(block), bytearray()
    length = _varint(file)
    if length > _MOST_SNAPPY * len(block):
        raise ValueError(f"a block of {len(block):,} bytes would be {length:,} uncompressed")
    while (tag := file.read(1)) and len(made) <= length:
        kind, number = tag[0] & 3, tag[0] >> 2
        if kind == 0:
            extra = max(0, number - 59)
            made += file.read(1 + (int.from_bytes(file.read(extra), "little") if extra else number))
            continue
        # The shortest copies have four bits of length, and three of their eleven of distance, in the tag.
        count = (number & 7) + 4 if kind == 1 else number + 1
        distance = int.from_bytes(file.read((1, 2, 4)[kind - 1]), "little") | ((number >> 3) << 8 if kind == 1 else 0)
        if not 0 < distance <= len(made):
            raise ValueError("a block copies what is not there")
        start = len(made) - distance
        part = made[start : start + count]
        made += (part * (1 + count // len(part)))[:count]
    if len(made) != length:
        raise ValueError(f"a block has {len(made):,} bytes uncompressed, and says {length:,}")
    return bytes(made)
