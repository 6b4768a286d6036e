"""Ctrl-C and SIGTERM between two steps, not within one: the state that is written then is that of a step."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedBetweenSteps(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, told when no step is half done."""


class Interruption:
    """Within it the signals wait for ``check``; the second one is as it was before.

    In any thread but the main one nothing is changed, for Python allows no more.

    Raises:
        StoppedBetweenSteps: From ``check``, when one has come.
    """

    def __init__(self) -> None:
        self._has_come = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def check(self) -> None:
        """Raise what has come."""
        if self._has_come:
            self._has_come = False
            raise StoppedBetweenSteps

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._has_come = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}
