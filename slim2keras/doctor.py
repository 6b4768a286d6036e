"""Whether the BatchNorm statistics of a checkpoint can be trusted, told from the checkpoint alone.

A BatchNorm layer is whatever has a ``moving_mean`` and a ``moving_variance``, so anybody's networks are examined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm import LARGEST_SHARE_LEFT, check_decay, decay_for, share_left
from slim2keras.checkpoint import Checkpoint, open_checkpoint
from slim2keras.conversion import Progress, converted_model, plan_conversion
from slim2keras.data import image_counter, open_images
from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.graph import Shape
from slim2keras.json_values import finite_or_none
from slim2keras.loading import LoadOptions
from slim2keras.meta_graph import read_decays
from slim2keras.population import BatchNormProbe, Drift, Gap
from slim2keras.recalibration import assign_statistics, recalibrated_from
from slim2keras.recognition import NetSpec, recognise
from slim2keras.scopes import VariableInfo, VariableKind, ema_name

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray

DEAD_VARIANCE = 1e-8
"""Below it a channel is constant: the epsilon of slim's networks, 1e-5 or more, is all that it is divided by."""
EXPLODING_RATIO = 1e6
"""Median variance of a layer over that of the network; a first layer on pixels up to 255 reaches 1e5 in health."""
SMALL_GAMMA = 1e-6
"""Of the median gamma of the layer; weight decay alone takes a gamma that nothing needs far below."""


class Finding(Enum):
    """What may be found of a layer."""

    NEVER_UPDATED = "never updated"
    NOT_RESTORED = "not restored"
    FROZEN = "frozen at the pre-trained values"
    UNDER_CONVERGED = "under-converged"
    DRIFTED = "off the data"
    NONFINITE = "not finite"
    NEGATIVE_VARIANCE = "negative variance"
    EXPLODING = "exploding variance"
    OUT_OF_STEP = "not in step with its EMA shadow"
    DEAD_LAYER = "no channel alive"
    DEAD_CHANNELS = "dead channels"
    DRIFT_UNFELT = "off the data, not felt"
    SMALL_GAMMA = "gamma near 0"

    @property
    def is_sick(self) -> bool:
        """Whether the outputs are wrong with it; the others are met in healthy networks."""
        return self not in (Finding.DEAD_CHANNELS, Finding.DRIFT_UNFELT, Finding.SMALL_GAMMA)


_AT_THE_START = frozenset({Finding.NEVER_UPDATED, Finding.NOT_RESTORED, Finding.FROZEN})


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


