"""The picture of a training: loss, accuracy, and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.files.pictures import BLUE, GREY, RED, drawing
from slim2keras.trainer.state import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOSSES = {"loss": ("training", GREY), "val_loss": ("validation", BLUE)}
_ACCURACIES = {
    "accuracy": ("training", GREY),
    "val_accuracy": ("validation, moving statistics", BLUE),
    "bn_accuracy_batch": ("validation, batch statistics", RED),
}
_RATES = {"learning_rate": ("learning rate", GREY)}


def plot_curves(rows: Sequence[Row], path: Path, recalibrated: float | None = None) -> None:
    """Draw loss, accuracy with moving and with batch statistics, and learning rate; replaces the file.

    Args:
        rows: A line for each epoch.
        path: To write.
        recalibrated: Validation accuracy of the network after recalibration, ``None`` if there was none.

    Raises:
        OutputError: If it cannot be written.
    """
    with drawing(path, (9.0, 7.2), overwrite=True) as figure:
        from matplotlib.ticker import MaxNLocator

        loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.2))
        best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
        title = f"Validation accuracy {best['val_accuracy']:.1%}, best after epoch {best['epoch']:.0f} of {len(rows)}"
        if recalibrated is not None:
            title += f"; recalibrated {recalibrated:.1%}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=14)
        _draw(loss, rows, _LOSSES, "loss")
        _draw(accuracy, rows, _ACCURACIES, "accuracy")
        _draw(rate, rows, _RATES, "learning\nrate")
        for axes in (loss, accuracy):
            axes.axvline(best["epoch"], color=GREY, linestyle=":", linewidth=1)
            axes.legend(frameon=False, loc="best")
        accuracy.set_ylim(top=1.03)
        accuracy.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        rate.set_ylim(0.0, 1.15 * max(row["learning_rate"] for row in rows))
        rate.set_xlabel("epoch")
        rate.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.align_ylabels()


def _draw(axes: Axes, rows: Sequence[Row], lines: Mapping[str, tuple[str, str]], title: str) -> None:
    for name, (label, colour) in lines.items():
        seen = [(row["epoch"], row[name]) for row in rows if name in row]
        if seen:
            # A run of one epoch has no line, only a point.
            axes.plot(*zip(*seen, strict=True), color=colour, label=label, marker="o", markersize=3)
    axes.set_ylabel(title)
