"""What a checkpoint tells of its BatchNorm layers and of the training that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.modes import BatchNormMode
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.checkpoints.training_record import LayerRecord, TrainingRecord, read_record, recalibrated_from
from slim2keras.conversion.plan import recognise_as_asked
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import Slim2KerasError
from slim2keras.graphs.graph import Layer
from slim2keras.graphs.network import Network
from slim2keras.importing.meta_graph import read_decays
from slim2keras.models.finite import all_finite
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.from_variables import Candidate
from slim2keras.scopes import VariableInfo, VariableKind, ema_name, natural_order
from slim2keras.training.model_variables import ModelVariables, open_variables

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WEIGHTS = ("pointwise_weights", "depthwise_weights", "weights")
"""Last part of the name of what a BatchNorm layer follows, beside it; of a separable convolution the last kernel."""
_NORM_LEAVES = ("moving_mean", "moving_variance", "gamma")
_BATCH_NORM = "BatchNormalization"
_FOLDED_CORRELATION = -0.3
"""Of log norm of a channel's weights and log of what BatchNorm divides it by, over all layers. Measured: a MobileNet v1
has 0.6, a keyword spotter 0.4, a ResNet of 200 steps 0.2; with the scale folded into the weights -0.7, -0.9 and -1."""
_FOLDED_DEVIATIONS = 5.0
"""By how many standard deviations chance must be excluded."""


@dataclass(frozen=True)
class NormNames:
    """A BatchNorm layer, and the names that a checkpoint has for its variables."""

    layer: str
    mean: str
    variance: str
    gamma: str

    @classmethod
    def of_slim(cls, scope: str) -> NormNames:
        return cls(scope, *(f"{scope}/{leaf}" for leaf in _NORM_LEAVES))

    @classmethod
    def of_layer(cls, layer: Layer) -> NormNames:
        return cls(layer.name, *map(layer.variable_name, _NORM_LEAVES))

    @property
    def statistics(self) -> set[str]:
        return {self.mean, self.variance}


def batch_norms(checkpoint: Checkpoint, network: Network | None = None) -> list[NormNames]:
    """BatchNorm layers of a checkpoint: those of its network where it is known, then those found by slim's names.

    In the order of the network; the others with ``Conv2d_2`` before ``Conv2d_10``.
    """
    layers = () if network is None else network.graph.layers.values()
    known = [NormNames.of_layer(layer) for layer in layers if layer.kind == _BATCH_NORM and not layer.call_of]
    names = checkpoint.names(VariableKind.MODEL)
    scopes = (name.removesuffix("/moving_mean") for name in names if name.endswith("/moving_mean"))
    means = {norm.mean for norm in known}
    named = [NormNames.of_slim(scope) for scope in sorted(scopes, key=natural_order)]
    found = [*known, *(norm for norm in named if norm.mean not in means)]
    variables = checkpoint.variables
    return [norm for norm in found if _is_per_channel(variables.get(norm.variance), variables.get(norm.mean))]


def _is_per_channel(info: VariableInfo | None, mean: VariableInfo | None) -> bool:
    """Whether a variable has as many numbers as a moving mean, one or more, floating-point both."""
    if mean is None:
        return False
    has_numbers = "float" in mean.dtype and 0 not in mean.shape
    return has_numbers and info is not None and info.shape == mean.shape and "float" in info.dtype


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype("float64")


@dataclass(frozen=True)
class Statistics:
    """Statistics of a BatchNorm layer, (channels,) each; ``None`` for what the checkpoint does not have.

    Attributes:
        names: What the checkpoint calls them.
        weight_norms: Euclidean norm of the weights of each channel that the layer gets.
    """

    names: NormNames
    mean: NDArray[Any]
    variance: NDArray[Any]
    gamma: NDArray[Any] | None
    shadow_mean: NDArray[Any] | None
    shadow_variance: NDArray[Any] | None
    weight_norms: NDArray[Any] | None

    @classmethod
    def read(cls, checkpoint: Checkpoint, names: NormNames) -> Statistics:
        mean, variance = names.mean, names.variance
        optional = (names.gamma, ema_name(mean), ema_name(variance))
        fits = (_is_per_channel(checkpoint.variables.get(item), checkpoint.variables[mean]) for item in optional)
        gamma, shadow_mean, shadow_variance = (
            _wide(checkpoint[item]) if its else None for item, its in zip(optional, fits, strict=True)
        )
        return cls(
            names=names,
            mean=_wide(checkpoint[mean]),
            variance=_wide(checkpoint[variance]),
            gamma=gamma,
            shadow_mean=shadow_mean,
            shadow_variance=shadow_variance,
            weight_norms=_weight_norms(checkpoint, names),
        )

    @property
    def name(self) -> str:
        """Of the layer, in slim its scope."""
        return self.names.layer

    @property
    def is_initial(self) -> bool:
        """Whether the statistics are those of a fresh network."""
        return bool(np.all(self.mean == 0.0) and np.all(self.variance == 1.0))

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.variance).all())

    def has_bits_of(self, other: Statistics) -> bool:
        """Whether the statistics of both are equal bit for bit."""
        pairs = ((self.mean, other.mean), (self.variance, other.variance))
        return all(mine.tobytes() == theirs.tobytes() for mine, theirs in pairs)

    def scale_correlation(self) -> tuple[float, int] | None:
        """How the weights of a channel go with what BatchNorm divides it by, and the number of channels.

        A channel with large weights varies much, and is divided by much. Where a script has folded the division into
        the weights and left the statistics, it is the other way round.
        """
        if self.weight_norms is None:
            return None
        gamma = np.ones_like(self.variance) if self.gamma is None else np.abs(self.gamma)
        with np.errstate(all="ignore"):
            divisor, norms = np.log(np.sqrt(self.variance) / gamma), np.log(self.weight_norms)
        usable = np.isfinite(divisor) & np.isfinite(norms)
        if usable.sum() < 4 or np.ptp(divisor[usable]) < 1e-3 or np.ptp(norms[usable]) < 1e-3:
            return None
        return float(np.corrcoef(divisor[usable], norms[usable])[0, 1]), int(usable.sum())


def _weight_norms(checkpoint: Checkpoint, names: NormNames) -> NDArray[Any] | None:
    scope = names.layer.rpartition("/")[0]
    found = next((path for leaf in _WEIGHTS if (path := f"{scope}/{leaf}") in checkpoint.variables), None)
    if found is None or "float" not in checkpoint.variables[found].dtype:
        return None
    weights = _wide(checkpoint[found])
    # A channel of a depthwise kernel is the product of its last two axes.
    channel_axes = 2 if found.endswith("depthwise_weights") else 1
    norms = np.sqrt((weights**2).sum(tuple(range(weights.ndim - channel_axes)))).ravel()
    return norms if norms.shape == checkpoint.variables[names.mean].shape else None


def pooled_correlation(layers: Sequence[Statistics]) -> float | None:
    """``Statistics.scale_correlation`` over all layers, ``None`` if chance cannot be excluded.

    Source: R. A. Fisher, Statistical Methods for Research Workers, 1925: ``arctanh`` of a correlation has the variance
    ``1 / (n - 3)``.
    """
    found = [item for layer in layers if not layer.is_initial and (item := layer.scale_correlation()) is not None]
    weights = np.array([count - 3.0 for _, count in found])
    if not found:
        return None
    transformed = np.arctanh(np.clip([correlation for correlation, _ in found], -0.999, 0.999))
    pooled = float(np.sum(weights * transformed) / np.sum(weights))
    return float(np.tanh(pooled)) if abs(pooled) * np.sqrt(np.sum(weights)) > _FOLDED_DEVIATIONS else None


@dataclass(frozen=True)
class Run:
    """What is known of the training run.

    Attributes:
        steps: Steps trained.
        is_trained: Whether the checkpoint shows that training went on after the variables were made.
        typical_variance: Median over the layers of their median variance.
        start: Layers of the checkpoint that training started from.
        num_moved: Variables besides moving statistics that differ from it.
        num_images: Images that the statistics were recalibrated from, ``None`` if training left them as they are.
        correlation: Of weights and statistics over all layers, see ``pooled_correlation``.
        record: What fine-tuning wrote beside the checkpoint.
        is_asked_otherwise: Whether the user gave a decay or steps, to be reckoned with instead of the shares recorded.
    """

    steps: int | None
    is_trained: bool
    typical_variance: float
    start: Mapping[str, Statistics]
    num_moved: int
    num_images: int | None
    correlation: float | None
    record: TrainingRecord
    is_asked_otherwise: bool

    @classmethod
    def read(
        cls,
        checkpoint: Checkpoint,
        layers: Sequence[Statistics],
        *,
        steps: int | None,
        decay: float | None,
        pretrained: str | Path | None,
    ) -> Run:
        start: Mapping[str, Statistics] = {}
        num_moved = 0
        if pretrained is not None:
            with open_variables(pretrained) as opened:
                start, num_moved = _read_start(opened, layers), _num_moved(checkpoint, opened, layers)
        return cls(
            steps=checkpoint.global_step if steps is None else steps,
            is_trained=_counts_steps(checkpoint),
            typical_variance=_typical_variance(layers),
            start=start,
            num_moved=num_moved,
            num_images=recalibrated_from(checkpoint),
            correlation=pooled_correlation(layers),
            record=_record_of(checkpoint),
            is_asked_otherwise=steps is not None or decay is not None,
        )

    def recorded(self, name: str) -> LayerRecord | None:
        """What fine-tuning did to a layer, ``None`` if it is not recorded."""
        return self.record.layers.get(name) if self.record.steps else None

    @property
    def steps_of_share(self) -> int | None:
        """Steps that the shares of old statistics are of."""
        return self.record.steps if self.record.steps and not self.is_asked_otherwise else self.steps

    @property
    def is_folded(self) -> bool:
        """Whether the weights have the scale of BatchNorm in them already."""
        return self.correlation is not None and self.correlation < _FOLDED_CORRELATION


def _record_of(checkpoint: Checkpoint) -> TrainingRecord:
    return checkpoint.record if isinstance(checkpoint, ModelVariables) else read_record(checkpoint)


def nonfinite_weights(checkpoint: Checkpoint, layers: Sequence[Statistics]) -> list[str]:
    """Model variables that have NaN or infinite values, the statistics of the layers apart."""
    statistics = {name for layer in layers for name in layer.names.statistics}
    return [
        name
        for name in checkpoint.names(VariableKind.MODEL)
        if name not in statistics and "float" in checkpoint.variables[name].dtype and not all_finite(checkpoint[name])
    ]


def _counts_steps(checkpoint: Checkpoint) -> bool:
    step = checkpoint.global_step
    return bool(checkpoint.names(VariableKind.SLOT)) if step is None else step > 0


def _typical_variance(layers: Iterable[Statistics]) -> float:
    medians = [float(np.median(layer.variance)) for layer in layers if layer.is_finite]
    return float(np.median(medians)) if medians else float("nan")


def _read_start(start: Checkpoint, layers: Sequence[Statistics]) -> dict[str, Statistics]:
    infos = start.variables
    known = (
        layer.names for layer in layers if _is_per_channel(infos.get(layer.names.variance), infos.get(layer.names.mean))
    )
    return {names.layer: Statistics.read(start, names) for names in known}


def _num_moved(checkpoint: Checkpoint, start: Checkpoint, layers: Sequence[Statistics]) -> int:
    """Model variables that differ from those that training started from, the moving statistics apart."""
    statistics = {name for layer in layers for name in layer.names.statistics}
    return sum(
        checkpoint[name].tobytes() != start[name].tobytes()
        for name in checkpoint.names(VariableKind.MODEL)
        if name in start and name not in statistics and not name.endswith(("/moving_mean", "/moving_variance"))
    )


@dataclass(frozen=True)
class Decays:
    """Decay by scope, a decay for the others, and where they come from.

    Attributes:
        is_assumed: Whether it is but the default of the network recognised: then it proves nothing.
    """

    by_scope: Mapping[str, float]
    others: float | None
    source: str
    is_assumed: bool = False

    def of(self, scope: str) -> float | None:
        return self.by_scope.get(scope, self.others)


def find_decays(
    checkpoint: Checkpoint, request: CheckpointRequest, decay: float | None, candidate: Candidate | None
) -> Decays:
    """Decays by what is surest: given, of the network given, recorded by fine-tuning, in the ``.meta``, the default.

    Args:
        candidate: The network that is recognised.
    """
    if decay is not None:
        return Decays({}, decay, "given")
    if (network := request.known_network) is not None:
        is_assumed = request.found is not None and not request.found.imported.decay_is_known
        return Decays(network.decays, None, f"the layers of {network.name}", is_assumed)
    if request.net is not None:
        spec = NetSpec.make(request.net, None, request.arguments)
        return Decays({}, _decay_of(spec), f"the default of {spec.name}")
    return _told_decays(checkpoint) or _assumed_decays(candidate)


def _told_decays(checkpoint: Checkpoint) -> Decays | None:
    recorded = _record_of(checkpoint)
    if recorded.steps:
        # A layer that did not move has a decay, but none that counted.
        moved = {name: item.decay for name, item in recorded.layers.items() if item.mode is BatchNormMode.UPDATE}
        return Decays(moved, None, "recorded by fine-tuning")
    if isinstance(checkpoint, ModelVariables):
        return Decays(checkpoint.decays, None, "the momentum of the layers")
    if by_scope := read_decays(checkpoint.location.prefix):
        return Decays(by_scope, None, "the .meta beside the checkpoint")
    return None


def _assumed_decays(candidate: Candidate | None) -> Decays:
    if candidate is None:
        return Decays({}, None, "unknown")
    return Decays({}, _decay_of(candidate.spec), f"assumed, the default of {candidate.spec.name}", is_assumed=True)


def recognised(checkpoint: Checkpoint, request: CheckpointRequest) -> Candidate | None:
    """The network of slim2keras that the checkpoint is of or near to, ``None`` if it is of another.

    Raises:
        UnsupportedArgumentError: If the network does not take an argument that is asked for.
        UnrecognisedNetError: If it is of another, and arguments are asked for that belong to no network then.
    """
    if request.known_network is not None:
        return None
    try:
        return recognise_as_asked(checkpoint, request)
    except Slim2KerasError:
        if request.arguments and request.net is None:
            raise
        return None


def _decay_of(network: Network) -> float | None:
    batch_norm = network.batch_norm()
    return None if batch_norm is None else batch_norm["decay"]
