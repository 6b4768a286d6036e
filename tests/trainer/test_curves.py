"""The picture of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.trainer.curves import plot_curves

ROWS = [
    {"epoch": 1, "loss": 2.0, "accuracy": 0.4, "val_loss": 9.0, "val_accuracy": 0.1, "learning_rate": 0.01},
    {"epoch": 2, "loss": 1.0, "accuracy": 0.8, "val_loss": 8.0, "val_accuracy": 0.2, "learning_rate": 0.01},
]


@pytest.mark.parametrize(
    ("recalibrated", "title"),
    [
        (None, "Validation accuracy 20.0%, best after epoch 2 of 2 "),
        (0.875, "Validation accuracy 20.0%, best after epoch 2 of 2; recalibrated 87.5% "),
    ],
)
def test_the_title_says_how_good_the_network_is(tmp_path: Path, recalibrated: float | None, title: str) -> None:
    """After the best epoch, and after recalibration where there was one."""
    path = tmp_path / "curves.svg"
    plot_curves(ROWS, path, recalibrated)
    assert f"<!-- {title}" in path.read_text(encoding="utf-8")
