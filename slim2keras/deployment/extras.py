"""Packages that only some outputs need."""

from __future__ import annotations

import importlib.util

from slim2keras.errors import MissingExtraError


def require(extra: str, what: str, *modules: str) -> None:
    """Check before any work is done that the packages of an extra are installed.

    Args:
        extra: Of ``pyproject.toml``.
        what: That needs it, for the message.
        modules: To be imported.

    Raises:
        MissingExtraError: If one is not there.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{what} needs {', '.join(missing)}, which is not installed. Install it: pip install 'slim2keras[{extra}]'"
        )
