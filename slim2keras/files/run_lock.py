"""One process at a time in a RUN."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from slim2keras.errors import OutputError


@contextlib.contextmanager
def run_locked(directory: Path) -> Iterator[None]:
    """Within it no other process may train into a directory, which is made if need be, and removed if it stays empty.

    The lock is the system's, on the directory itself: no file is left behind, and a process that is killed gives it up.
    Where the file system has no locks (some of networks, Windows) there is none.

    Raises:
        OutputError: If another process has it, or the directory cannot be made.
    """
    is_made = not directory.exists()
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory} cannot be written: {error.strerror}. Nothing of it remains.") from error
    with contextlib.ExitStack() as stack:
        if is_made:
            stack.callback(_remove_if_empty, directory)
        _lock(directory, stack)
        yield


def _lock(directory: Path, stack: contextlib.ExitStack) -> None:
    try:
        import fcntl
    except ImportError:
        return
    opened = os.open(directory, os.O_RDONLY)
    stack.callback(os.close, opened)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(
            f"{directory} is being written by another training. Wait for its end or stop it, or choose another name."
        ) from None
    except OSError:  # the file system has no locks
        return


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
