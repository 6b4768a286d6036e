"""Standard streams, and what native code writes to stderr, past Python."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def stderr_captured() -> Iterator[IO[bytes]]:
    """Catch what native code writes to stderr, past Python; gives the file that it goes to."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield caught
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def open_what_is_closed() -> None:
    """Give a standard stream that was closed before the process began to nobody.

    Python has ``None`` in its place, and the next file that is opened would be it, for native code too.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The system gives the lowest number that is free, which is this one.
            setattr(sys, name, Path(os.devnull).open("w" if number else "r"))  # noqa: SIM115  as long as the process
