"""A net of the zoo with all of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slim2keras.graphs.graph import LayerGraph, Shape
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.nets import find_net
from slim2keras.nets.arguments import OfMovingStatistics


@dataclass(frozen=True)
class NetSpec(Network):
    """A network of slim's zoo with all of its arguments: enough to lay it again.

    Attributes:
        net: Name of the network in the zoo.
        input_shape: (height, width, channels), sizes ``None`` where open.
        arguments: Every slim argument, defaults filled in.
        preprocessing: Key of slim's ``preprocessing_factory``; the network's own if left out.
    """

    net: str
    input_shape: Shape
    arguments: Mapping[str, Any]
    preprocessing: str = ""
    name: str = field(init=False)
    labels_offset: int = field(init=False)
    num_classes: int | None = field(init=False)
    drop_path_steps: int | None = field(init=False)

    def __post_init__(self) -> None:
        net = find_net(self.net)
        facts = {
            "name": net.name,
            "preprocessing": self.preprocessing or net.preprocessing,
            "labels_offset": net.labels_offset,
            "num_classes": self.arguments.get("num_classes"),
            "drop_path_steps": self.arguments.get("total_training_steps"),
        }
        for fact, value in facts.items():
            object.__setattr__(self, fact, value)

    @classmethod
    def make(
        cls, net: str, input_shape: Shape | None, arguments: Mapping[str, Any], preprocessing: str = ""
    ) -> NetSpec:
        """Fill in slim's defaults.

        Raises:
            UnknownNetError: If there is no such network.
            UnsupportedArgumentError: If it does not take an argument.
        """
        found = find_net(net)
        shape = tuple(input_shape or found.default_input_shape)
        return cls(net, shape, found.check_arguments(arguments), preprocessing)

    @property
    def scope(self) -> str:
        scope: str = self.arguments["scope"]
        return scope

    @property
    def usual_shape(self) -> Shape:
        usual = find_net(self.net).default_input_shape
        return tuple(given or default for given, default in zip(self.input_shape, usual, strict=True))

    @property
    def strangeness(self) -> tuple[bool, int]:
        """How far the arguments are from what the name says, to choose among networks that differ in defaults only.

        A ``mobilenet_v1_050`` of another depth multiplier is stranger than a ``mobilenet_v1`` of it.
        """
        changed = self.changed_arguments()
        return bool(find_net(self.net).row_arguments.intersection(changed)), len(changed)

    def trace(self) -> LayerGraph:
        return find_net(self.net).trace(self.input_shape, **self.arguments)

    def changed_arguments(self) -> dict[str, Any]:
        defaults = find_net(self.net).defaults
        return {name: value for name, value in self.arguments.items() if value != defaults[name]}

    @property
    def decay_argument(self) -> str | None:
        """Slim's name for the decay of BatchNorm's moving statistics, ``None`` where it is no argument."""
        return next(iter(find_net(self.net).marked(OfMovingStatistics)), None)

    def with_decay(self, decay: float) -> NetSpec:
        name = self.decay_argument
        return self if name is None else replace(self, arguments={**self.arguments, name: decay})

    def with_preprocessing(self, preprocessing: str) -> NetSpec:
        return replace(self, preprocessing=preprocessing)

    def to_config(self) -> dict[str, Any]:
        return {
            "net": self.net,
            "input_shape": self.input_shape,
            "arguments": dict(self.arguments),
            "preprocessing": self.preprocessing,
        }


def network_from_config(config: Mapping[str, Any]) -> Network:
    """Rebuild a network from its ``to_config``, or from a report, which holds it.

    Raises:
        UnknownNetError: If there is no such network.
        UnsupportedArgumentError: If it does not take an argument.
        ValueError, KeyError, TypeError: If it is no such config.
    """
    if config.get("graph") is not None:
        return GraphNetwork.from_config(config)
    preprocessing = config.get("preprocessing") or ""
    return NetSpec.make(config["net"], tuple(config["input_shape"]), config["arguments"], preprocessing)
