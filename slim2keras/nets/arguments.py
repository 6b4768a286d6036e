"""What an argument of slim is, beyond its type; a network says it in the annotation of the argument.

``weight_decay: WeightDecay = 0.0001`` is a number that is not negative, that slim's arg scope takes, and that a model's
layers tell.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from slim2keras.graphs.activations import ACTIVATIONS
from slim2keras.graphs.graph import LayerGraph

LayerConfigs = Mapping[str, Mapping[str, Any]]
"""Keras configuration of every layer of a model, with its class as ``kind`` and, of each of its ``calls``, the inputs.

An input is the name of a layer, and which of its calls made it.
"""

Lay = Callable[..., LayerGraph]
"""Lays a network with arguments that are known, and with others that are given."""


@dataclass(frozen=True)
class AtLeast:
    """The smallest value, and how an error says so."""

    minimum: float
    requirement: str


class ShownInLayers(abc.ABC):
    """That an argument shows in the layers of a model, and not in its variables."""

    @abc.abstractmethod
    def candidates(self, default: Any, layers: LayerConfigs, lay: Lay) -> Iterable[Any]:
        """What it may be in a model of these layers, likeliest first."""


@dataclass(frozen=True)
class Tried(ShownInLayers):
    """All that can be done is to try these values, slim's default before them."""

    values: tuple[Any, ...]

    def candidates(self, default: Any, layers: LayerConfigs, lay: Lay) -> Iterable[Any]:  # noqa: ARG002
        return (default, *self.values)


@dataclass(frozen=True)
class OneOf(Tried):
    """The same, and other values are refused."""


@dataclass(frozen=True)
class Told(ShownInLayers):
    """A layer tells it: the first of whose configuration ``told`` makes more than ``None``.

    Attributes:
        untold: What it is where no layer tells; slim's default if left out.
    """

    told: Callable[[Mapping[str, Any]], Any]
    untold: Any = None

    def candidates(self, default: Any, layers: LayerConfigs, lay: Lay) -> Iterable[Any]:  # noqa: ARG002
        values = (value for config in layers.values() if (value := self.told(config)) is not None)
        return (next(values, default if self.untold is None else self.untold),)


@dataclass(frozen=True)
class LastEndPoint(ShownInLayers):
    """It is slim's default, or the last end point that there is of those that ``names``, an expression, fits."""

    names: str = ".*"

    def candidates(self, default: Any, layers: LayerConfigs, lay: Lay) -> Iterable[Any]:
        present = [
            name
            for name, tensor in lay().end_points.items()
            if tensor.layer_name in layers and re.fullmatch(self.names, name)
        ]
        return (default, *present[-1:])


class _DropPathRates(ShownInLayers):
    """Rates are scaled by depth, so one layer tells it."""

    def candidates(self, default: Any, layers: LayerConfigs, lay: Lay) -> Iterator[Any]:  # noqa: ARG002
        rates = {name: config["rate"] for name, config in layers.items() if is_drop_path(config)}
        if not rates:
            yield 1.0
            return
        at_one_half = lay(drop_path_keep_prob=0.5).layers
        if name := next((name for name in at_one_half if name in rates), None):
            scaling = at_one_half[name].config["rate"] / 0.5
            yield round(1.0 - rates[name] / scaling, 12)


def is_drop_path(layer_config: Mapping[str, Any]) -> bool:
    """Whether a layer drops the whole activation of an image."""
    return bool(layer_config.get("noise_shape"))


@dataclass(frozen=True)
class ChangesOnly:
    """That an argument changes these end points, an expression, and what lies behind them, and no others.

    A slim that lacks the argument can judge all others.

    Attributes:
        end_points: Empty for an argument that cuts the network: it leaves end points out and changes none.
        where_cut: Value that spares a slim that cannot cut what it would lay in vain, ``None`` if there is none.
    """

    end_points: str
    where_cut: Any = None


@dataclass(frozen=True)
class OfArgScope:
    """That slim's arg scope takes the argument also where it does not name it, and the network function does not."""


@dataclass(frozen=True)
class KeepProbability:
    """That the argument is 1 where nothing is to be dropped."""


@dataclass(frozen=True)
class ActivationName:
    """That slim takes the function of ``tf.nn`` where we take its name."""


@dataclass(frozen=True)
class OfMovingStatistics:
    """That the argument is the decay of BatchNorm's moving statistics."""


def _l2_scale(config: Mapping[str, Any]) -> float | None:
    regularizer = config.get("kernel_regularizer")
    # Keras keeps the factor in float32, which has seven digits.
    return float(f"{2 * regularizer['config']['l2']:.7g}") if regularizer else None


def _keep_probability(config: Mapping[str, Any]) -> float | None:
    return round(1.0 - config["rate"], 12) if "rate" in config and not is_drop_path(config) else None


def _epsilon(config: Mapping[str, Any]) -> float | None:
    return config["epsilon"] if "momentum" in config else None


_NOT_NEGATIVE = AtLeast(0, "must not be negative")

NumClasses = Annotated[int | None, AtLeast(0, "must be 0, None or positive")]
DepthMultiplier = Annotated[float, _NOT_NEGATIVE]
WeightDecay = Annotated[float, _NOT_NEGATIVE, OfArgScope(), Told(_l2_scale, untold=0.0)]
BatchNormDecay = Annotated[
    float, _NOT_NEGATIVE, OfArgScope(), OfMovingStatistics(), Told(lambda config: config.get("momentum"))
]
BatchNormEpsilon = Annotated[float, _NOT_NEGATIVE, OfArgScope(), Told(_epsilon)]
KeepProb = Annotated[float, KeepProbability(), Told(_keep_probability)]
DropPathKeepProb = Annotated[float, KeepProbability(), _DropPathRates()]
ShownSwitch = Annotated[bool, Tried((True, False))]
ActivationFn = Annotated[str | None, ActivationName(), Tried((None, *ACTIVATIONS))]
CreateAuxLogits = Annotated[bool, ChangesOnly("AuxLogits", where_cut=False)]
CUTS = ChangesOnly("")
FinalEndPoint = Annotated[str | None, CUTS, LastEndPoint()]
"""The network ends there; in the families whose head moves there it is another argument."""
