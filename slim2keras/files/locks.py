"""Locks on directories: the system's, so that no file is left behind, and a process that is killed gives them up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def directory_locked(directory: Path) -> Iterator[bool | None]:
    """Lock a directory without waiting, under whatever name it has later.

    Gives whether that was possible: false if somebody else has it, or has renamed it meanwhile; ``None`` where the file
    system has no locks (some of networks, Windows).

    Raises:
        OSError: If there is no such directory.
    """
    try:
        import fcntl
    except ImportError:
        yield None
        return
    opened = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free: bool | None = os.path.samestat(os.fstat(opened), directory.stat())
        except (BlockingIOError, FileNotFoundError):
            is_free = False
        except OSError:
            is_free = None
        yield is_free
    finally:
        os.close(opened)
