"""JSON is checked when it is read: whatever is not what was written is an error that says which value it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slim2keras.files import json_values
from slim2keras.files.json_values import check_fields, read_json


@dataclass
class Facts:
    count: int
    share: float | None
    names: tuple[str, ...]
    size: tuple[int | None, int] | None
    of: Mapping[str, int]
    where: Path | None
    anything: Any = None


GOOD: dict[str, Any] = {
    "count": 1,
    "share": 1,
    "names": ["a", "b"],
    "size": [None, 2],
    "of": {"a": 1},
    "where": "a/b",
    "anything": [{}],
}


def test_what_was_written_passes() -> None:
    """Whole numbers for fractions, lists for tuples, texts for paths; and nothing where that is allowed."""
    check_fields(Facts, GOOD)
    check_fields(Facts, {**GOOD, "share": None, "names": [], "size": None, "where": None, "unknown": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", True),
        ("count", 1.5),
        ("count", None),
        ("share", "1"),
        ("names", "ab"),
        ("names", [1]),
        ("size", [1]),
        ("size", [1, None]),
        ("of", [1]),
        ("of", {"a": "b"}),
        ("where", 3),
    ],
)
def test_another_type_is_an_error(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is "):
        check_fields(Facts, {**GOOD, name: value})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[]", "1" * 5000, "", "{", "\x00"])
def test_what_is_no_object_is_an_error(tmp_path: Path, text: str) -> None:
    """Also where Python's parser recurs too deeply, or refuses to convert a number."""
    path = tmp_path / "facts.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_json(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "facts.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
    monkeypatch.setattr(json_values, "LARGEST_JSON", 7)
    with pytest.raises(ValueError, match="larger than"):
        read_json(path)
