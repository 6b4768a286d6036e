"""Values of JSON files: numbers that it has, and what is read checked before anybody relies on it."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from slim2keras.errors import ModelReadError

LARGEST_JSON = 2**28
"""Bytes that are read; the report of NASNet-A large takes 2 MiB."""


def finite_or_none(number: float | None) -> float | None:
    """The number, ``None`` in place of NaN and infinity, which JSON does not have."""
    return number if number is not None and math.isfinite(number) else None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no such object.
    """
    if path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"it is larger than {LARGEST_JSON / 2**20:.0f} MiB")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"it is a {type(found).__name__}, and no object")  # noqa: TRY004, of the file and no argument
    return found


def no_report(path: Path, reason: str) -> ModelReadError:
    """The error for a file in the place of a report that is none; ``reason`` is a sentence."""
    return ModelReadError(f"{path} is not a report of slim2keras: {reason} Remove it, or convert again.")


def check_fields(kind: type, values: Mapping[str, Any]) -> None:
    """Refuse values of JSON that are not of the types that the fields of a dataclass have.

    Args:
        kind: The dataclass.
        values: By field; a name that is no field is left to the dataclass.

    Raises:
        TypeError: With the first field.
    """
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not _is_a(value, hints[name]):
            raise TypeError(f"{name} is {value!r:.80}")


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, as far as JSON can: paths are texts, and tuples lists."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is_a(value, item) for item in inner)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_is_a(item, inner[1]) for item in value.values())
    if origin in (tuple, Sequence):
        is_of_any_length = origin is Sequence or Ellipsis in inner
        return isinstance(value, list | tuple) and _are(value, inner[:1] * len(value) if is_of_any_length else inner)
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    return hint is Any or isinstance(value, str if hint is Path else hint)


def _are(values: Sequence[Any], hints: Sequence[Any]) -> bool:
    return len(values) == len(hints) and all(map(_is_a, values, hints))


_NUMBERS: Mapping[Any, Any] = {float: int | float, int: int}
