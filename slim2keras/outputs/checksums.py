"""Checksums of tensors, by which a damaged model file is told without the checkpoint that it came from."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checksums(values: Iterable[tuple[str, NDArray[Any]]]) -> dict[str, str]:
    """CRC-32 of each tensor's shape, dtype and bytes, in hexadecimal, by slim name.

    It finds damage, whose every flipped bit changes it; it is no proof against somebody who forges a file.
    """
    return {name: _checksum(np.ascontiguousarray(value)) for name, value in values}


def _checksum(value: NDArray[Any]) -> str:
    begun = zlib.crc32(f"{value.dtype.str}{value.shape}".encode())
    return f"{zlib.crc32(value.reshape(-1).view('uint8').data, begun):08x}"
