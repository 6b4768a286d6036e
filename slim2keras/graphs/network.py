"""A network: a layer graph with its facts. Building, loading, parity, data, doctor, training and outputs take one."""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slim2keras.graphs.graph import LayerGraph, Shape

_PROBABILITIES = frozenset({"softmax", "sigmoid"})


class Network(abc.ABC):
    """A layer graph with its facts, and how it can be rebuilt: a net of slim's zoo, or anybody's.

    Attributes:
        name: Of the network.
        input_shape: (height, width, channels), sizes ``None`` where open; the frames first where it is one of videos.
        preprocessing: Key of ``preprocessing.PIPELINES``; empty if nobody knows.
        labels_offset: What slim's trainer takes off ImageNet labels: 1 where there is no background class.
        num_classes: Of the logits, 0 or ``None`` where the network ends in its features.
        arguments: slim's arguments, none where it is no network of slim's zoo.
        drop_path_steps: Steps over which the rate of drop-path grows, ``None`` where it does not.
    """

    name: str
    input_shape: Shape
    preprocessing: str
    labels_offset: int
    num_classes: int | None
    arguments: Mapping[str, Any]
    drop_path_steps: int | None

    @functools.cached_property
    def graph(self) -> LayerGraph:
        """Its layers; not to be changed."""
        return self.trace()

    @abc.abstractmethod
    def trace(self) -> LayerGraph:
        """Lay the layers."""

    @abc.abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Enough to rebuild it, as plain values, see ``network_from_config``."""

    def changed_arguments(self) -> dict[str, Any]:
        """Arguments that are not slim's defaults."""
        return {}

    @property
    def usual_shape(self) -> Shape:
        """Input shape, with the sizes that the network was published for where they are open."""
        return self.input_shape

    @property
    def image_size(self) -> tuple[int | None, int | None]:
        """Height and width of its images, the usual ones where they are open."""
        height, width = self.usual_shape[-3:-1]
        return height, width

    @property
    def gives_logits(self) -> bool:
        """Whether its outputs are no probabilities."""
        outputs = [self.graph.layers[tensor.layer_name] for tensor in self.graph.outputs]
        return not any(layer.kind == "Softmax" or layer.config.get("activation") in _PROBABILITIES for layer in outputs)

    @property
    def decays(self) -> dict[str, float]:
        """Fraction of the moving statistics that a step keeps, of every BatchNorm layer."""
        layers = self.graph.layers.values()
        return {layer.name: layer.config["momentum"] for layer in layers if layer.kind == "BatchNormalization"}

    def batch_norm(self) -> dict[str, float] | None:
        """Decay and epsilon of the network's BatchNorm, ``None`` if it has none."""
        configs = (layer.config for layer in self.graph.layers.values() if layer.kind == "BatchNormalization")
        return next(({"decay": config["momentum"], "epsilon": config["epsilon"]} for config in configs), None)


@dataclass(frozen=True, eq=False)
class GraphNetwork(Network):
    """A network that is its layer graph: one of nobody's registry.

    Attributes:
        layers: The graph.
    """

    name: str
    layers: LayerGraph = field(repr=False)
    preprocessing: str = ""
    labels_offset: int = 0
    num_classes: int | None = None
    drop_path_steps: int | None = None
    arguments: Mapping[str, Any] = field(init=False, default_factory=dict)
    input_shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.layers.layers["inputs"].config["input_shape"]))

    def trace(self) -> LayerGraph:
        return self.layers

    def to_config(self) -> dict[str, Any]:
        return {
            "net": self.name,
            "graph": self.layers.to_config(),
            "input_shape": self.input_shape,
            "arguments": {},
            "preprocessing": self.preprocessing,
            "labels_offset": self.labels_offset,
            "num_classes": self.num_classes,
            "drop_path_steps": self.drop_path_steps,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GraphNetwork:
        """The reverse.

        Raises:
            ValueError, KeyError, TypeError: If it is no such config.
        """
        return cls(
            name=str(config["net"]),
            layers=LayerGraph.from_config(config["graph"]),
            preprocessing=str(config["preprocessing"]),
            labels_offset=int(config["labels_offset"]),
            num_classes=_count(config["num_classes"]),
            drop_path_steps=_count(config["drop_path_steps"]),
        )


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
