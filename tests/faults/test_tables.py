"""A program that found a fault says so, in its table, below it and by its exit code."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="processes are forked")

PROGRAMS = ("fuzz", "kills", "disks", "pairs", "memory", "soak")


@pytest.mark.parametrize("faults", [(), ("out.keras: it is a mixture",)])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_fault_is_told(
    program: str, faults: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once and at the end; its exit code is 1, and without any 0."""
    module: Any = importlib.import_module(f"tests.faults.{program}")
    for name, replaced in {
        "_row": lambda *_: (("a",), faults),
        "import_all": lambda: None,
        "soak": lambda *_: None,
        "fuzz": lambda *_: [("a", None)],
    }.items():
        monkeypatch.setattr(module, name, replaced, raising=False)
    monkeypatch.setattr(sys, "argv", [program])
    assert module.main() == len(faults)
    printed = capsys.readouterr()
    title, line, *rows = printed.out.splitlines()
    assert title.count("|") == line.count("|")
    count = rows.count("| a |")
    assert count
    assert rows == ["| a |"] * count + [""] + [*faults] * count
    assert set(printed.err.splitlines()) == {*faults}
