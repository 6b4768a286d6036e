"""One process at a time in a RUN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from slim2keras.errors import OutputError
from slim2keras.files.locks import directory_locked


@contextlib.contextmanager
def run_locked(directory: Path) -> Iterator[None]:
    """Within it no other process may train into a directory, which is made if need be, and removed if it stays empty.

    Where the file system has no locks there is none.

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
        if stack.enter_context(directory_locked(directory)) is False:
            raise OutputError(
                f"{directory} is being written by another training. Wait for its end, stop it, or choose another name."
            )
        yield


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
