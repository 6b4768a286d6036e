"""The picture of a diagnosis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.drift import LARGEST_SHIFT, LARGEST_VARIANCE_RATIO
from slim2keras.doctor import Finding
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.files.pictures import BLUE, GREY, RED, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from slim2keras.doctor import Diagnosis, LayerDiagnosis

_HEALTHY, _SICK, _GREY = BLUE, RED, GREY
_COLOURS = {
    Finding.NEVER_UPDATED: _SICK,
    Finding.NOT_RESTORED: _SICK,
    Finding.FROZEN: _SICK,
    Finding.UNDER_CONVERGED: "#e08a1e",
    Finding.DRIFTED: "#8e44ad",
    Finding.DRIFT_UNFELT: _GREY,
    Finding.PERHAPS_DRIFTED: _GREY,
    Finding.PERHAPS_UNDER_CONVERGED: _GREY,
}
"""Of the layers by their verdict; any other sickness is ``_SICK`` too."""
_SMALLEST_SHIFT, _SMALLEST_RATIO, _LARGEST_SHOWN = 1e-3, 1.0, 1e6
_MANY_DECADES = 1e3


def plot_drift(diagnosis: Diagnosis, path: str | Path, *, overwrite: bool = False) -> None:
    """Draw the drift of mean and variance of each layer along the depth, coloured by verdict; the gap is the title.

    Args:
        diagnosis: Of ``diagnose`` with data.
        path: .png, .pdf or .svg.
        overwrite: Replace an existing file.

    Raises:
        UnsupportedArgumentError: If the diagnosis is without data.
        OutputError: If the file exists or cannot be written; nothing is left behind.
    """
    gap = diagnosis.gap
    if gap is None:
        raise UnsupportedArgumentError("The picture shows the drift from data: diagnose with data (--data).")
    layers = [layer for layer in diagnosis.layers if layer.drift is not None]
    shifts = [layer.drift.shift for layer in layers]  # type: ignore[union-attr]
    ratios = [layer.drift.ratio for layer in layers]  # type: ignore[union-attr]
    with drawing(path, (9, 5.6), overwrite=overwrite) as figure:
        from matplotlib.ticker import MaxNLocator

        upper, lower = figure.subplots(2, 1, sharex=True)
        _draw(upper, np.maximum(shifts, _SMALLEST_SHIFT), LARGEST_SHIFT, layers)
        upper.set_ylabel("mean off by\n(standard deviations)")
        _draw(lower, np.maximum(ratios, _SMALLEST_RATIO), LARGEST_VARIANCE_RATIO, layers)
        lower.set_ylabel("variance off\nby a factor of")
        lower.set_xlabel("BatchNorm layers, from input to output of the network; below the dashed line is health")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(gap.title(), x=0.01, ha="left", fontsize=14, color=_HEALTHY if diagnosis.is_healthy else _SICK)
        verdicts = Counter(_verdict(layer) for layer in layers)
        for (label, colour), count in verdicts.items():
            upper.scatter([], [], color=colour, label=f"{count} of {len(layers)} layers: {label}")
        upper.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(verdicts), frameon=False)


def _verdict(layer: LayerDiagnosis) -> tuple[str, str]:
    """In words and as a colour."""
    for finding in layer.findings:
        if finding.is_sick or finding.is_doubt or finding is Finding.DRIFT_UNFELT:
            return finding.value, _COLOURS.get(finding, _SICK)
    return "healthy", _HEALTHY


def _draw(axes: Axes, values: NDArray[Any], bound: float, layers: Sequence[LayerDiagnosis]) -> None:
    """Stems from the bottom; what is not finite is a cross at the top."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = np.isfinite(values)
    shown = np.clip(np.where(finite, values, bound), None, _LARGEST_SHOWN)
    top = max(float(shown.max()), bound) * 3.0
    bottom = min(float(shown.min()), bound) / 1.3
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.set_xlim(0.0, len(layers) + 1.0)
    for number, (layer, value, is_finite) in enumerate(zip(layers, shown, finite, strict=True), 1):
        _, colour = _verdict(layer)
        if is_finite:
            axes.vlines(number, bottom, value, colors=colour, alpha=0.35)
            axes.scatter(number, value, s=28, color=colour, zorder=3)
        else:
            axes.scatter(number, top / 1.4, s=60, color=colour, marker="x", zorder=3)
    axes.axhline(bound, color=_GREY, linestyle="--", linewidth=1)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top / bottom < _MANY_DECADES else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
