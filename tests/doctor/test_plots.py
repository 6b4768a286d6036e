"""The picture of a diagnosis."""

from __future__ import annotations

from pathlib import Path

import pytest

import slim2keras
from slim2keras.doctor.plots import plot_drift
from slim2keras.errors import OutputError, UnsupportedArgumentError
from tests import sick_checkpoints as sick

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_the_picture_is_drawn(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """As PNG and SVG; without data, over a file or under another name it is refused."""
    images, _, _, _ = sick.digits()
    # The size of the images stands in the .meta.
    diagnosis = slim2keras.diagnose(sick_checkpoints["poisoned"], data=[images[:64]])
    for name in ("drift.png", "drift.svg"):
        plot_drift(diagnosis, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000
    with pytest.raises(OutputError, match="exists"):
        plot_drift(diagnosis, tmp_path / "drift.png")
    with pytest.raises(OutputError, match="not the name of a picture"):
        plot_drift(diagnosis, tmp_path / "drift.txt")
    with pytest.raises(UnsupportedArgumentError, match="diagnose with data"):
        plot_drift(slim2keras.diagnose(sick_checkpoints["poisoned"]), tmp_path / "other.png")
