"""What the doctor may find, of a layer and of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from slim2keras.batch_norm.drift import Drift
from slim2keras.batch_norm.probe import Gap
from slim2keras.files.json_values import finite_or_none
from slim2keras.files.reports import Report

_NUM_WORST = 12


class Finding(Enum):
    """What may be found of a layer."""

    NEVER_UPDATED = "never updated"
    NOT_RESTORED = "not restored"
    FOLDED = "weights folded already"
    FROZEN = "frozen at the pre-trained values"
    NOT_MOVED = "not moved in fine-tuning"
    UNDER_CONVERGED = "under-converged"
    DRIFTED = "off the data"
    NONFINITE = "not finite"
    NEGATIVE_VARIANCE = "negative variance"
    EXPLODING = "exploding variance"
    OUT_OF_STEP = "not in step with its EMA shadow"
    DEAD_LAYER = "no channel alive"
    PERHAPS_UNDER_CONVERGED = "under-converged, if the decay is the default"
    PERHAPS_DRIFTED = "off the data, which cannot tell"
    DEAD_CHANNELS = "dead channels"
    DRIFT_UNFELT = "off the data, not felt"
    SMALL_GAMMA = "gamma near 0"

    @property
    def is_sick(self) -> bool:
        """Whether the outputs are wrong with it; the others are doubts, or are met in healthy networks."""
        return self not in _NOT_SICK

    @property
    def is_doubt(self) -> bool:
        """Whether it may be a sickness, and more has to be known to tell."""
        return self in (Finding.PERHAPS_UNDER_CONVERGED, Finding.PERHAPS_DRIFTED)


_NOT_SICK = frozenset(
    {
        Finding.PERHAPS_UNDER_CONVERGED,
        Finding.PERHAPS_DRIFTED,
        Finding.DEAD_CHANNELS,
        Finding.DRIFT_UNFELT,
        Finding.SMALL_GAMMA,
    }
)


@dataclass(frozen=True)
class LayerDiagnosis:
    """What was found of one BatchNorm layer.

    Attributes:
        name: Scope.
        channels: Number of channels.
        findings: Worst first; empty for a layer in health.
        decay: Fraction of the statistics that a step keeps, ``None`` if unknown.
        old_statistics_left: ``decay ** steps``, ``None`` if either is unknown.
        median_variance: Median of the moving variance over the channels.
        dead_channels: Channels whose variance is near 0.
        facts: Finding to what it was seen by, in words.
        drift: From the data, ``None`` without.
    """

    name: str
    channels: int
    findings: tuple[Finding, ...]
    decay: float | None
    old_statistics_left: float | None
    median_variance: float
    dead_channels: int
    facts: Mapping[Finding, str]
    drift: Drift | None = None

    @property
    def is_sick(self) -> bool:
        return any(finding.is_sick for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "channels": self.channels,
            "findings": [finding.value for finding in self.findings],
            "sick": self.is_sick,
            "decay": self.decay,
            "old_statistics_left": self.old_statistics_left,
            "median_variance": finite_or_none(self.median_variance),
            "dead_channels": self.dead_channels,
            "facts": {finding.value: fact for finding, fact in self.facts.items()},
            "drift": None if self.drift is None else self.drift.to_json(),
        }


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """What was found of a checkpoint.

    Attributes:
        source: The checkpoint, as given.
        layers: In the order of their names; with data, from the input of the network to its output.
        decay: Largest decay of the layers, ``None`` if unknown.
        decay_source: Where it comes from.
        steps: Training steps, ``None`` if unknown.
        recommended_decay: For that many steps.
        verdicts: One sentence for each thing that is wrong, worst first; then doubts, what the data say, and remarks.
        gap: On the data, ``None`` without.
        gap_repaired: On the same data, with the layers that drift recalibrated; ``None`` if none does, or none can be.
        numbering: How the labels of the data were numbered, in words; empty without data from a path.
        nonfinite_weights: Variables but statistics that have NaN or infinite values.
    """

    source: str
    layers: Sequence[LayerDiagnosis]
    decay: float | None
    decay_source: str
    steps: int | None
    recommended_decay: float | None
    verdicts: Sequence[str] = field(default_factory=tuple)
    gap: Gap | None = None
    gap_repaired: Gap | None = None
    numbering: str = ""
    nonfinite_weights: Sequence[str] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is certainly wrong with the moving statistics, and the weights are numbers."""
        return not self.nonfinite_weights and not any(layer.is_sick for layer in self.layers)

    def with_finding(self, finding: Finding) -> list[LayerDiagnosis]:
        """Layers of which it was found."""
        return [layer for layer in self.layers if finding in layer.findings]

    def summary(self) -> str:
        """In one line."""
        return f"{self.source}: {self.verdicts[0] if self.verdicts else f'{len(self.layers)} layers'}"

    def page(self) -> Iterator[RenderableType]:
        """Verdicts, the worst layers, the decay."""
        style = "green" if self.is_healthy else "red"
        for verdict in self.verdicts:
            yield Text(verdict, "" if verdict.startswith("remark") else style)
        worst = sorted((layer for layer in self.layers if layer.findings), key=_worst_first)
        if worst:
            yield _table(worst[:_NUM_WORST])
        if len(worst) > _NUM_WORST:
            yield Text(f"and {len(worst) - _NUM_WORST} more; --json lists all")
        if self.numbering:
            yield Text(f"labels: {self.numbering}")
        if self.decay is not None:
            yield Text(f"decay {self.decay:.6g} ({self.decay_source}){self._advice()}")

    def _advice(self) -> str:
        """What the decay means for the steps."""
        if not self.steps or self.recommended_decay is None or self.decay is None:
            return ""
        if self.recommended_decay >= self.decay:
            return f", fast enough for {self.steps:,} steps"
        return f", slow for {self.steps:,} steps; {self.recommended_decay:.4g} would average over their last tenth"

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return {
            "source": self.source,
            "healthy": self.is_healthy,
            "verdicts": list(self.verdicts),
            "decay": self.decay,
            "decay_source": self.decay_source,
            "steps": self.steps,
            "recommended_decay": self.recommended_decay,
            "gap": None if self.gap is None else self.gap.to_json(),
            "gap_repaired": None if self.gap_repaired is None else self.gap_repaired.to_json(),
            "labels": self.numbering or None,
            "nonfinite_weights": list(self.nonfinite_weights),
            "layers": [layer.to_json() for layer in self.layers],
        }


def _worst_first(layer: LayerDiagnosis) -> tuple[bool, float]:
    return not layer.is_sick, -layer.drift.size if layer.drift else 0.0


def _table(layers: Sequence[LayerDiagnosis]) -> Table:
    table = Table(Column("layer", overflow="fold"), "channels", "finding", "seen by", box=None)
    for layer in layers:
        findings = "\n".join(finding.value for finding in layer.findings)
        facts = "\n".join(layer.facts[finding] for finding in layer.findings)
        table.add_row(Text(layer.name), str(layer.channels), findings, facts)
    return table
