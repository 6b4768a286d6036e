"""A diagnosis, to be read."""

from __future__ import annotations

from pathlib import Path

from tests.doctor.own_statistics import LAYERS, diagnose, statistics


def test_a_diagnosis_is_a_line_and_a_page(tmp_path: Path) -> None:
    """``repr`` for a prompt, ``print`` for a person."""
    diagnosis = diagnose(tmp_path, statistics(0.0, 1.0), steps=1000, decay=0.9997)
    assert len(repr(diagnosis).splitlines()) == 1
    assert len(repr(diagnosis)) < 400
    page = str(diagnosis)
    assert LAYERS[1] in page
    assert page.splitlines()[0].startswith("pit one: 1 of 3 layers was never updated")
    assert "decay 0.9997 (given), slow for 1,000 steps; 0.9908 would average over their last tenth" in page
    assert "fast enough for 100,000 steps" in str(diagnose(tmp_path, decay=0.9))
