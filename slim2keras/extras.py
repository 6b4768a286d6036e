"""Packages that only some of what slim2keras does needs."""

from __future__ import annotations

import importlib.util

from slim2keras.errors import MissingExtraError


def is_installed(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    return importlib.util.find_spec(module) is not None


def require(extra: str, what: str, *modules: str) -> None:
    """Check before any work is done that the packages of an extra are installed.

    Args:
        extra: Of ``pyproject.toml``.
        what: That needs it, for the message.
        modules: To be imported.

    Raises:
        MissingExtraError: If one is not there.
    """
    missing = [name for name in modules if not is_installed(name)]
    if missing:
        raise MissingExtraError(
            f"{what} needs {', '.join(missing)}, which is not installed. Install it: pip install 'slim2keras[{extra}]'"
        )