@dataclass(frozen=True)
class Diagnosis:
    """What was found of a checkpoint.

    Attributes:
        source: The checkpoint, as given.
        layers: In the order of their names; with data, from the input of the network to its output.
        decay: Largest decay of the layers, ``None`` if unknown.
        decay_source: Where it comes from.
        steps: Training steps, ``None`` if unknown.
        recommended_decay: For that many steps.
        verdicts: One sentence for each thing that is wrong, worst first; then what the data say, and remarks.
        gap: On the data, ``None`` without.
        gap_repaired: On the same data, with the layers that drift recalibrated; ``None`` if none does, or none can be.
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

    @property
    def is_healthy(self) -> bool:
        """Whether the moving statistics can be trusted, as far as the checkpoint, and the data if any, tell."""
        return not any(layer.is_sick for layer in self.layers)

    def with_finding(self, finding: Finding) -> list[LayerDiagnosis]:
        """Layers of which it was found."""
        return [layer for layer in self.layers if finding in layer.findings]

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
            "layers": [layer.to_json() for layer in self.layers],
        }


def diagnose(
    checkpoint: str | Path,
    *,
    pretrained: str | Path | None = None,
    net: str | None = None,
    decay: float | None = None,
    steps: int | None = None,
    data: Iterable[Any] | str | Path | None = None,
    input_shape: Shape | None = None,
    use_ema: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
    **arguments: Any,
) -> Diagnosis:
    """Examine the BatchNorm statistics of a checkpoint; without data no network definition is needed.

    With data the network is built and the statistics are compared with those that the data give. What the checkpoint
    alone lets fear, statistics left behind or frozen, is then decided by the data.

    Args:
        checkpoint: V1 file, V2 prefix, training directory, ``.tar.gz`` or ``.tgz``.
        pretrained: Checkpoint that training started from: statistics with its very bits were never updated.
        net: Network whose decay counts. If left out the decay is ``decay``; else that of the ``.meta`` beside the
            checkpoint; else the default of the network that is recognised.
        decay: Fraction of the moving statistics that a step kept.
        steps: Steps that were or will be trained with this decay; the checkpoint's ``global_step`` if left out.
        data: Batches of images as the network takes them, or of (images, labels), e.g. a ``tf.data.Dataset``; gone
            through up to twice. Or a folder of images or an ``.npz``, see ``data.open_images``.
        input_shape: (height, width, channels), for data.
        use_ema: Examine the data with the ``ExponentialMovingAverage`` shadows.
        batch_size: Images a batch, where ``data`` is a path.
        progress: Called with what is done, the number of images done and in all, 0 if unknown.
        **arguments: slim arguments of the network, e.g. ``num_classes``, where they are not recognised.

    Raises:
        CheckpointReadError: If a checkpoint cannot be read.
        UnsupportedArgumentError: If decay or steps cannot be.
        UnknownNetError: If there is no such network.
        UnrecognisedNetError: With data, if the network cannot be told.
        CheckpointMismatchError: With data, if the checkpoint does not fit the network.
        DataReadError: If the images cannot be read.
        TrainingDataError: If there are too few images, or labels that are no classes.

    Example:
        >>> diagnosis = diagnose("train_dir/", data="images/")
        >>> print(*diagnosis.verdicts, sep=", ")
    """
    check_decay(decay)
    if steps is not None and steps < 0:
        raise UnsupportedArgumentError(f"steps must be 0 or more. Received: {steps=}")
    with open_checkpoint(checkpoint) as opened:
        layers = [_BatchNorm.read(opened, scope) for scope in batch_norm_scopes(opened)]
        decays = _find_decays(opened, net, arguments, decay)
        run = _Run.read(opened, layers, steps, pretrained)
        measured = _NOT_MEASURED
        if data is not None and layers:
            options = LoadOptions(use_ema=use_ema, allow_nonfinite=True)
            plan = plan_conversion(opened, net, arguments, input_shape, options)
            batches = open_images(Path(data), plan.spec, batch_size) if isinstance(data, (str, Path)) else data
            measured = _measure(converted_model(opened, plan, options), batches, progress)
    place = {name: number for number, name in enumerate(measured.drifts)}
    layers.sort(key=lambda layer: place.get(layer.name, len(place)))
    examined = [_examine(layer, decays.of(layer.name), run, measured) for layer in layers]
    largest = max((layer.decay for layer in examined if layer.decay is not None), default=None)
    recommended = decay_for(run.steps, slowest=largest) if run.steps and largest is not None else None
    diagnosis = Diagnosis(
        source=str(checkpoint),
        layers=examined,
        decay=largest,
        decay_source=decays.source,
        steps=run.steps,
        recommended_decay=recommended,
        gap=measured.gap,
        gap_repaired=measured.gap_repaired,
    )
    return replace(diagnosis, verdicts=tuple(_verdicts(diagnosis, run)))


@dataclass(frozen=True)
class _Measured:
    """What the data say.

    Attributes:
        drifts: Scope to drift, from the input of the network to its output.
        gap: On the data.
        gap_repaired: With the layers that drift recalibrated.
    """

    drifts: Mapping[str, Drift] = field(default_factory=dict)
    gap: Gap | None = None
    gap_repaired: Gap | None = None


_NOT_MEASURED = _Measured()


def _measure(model: tf_keras.Model, batches: Iterable[Any], progress: Progress | None) -> _Measured:
    probe = BatchNormProbe(model)
    seen = probe.measure(batches, image_counter(progress, "examining", batches))
    drifts = seen.drifts(probe.layers)
    off = [layer for layer in probe.layers if not drifts[layer.name].is_small]
    can_repair = off and all(seen.populations[layer.name].is_finite for layer in off)
    if can_repair:
        assign_statistics(off, seen.populations)
        return _Measured(drifts, seen.gap, probe.measure(batches, image_counter(progress, "repairing", batches)).gap)
    return _Measured(drifts, seen.gap)


def batch_norm_scopes(checkpoint: Checkpoint) -> list[str]:
    """Scopes of the BatchNorm layers of a checkpoint, by name."""
    names = checkpoint.names(VariableKind.MODEL)
    means = (name.removesuffix("/moving_mean") for name in sorted(names) if name.endswith("/moving_mean"))
    variables = checkpoint.variables
    return [
        scope
        for scope in means
        if _is_per_channel(variables.get(f"{scope}/moving_variance"), variables[f"{scope}/moving_mean"])
    ]


def _is_per_channel(info: VariableInfo | None, mean: VariableInfo) -> bool:
    """Whether a variable has as many numbers as a moving mean, one or more, floating-point both."""
    has_numbers = "float" in mean.dtype and 0 not in mean.shape
    return has_numbers and info is not None and info.shape == mean.shape and "float" in info.dtype


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype("float64")


@dataclass(frozen=True)
class _BatchNorm:
    """Statistics of a layer, (channels,) each; ``None`` for what the checkpoint does not have."""

    name: str
    mean: NDArray[Any]
    variance: NDArray[Any]
    gamma: NDArray[Any] | None
    shadow_mean: NDArray[Any] | None
    shadow_variance: NDArray[Any] | None

    @classmethod
    def read(cls, checkpoint: Checkpoint, name: str) -> _BatchNorm:
        mean, variance = f"{name}/moving_mean", f"{name}/moving_variance"
        optional = (f"{name}/gamma", ema_name(mean), ema_name(variance))
        fits = (_is_per_channel(checkpoint.variables.get(item), checkpoint.variables[mean]) for item in optional)
        values = (_wide(checkpoint[item]) if its else None for item, its in zip(optional, fits, strict=True))
        return cls(name, _wide(checkpoint[mean]), _wide(checkpoint[variance]), *values)

    @property
    def is_initial(self) -> bool:
        """Whether the statistics are those of a fresh network."""
        return bool(np.all(self.mean == 0.0) and np.all(self.variance == 1.0))

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.variance).all())

    def has_bits_of(self, other: _BatchNorm) -> bool:
        """Whether the statistics of both are equal bit for bit."""
        pairs = ((self.mean, other.mean), (self.variance, other.variance))
        return all(mine.tobytes() == theirs.tobytes() for mine, theirs in pairs)


@dataclass(frozen=True)
class _Run:
    """What is known of the training run.

    Attributes:
        steps: Steps trained.
        is_trained: Whether the checkpoint shows that training went on after the variables were made.
        typical_variance: Median over the layers of their median variance.
        start: Layers of the checkpoint that training started from.
        num_moved: Variables besides moving statistics that differ from it.
        num_images: Images that the statistics were recalibrated from, ``None`` if training left them as they are.
    """

    steps: int | None
    is_trained: bool
    typical_variance: float
    start: Mapping[str, _BatchNorm]
    num_moved: int
    num_images: int | None

    @classmethod
    def read(
        cls, checkpoint: Checkpoint, layers: Sequence[_BatchNorm], steps: int | None, pretrained: str | Path | None
    ) -> _Run:
        start: Mapping[str, _BatchNorm] = {}
        num_moved = 0
        if pretrained is not None:
            with open_checkpoint(pretrained) as opened:
                start, num_moved = _read_start(opened, layers), _num_moved(checkpoint, opened)
        return cls(
            steps=checkpoint.global_step if steps is None else steps,
            is_trained=_counts_steps(checkpoint),
            typical_variance=_typical_variance(layers),
            start=start,
            num_moved=num_moved,
            num_images=recalibrated_from(checkpoint),
        )


def _counts_steps(checkpoint: Checkpoint) -> bool:
    step = checkpoint.global_step
    return bool(checkpoint.names(VariableKind.SLOT)) if step is None else step > 0


def _typical_variance(layers: Sequence[_BatchNorm]) -> float:
    medians = [float(np.median(layer.variance)) for layer in layers if layer.is_finite]
    return float(np.median(medians)) if medians else float("nan")


def _read_start(start: Checkpoint, layers: Sequence[_BatchNorm]) -> dict[str, _BatchNorm]:
    known = set(batch_norm_scopes(start))
    return {layer.name: _BatchNorm.read(start, layer.name) for layer in layers if layer.name in known}


def _num_moved(checkpoint: Checkpoint, start: Checkpoint) -> int:
    """Model variables that differ from those that training started from, the moving statistics apart."""
    return sum(
        checkpoint[name].tobytes() != start[name].tobytes()
        for name in checkpoint.names(VariableKind.MODEL)
        if name in start and not name.endswith(("/moving_mean", "/moving_variance"))
    )


@dataclass(frozen=True)
class _Decays:
    """Decay by scope, a decay for the others, and where they come from."""

    by_scope: Mapping[str, float]
    others: float | None
    source: str

    def of(self, scope: str) -> float | None:
        return self.by_scope.get(scope, self.others)


def _find_decays(checkpoint: Checkpoint, net: str | None, arguments: Mapping[str, Any], decay: float | None) -> _Decays:
    if decay is not None:
        return _Decays({}, decay, "given")
    if net is not None:
        return _Decays({}, _decay_of(NetSpec.make(net, None, arguments)), f"the default of {net}")
    by_scope = read_decays(checkpoint.location.prefix)
    if by_scope:
        return _Decays(by_scope, None, "the .meta beside the checkpoint")
    shapes = {name: checkpoint.variables[name].shape for name in checkpoint.names(VariableKind.MODEL)}
    try:
        spec = recognise(shapes, source=str(checkpoint.given)).spec
    except Slim2KerasError:
        return _Decays({}, None, "unknown")
    return _Decays({}, _decay_of(spec), f"assumed, the default of {spec.net}")


def _decay_of(spec: NetSpec) -> float | None:
    batch_norm = spec.batch_norm()
    return None if batch_norm is None else batch_norm["decay"]


def _examine(layer: _BatchNorm, decay: float | None, run: _Run, measured: _Measured) -> LayerDiagnosis:
    is_known = decay is not None and run.steps is not None and run.num_images is None
    left = share_left(decay, run.steps) if is_known else None  # type: ignore[arg-type]
    facts = (
        {} if layer.is_finite else {Finding.NONFINITE: _count(~(np.isfinite(layer.mean) & np.isfinite(layer.variance)))}
    )
    drift = measured.drifts.get(layer.name)
    if not facts:
        if layer.is_initial or drift is None or not drift.is_small:
            facts |= _start_facts(layer, run) or _share_facts(left)
        facts |= _variance_facts(layer, run)
        facts |= _shadow_facts(layer)
    if drift is not None and not drift.is_small and not any(finding.is_sick for finding in facts):
        is_felt = measured.gap is None or measured.gap.is_felt
        facts[Finding.DRIFTED if is_felt else Finding.DRIFT_UNFELT] = drift.describe()
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


def _count(flags: NDArray[Any]) -> str:
    return f"{int(np.sum(flags))} of {flags.size} channels"


def _start_facts(layer: _BatchNorm, run: _Run) -> dict[Finding, str]:
    """Statistics that training did not touch."""
    start = run.start.get(layer.name)
    if layer.is_initial:
        was_there = start is not None and not start.is_initial
        finding = Finding.NEVER_UPDATED if run.is_trained and not was_there else Finding.NOT_RESTORED
        return {finding: "mean 0 and variance 1"}
    if start is not None and run.num_moved and layer.has_bits_of(start):
        return {Finding.FROZEN: f"equal bits, {run.num_moved} other variables moved"}
    return {}


def _share_facts(left: float | None) -> dict[Finding, str]:
    if left is None or left <= LARGEST_SHARE_LEFT:
        return {}
    return {Finding.UNDER_CONVERGED: f"{left:.0%} of the old statistics left"}


def _variance_facts(layer: _BatchNorm, run: _Run) -> dict[Finding, str]:
    facts = {}
    dead = np.abs(layer.variance) < DEAD_VARIANCE
    if np.any(layer.variance < 0.0):
        facts[Finding.NEGATIVE_VARIANCE] = _count(layer.variance < 0.0)
    if np.all(dead):
        facts[Finding.DEAD_LAYER] = f"largest variance {layer.variance.max():.0e}"
    elif np.any(dead):
        facts[Finding.DEAD_CHANNELS] = _count(dead)
    ratio = float(np.median(layer.variance)) / run.typical_variance if run.typical_variance > 0.0 else 0.0
    if ratio > EXPLODING_RATIO:
        facts[Finding.EXPLODING] = f"{ratio:.0e} times that of the other layers"
    return facts


def _shadow_facts(layer: _BatchNorm) -> dict[Finding, str]:
    if layer.shadow_mean is None or layer.shadow_variance is None:
        return {}
    drift = Drift.between(layer.shadow_mean, layer.shadow_variance, layer.mean, layer.variance)
    return {Finding.OUT_OF_STEP: drift.describe()} if not drift.is_small else {}


def _gamma_facts(layer: _BatchNorm) -> dict[Finding, str]:
    if layer.gamma is None or not np.isfinite(layer.gamma).all():
        return {}
    small = np.abs(layer.gamma) <= SMALL_GAMMA * np.median(np.abs(layer.gamma))
    return {Finding.SMALL_GAMMA: _count(small)} if np.any(small) else {}


_MEANING = {
    Finding.NEVER_UPDATED: (
        "pit one: {layers} never updated; test results with is_training=False are meaningless. The update ops "
        "(tf.GraphKeys.UPDATE_OPS) were not run in training; run `slim2keras recalibrate`"
    ),
    Finding.NOT_RESTORED: (
        "{layers} given the statistics of a fresh network: they were left out when the weights were saved or restored. "
        "Test results with is_training=False are meaningless; restore them too, or run `slim2keras recalibrate`"
    ),
    Finding.FROZEN: (
        "pit one: {layers} left at the pre-trained statistics, bit for bit, while {moved} other variables moved. Right "
        "if BatchNorm was frozen on purpose; if it normalised with the batch, run `slim2keras recalibrate`"
    ),
    Finding.UNDER_CONVERGED: (
        "pit two: {layers} left behind: after {steps} steps at decay {decay:.6g}, {left:.0%} of the statistics are "
        "still the values they started from. Run `slim2keras recalibrate`, or train on with decay {recommended:.4g}"
    ),
    Finding.DRIFTED: (
        "{layers} off what these images give, first {first} ({fact}). The statistics are wrong: run `slim2keras "
        "recalibrate`; or the images are not such as the network was trained on, or preprocessed otherwise"
    ),
    Finding.DRIFT_UNFELT: "remark: {layers} off what these images give, but the accuracy does not suffer",
    Finding.NONFINITE: (
        "{layers} poisoned: statistics that are NaN or infinite, first {first}. Training diverged, or a batch had one "
        "value per channel; run `slim2keras recalibrate` if the weights are finite, or take an earlier checkpoint"
    ),
    Finding.NEGATIVE_VARIANCE: "{layers} broken: a variance is negative, first {first}; run `slim2keras recalibrate`",
    Finding.EXPLODING: (
        "{layers} exploding: variances of more than a million times those of the other layers, first {first}. Training "
        "diverged, or images came in another range"
    ),
    Finding.OUT_OF_STEP: (
        "{layers} out of step with the EMA shadows, first {first} ({fact}): one of the two was not updated. Evaluate "
        "with the one that is right, or run `slim2keras recalibrate`"
    ),
    Finding.DEAD_LAYER: "{layers} dead: no channel varies, first {first}",
    Finding.DEAD_CHANNELS: "remark: {layers} partly dead: channels whose variance is near 0, most often harmless",
    Finding.SMALL_GAMMA: "remark: {layers} partly switched off: gammas near 0, as after pruning",
}
"""What a finding means and what to do; each sentence begins with how many layers are concerned."""


def _verdicts(diagnosis: Diagnosis, run: _Run) -> Iterator[str]:
    if not diagnosis.layers:
        yield "healthy: the checkpoint has no BatchNorm layer"
        return
    if diagnosis.is_healthy:
        count = len(diagnosis.layers)
        whose = "the only layer" if count == 1 else f"all {count} layers"
        tell = "the checkpoint tells" if diagnosis.gap is None else "the checkpoint and these images tell"
        yield f"healthy: the statistics of {whose} can be trusted, as far as {tell}"
    yield from (_sentence(finding, diagnosis, run) for finding in _found(diagnosis) if finding.is_sick)
    if diagnosis.gap is not None:
        yield f"on the data: {diagnosis.gap.describe()}; {_causes(diagnosis)}"
    yield from (_sentence(finding, diagnosis, run) for finding in _found(diagnosis) if not finding.is_sick)
    if run.num_images is not None:
        yield f"remark: the statistics were recalibrated from {run.num_images} images"
    elif diagnosis.gap is None and any(
        layer.old_statistics_left is None for layer in diagnosis.layers if not _AT_THE_START & {*layer.findings}
    ):
        missing = "the decay (--decay)" if diagnosis.decay is None else "the number of steps (--steps)"
        yield f"remark: pit two cannot be excluded without {missing}"


def _found(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in Finding if diagnosis.with_finding(finding)]


def _sentence(finding: Finding, diagnosis: Diagnosis, run: _Run) -> str:
    found = diagnosis.with_finding(finding)
    return _MEANING[finding].format(
        layers=_were(found, diagnosis),
        first=found[0].name,
        fact=found[0].facts[finding],
        steps=run.steps,
        decay=diagnosis.decay,
        left=max(layer.old_statistics_left or 0.0 for layer in found),
        recommended=diagnosis.recommended_decay,
        moved=run.num_moved,
    )


def _causes(diagnosis: Diagnosis) -> str:
    off = [layer for layer in diagnosis.layers if layer.drift is not None and not layer.drift.is_small]
    if not off:
        gain = diagnosis.gap is not None and diagnosis.gap.accuracy_lost is not None and diagnosis.gap.is_felt
        return "no layer drifts" + (", but `slim2keras recalibrate` may gain the difference" if gain else "")
    worst = max(off, key=lambda layer: layer.drift.size)  # type: ignore[union-attr]
    repaired = diagnosis.gap_repaired
    if repaired is None:
        after = ""
    elif repaired.accuracy_moving is None:
        after = f"; {repaired.agreement:.1%} with them recalibrated"
    else:
        after = f"; {repaired.accuracy_moving:.1%} with them recalibrated"
    return f"{_were(off, diagnosis)} off, furthest {worst.name} ({worst.drift.describe()}){after}"  # type: ignore[union-attr]


def _were(layers: Sequence[LayerDiagnosis], diagnosis: Diagnosis) -> str:
    return f"{len(layers)} of {len(diagnosis.layers)} layers {'was' if len(layers) == 1 else 'were'}"
