"""Values that an option cannot have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from slim2keras.errors import UnsupportedArgumentError, did_you_mean

LARGEST_NUMBER = 3.4e38
"""That float32 has, in which a training computes."""


def check_count(name: str, value: int | None, least: int = 1, most: int | None = None) -> None:
    """Refuse what is no whole number from ``least`` to ``most``; ``None`` passes."""
    if value is None:
        return
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        bound = f"{least} or greater" if most is None else f"{least} to {most}"
        raise UnsupportedArgumentError(f"{name} must be a whole number, {bound}. Received: {value!r}")


def check_number(name: str, value: float | None, *, above: float | None = None, most: float = LARGEST_NUMBER) -> None:
    """Refuse what is no number from 0, or above ``above``, up to ``most``; ``None`` passes."""
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_large_enough = is_number and (value >= 0.0 if above is None else value > above)
    if not is_large_enough or value > most:
        least = "of at least 0" if above is None else f"above {above:g}"
        raise UnsupportedArgumentError(f"{name} must be a number {least} and at most {most:g}. Received: {value!r}")


def check_fraction(name: str, value: float | None) -> None:
    """Refuse what does not lie between 0 and 1; ``None`` passes."""
    if value is not None and not (isinstance(value, (int, float)) and 0.0 < value < 1.0):
        raise UnsupportedArgumentError(f"{name} must lie between 0 and 1. Received: {value!r}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse a word that is none of the choices."""
    if value not in choices:
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise UnsupportedArgumentError(f"{name} must be one of {', '.join(choices)}. Received: {value!r}.{hint}")


def scope_list(value: str | Collection[str] | None) -> tuple[str, ...]:
    """Scopes one by one, from a collection or slim's comma list."""
    items = value.split(",") if isinstance(value, str) else value or ()
    return tuple(item.strip().rstrip("/") for item in items if item.strip())
