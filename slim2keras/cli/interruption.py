"""Ctrl-C, or SIGTERM, from the first moment of a command to its last."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
"""``ExitStatus.INTERRUPTED``, here for a command that is stopped before that is imported."""
NOTHING_WRITTEN = "Interrupted; nothing was written."


class Interruption:
    """Ctrl-C, or SIGTERM, that is not lost.

    An exception that a signal raises within TensorFlow's native code may be swallowed there. So it is raised again and
    again, until the command stops; but not while it is being handled, which is when drafts are removed.
    """

    interval = 0.1
    """Seconds."""
    has_come = False
    is_told = False
    """Whether the user has read of it."""

    @classmethod
    def listen(cls) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "setitimer") else [])):
            signal.signal(number, cls._raise)

    @classmethod
    def end(cls) -> None:
        if cls.has_come and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    @classmethod
    def leave(cls) -> None:
        """From here on nothing is to be cleaned up: one that comes while Python ends is no traceback.

        After one that was told it is ignored, for Python gives up handlers before its end, and the exit code with them.
        """
        cls.end()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN if cls.has_come else _exit)

    @classmethod
    def _raise(cls, _signal: int, _frame: FrameType | None) -> None:
        cls.has_come = True
        # An object that was half made then may fail in its end, which Python would tell with a traceback.
        sys.unraisablehook = _say_nothing
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, cls.interval)
        handled = sys.exc_info()[1]
        while handled is not None and not isinstance(handled, KeyboardInterrupt):
            handled = handled.__context__
        if handled is None:
            raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM end the process with one line and the exit code of an interruption."""
    try:
        Interruption.listen()
        yield
    except KeyboardInterrupt:
        _tell_and_exit()
    except SystemExit as end:
        # What parses the command line may make an end of it that is its own.
        if not Interruption.has_come or Interruption.is_told or end.code == 0:
            raise
        _tell_and_exit()
    finally:
        Interruption.leave()


def _tell_and_exit() -> NoReturn:
    if not Interruption.is_told:
        sys.stderr.write(f"{NOTHING_WRITTEN}\n")
    Interruption.is_told = True
    sys.exit(INTERRUPTED)


def _say_nothing(_unraisable: object) -> None:
    pass


def _exit(_signal: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(Exception):  # nobody reads it any more, or it was being flushed
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)
