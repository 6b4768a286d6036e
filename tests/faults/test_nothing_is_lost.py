"""A sample of what ``make faults`` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="processes are forked")

SAMPLES = (
    ("kills", "--signal", "KILL", "--kills", "4", "convert to .keras"),
    ("kills", "--signal", "KILL", "--kills", "2", "finetune"),
    ("kills", "--signal", "TERM", "--kills", "4", "export"),
    ("disks", "export", "--parts", "0.5"),
    ("pairs", "--pairs", "2", "out.keras"),
    ("memory", "convert to out.keras", "--mebibytes", "15", "30"),
)


@pytest.mark.slow
@pytest.mark.parametrize("words", SAMPLES, ids=" ".join)
def test_nothing_is_lost(words: tuple[str, ...]) -> None:
    """Killed, interrupted, without room, two at once: the program finds no fault."""
    program, *arguments = words
    command = [sys.executable, "-m", f"tests.faults.{program}", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    title, line, *rows = [row for row in result.stdout.splitlines() if row]
    assert rows, (title, line)
