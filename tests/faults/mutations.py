"""Damage to files: what disks, networks and strangers do to them, by a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Random: TypeAlias = np.random.RandomState
Mutation: TypeAlias = Callable[[bytearray, Random], bytes]

SIZES = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
"""Numbers that lengths and shapes of hostile files are."""
_MAGIC = (
    b"\x89HDF\r\n\x1a\n",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\x00" * 8,
    b"\xff" * 8,
    b"{",
    b"[",
    b"\x0a\xff\xff\xff\xff\x0f",
)


def flip_bits(data: bytearray, random: Random) -> bytes:
    for _ in range(random.randint(1, 9)):
        data[random.randint(len(data))] ^= 1 << random.randint(8)
    return bytes(data)


def truncate(data: bytearray, random: Random) -> bytes:
    return bytes(data[: random.randint(len(data))])


def put_number(data: bytearray, random: Random) -> bytes:
    """A length or a size, in one of the ways in which files have them."""
    number = SIZES[random.randint(len(SIZES))]
    written = number.to_bytes(8, "little")[: (2, 4, 8)[random.randint(3)]] if random.randint(2) else _varint(number)
    return _put(data, written, random)


def put_magic(data: bytearray, random: Random) -> bytes:
    return _put(data, _MAGIC[random.randint(len(_MAGIC))], random)


def zero_block(data: bytearray, random: Random) -> bytes:
    """What a disk leaves of a block that was never written."""
    start = random.randint(len(data))
    return _replaced(data, start, bytes(min(512, len(data) - start)))


def move_block(data: bytearray, random: Random) -> bytes:
    start, to = random.randint(len(data), size=2)
    return _replaced(data, to, bytes(data[start : start + random.randint(1, 257)]))


def repeat_block(data: bytearray, random: Random) -> bytes:
    start = random.randint(len(data))
    block = bytes(data[start : start + random.randint(1, 257)])
    return bytes(data[:start]) + block * random.randint(2, 9) + bytes(data[start:])


def remove_block(data: bytearray, random: Random) -> bytes:
    start = random.randint(len(data))
    return bytes(data[:start]) + bytes(data[start + random.randint(1, 257) :])


def change_digits(data: bytearray, random: Random) -> bytes:
    """Of texts: a number becomes another one."""
    digits = [place for place, value in enumerate(data) if 48 <= value <= 57]
    if not digits:
        return flip_bits(data, random)
    place = digits[random.randint(len(digits))]
    return _replaced(data, place, str(SIZES[random.randint(len(SIZES))]).encode())


def junk(data: bytearray, random: Random) -> bytes:
    return bytes(random.randint(0, 256, random.randint(0, min(4096, len(data) + 2)), dtype=np.uint8))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    truncate,
    put_number,
    put_magic,
    zero_block,
    move_block,
    repeat_block,
    remove_block,
    change_digits,
    junk,
)


def mutated(data: bytes, seed: int) -> bytes:
    """The contents of a file, damaged in one to three ways."""
    random = Random(seed)
    for _ in range(random.randint(1, 4)):
        if data:
            data = MUTATIONS[random.randint(len(MUTATIONS))](bytearray(data), random)
    return data


def _put(data: bytearray, written: bytes, random: Random) -> bytes:
    return _replaced(data, random.randint(len(data)), written)


def _replaced(data: bytearray, start: int, written: bytes) -> bytes:
    return bytes(data[:start]) + written + bytes(data[start + len(written) :])


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])
