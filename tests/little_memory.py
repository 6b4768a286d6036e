"""A process that has no memory left."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from typing import NoReturn

_MORE = 2**25
"""Bytes beyond what the process has, which are soon taken."""


def take_all(*_: object, **__: object) -> NoReturn:
    """Take all memory, to the last byte, and hold it as long as the error is there that says so.

    Raises:
        MemoryError: Always.
    """
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MORE, resource.RLIM_INFINITY))
    # No list, which would give up where it has to move.
    kept: tuple[object, ...] = ()
    for size in (2**20, 2**14, 2**9, 64):
        with contextlib.suppress(MemoryError):
            while True:
                kept = (kept, b"x" * size)
    while True:
        kept = (kept,)
