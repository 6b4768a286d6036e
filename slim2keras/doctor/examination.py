"""What the evidence says of one layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.decay import LARGEST_SHARE_LEFT, share_left
from slim2keras.batch_norm.drift import Drift
from slim2keras.batch_norm.modes import BatchNormMode
from slim2keras.batch_norm.probe import FEWEST_IMAGES, Gap
from slim2keras.doctor.evidence import Decays, Run, Statistics
from slim2keras.doctor.findings import Finding, LayerDiagnosis

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEAD_VARIANCE = 1e-8
"""Below it a channel is constant: the epsilon of slim's networks, 1e-5 or more, is all that it is divided by."""
EXPLODING_RATIO = 1e6
"""Median variance of a layer over that of the network; a first layer on pixels up to 255 reaches 1e5 in health."""
HUGE_VARIANCE = 1e20
"""Of activations of ten thousand million: a channel that has it is divided to nothing."""
SMALL_GAMMA = 1e-6
"""Of the median gamma of the layer; weight decay alone takes a gamma that nothing needs far below."""

Facts = dict[Finding, str]
"""Finding to what it was seen by, in words."""


@dataclass(frozen=True)
class Measured:
    """What the data say.

    Attributes:
        drifts: Scope to drift, from the input of the network to its output.
        gap: On the data.
        gap_repaired: With the layers that drift recalibrated.
        is_mixed: Whether its batches hold the classes alike.
        is_finite: Whether every layer got numbers; NaN in one makes zeros of what lies behind a ReLU.
        numbering: How its labels were numbered, in words.
    """

    drifts: Mapping[str, Drift] = field(default_factory=dict)
    gap: Gap | None = None
    gap_repaired: Gap | None = None
    is_mixed: bool = True
    is_finite: bool = True
    numbering: str = ""

    @property
    def decides(self) -> bool:
        """Whether the data tell what the checkpoint alone cannot: enough numbers, and not class by class."""
        return self.gap is not None and self.gap.images >= FEWEST_IMAGES and self.is_mixed and self.is_finite


def examine(layer: Statistics, decays: Decays, run: Run, measured: Measured) -> LayerDiagnosis:
    """Findings of one layer."""
    decay = decays.of(layer.name)
    left = _share_left(layer, decay, run)
    drift = measured.drifts.get(layer.name)
    facts: Facts = {}
    if layer.is_finite:
        clears = measured.decides and drift is not None and drift.is_small and not layer.is_initial
        if not clears:
            facts |= _start_facts(layer, run) or _folded_facts(layer, run) or _share_facts(left, decays)
        facts |= _variance_facts(layer, run)
        facts |= _shadow_facts(layer)
    else:
        facts[Finding.NONFINITE] = _count(~(np.isfinite(layer.mean) & np.isfinite(layer.variance)))
    if drift is not None and not drift.is_small and not any(finding.is_sick for finding in facts):
        facts |= _drift_facts(drift, measured)
    facts |= _gamma_facts(layer)
    return LayerDiagnosis(
        name=layer.name,
        channels=layer.mean.size,
        findings=tuple(sorted(facts, key=[*Finding].index)),
        decay=decay,
        old_statistics_left=left,
        median_variance=float(np.median(layer.variance)),
        dead_channels=int(np.sum(np.abs(layer.variance) < DEAD_VARIANCE)),
        facts=facts,
        drift=drift,
    )


def _share_left(layer: Statistics, decay: float | None, run: Run) -> float | None:
    recorded = run.recorded(layer.name)
    if recorded is not None and not run.is_asked_otherwise:
        return None if recorded.mode is BatchNormMode.FROZEN else recorded.old_statistics_left
    if decay is None or run.steps is None or run.num_images is not None:
        return None
    return share_left(decay, run.steps)


def _drift_facts(drift: Drift, measured: Measured) -> Facts:
    if not measured.decides:
        return {Finding.PERHAPS_DRIFTED: drift.describe()}
    is_felt = measured.gap is None or measured.gap.is_felt
    return {Finding.DRIFTED if is_felt else Finding.DRIFT_UNFELT: drift.describe()}


def _count(flags: NDArray[Any]) -> str:
    return f"{int(np.sum(flags))} of {flags.size} channels"


def _start_facts(layer: Statistics, run: Run) -> Facts:
    """Statistics that training did not touch."""
    start, recorded = run.start.get(layer.name), run.recorded(layer.name)
    if layer.is_initial:
        was_there = start is not None and not start.is_initial
        finding = Finding.NEVER_UPDATED if run.is_trained and not was_there else Finding.NOT_RESTORED
        return {finding: "mean 0 and variance 1"}
    if recorded is not None and recorded.mode is BatchNormMode.FROZEN:
        return {}
    if start is not None and run.num_moved and layer.has_bits_of(start):
        return {Finding.FROZEN: f"equal bits, {run.num_moved} other variables moved"}
    if recorded is not None and recorded.mode is BatchNormMode.BATCH and recorded.old_statistics_left is not None:
        return {Finding.NOT_MOVED: "recorded by fine-tuning: batch_norm='batch'"}
    return {}


def _folded_facts(layer: Statistics, run: Run) -> Facts:
    if not run.is_folded or (found := layer.scale_correlation()) is None:
        return {}
    return {Finding.FOLDED: f"weights small where the variance is large: correlation {found[0]:.2f}"}


def _share_facts(left: float | None, decays: Decays) -> Facts:
    if left is None or left <= LARGEST_SHARE_LEFT:
        return {}
    if decays.is_assumed:
        return {Finding.PERHAPS_UNDER_CONVERGED: f"{left:.0%} of the old statistics left, if it is the default"}
    return {Finding.UNDER_CONVERGED: f"{left:.0%} of the old statistics left"}


def _variance_facts(layer: Statistics, run: Run) -> Facts:
    facts = {}
    dead = np.abs(layer.variance) < DEAD_VARIANCE
    if np.any(layer.variance < 0.0):
        facts[Finding.NEGATIVE_VARIANCE] = _count(layer.variance < 0.0)
    if np.all(dead):
        facts[Finding.DEAD_LAYER] = f"largest variance {layer.variance.max():.0e}"
    elif np.any(dead):
        facts[Finding.DEAD_CHANNELS] = _count(dead)
    ratio = float(np.median(layer.variance)) / run.typical_variance if run.typical_variance > 0.0 else 0.0
    huge = layer.variance > HUGE_VARIANCE
    if ratio > EXPLODING_RATIO:
        facts[Finding.EXPLODING] = f"{ratio:.0e} times that of the other layers"
    elif np.any(huge):
        facts[Finding.EXPLODING] = f"{_count(huge)}, up to {layer.variance.max():.0e}"
    return facts


def _shadow_facts(layer: Statistics) -> Facts:
    if layer.shadow_mean is None or layer.shadow_variance is None:
        return {}
    drift = Drift.between(layer.shadow_mean, layer.shadow_variance, layer.mean, layer.variance)
    return {Finding.OUT_OF_STEP: drift.describe()} if not drift.is_small else {}


def _gamma_facts(layer: Statistics) -> Facts:
    if layer.gamma is None or not np.isfinite(layer.gamma).all():
        return {}
    small = np.abs(layer.gamma) <= SMALL_GAMMA * np.median(np.abs(layer.gamma))
    return {Finding.SMALL_GAMMA: _count(small)} if np.any(small) else {}
