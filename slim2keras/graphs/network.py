"""A network: a layer graph with its facts. Building, loading, parity, data, doctor, training and outputs take one."""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slim2keras.graphs.graph import Layer, LayerGraph, Shape

_BATCH_NORM = "BatchNormalization"
_PROBABILITIES = ("softmax", "sigmoid")
_IMAGE_RANK = 3
_CHANGES_SHAPE_ONLY = ("Flatten", "Permute", "Reshape", "ExpandDims", "Identity", "Squeeze")


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
        is_folded: Whether BatchNorm is in the weights of other layers, so that it is for inference only.
    """

    name: str
    input_shape: Shape
    preprocessing: str
    labels_offset: int
    num_classes: int | None
    arguments: Mapping[str, Any]
    drop_path_steps: int | None
    is_folded: bool = False

    @functools.cached_property
    def graph(self) -> LayerGraph:
        """Its layers; not to be changed."""
        return self.trace()

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Of every input as ``input_shape``, which is that of the first."""
        return tuple(tuple(layer.config["input_shape"]) for layer in self.graph.input_layers)

    @abc.abstractmethod
    def trace(self) -> LayerGraph:
        """Lay the layers."""

    @abc.abstractmethod
    def with_decay(self, decay: float) -> Network:
        """The same network with another decay in all of its BatchNorm layers."""

    @abc.abstractmethod
    def with_preprocessing(self, preprocessing: str) -> Network:
        """The same network for images of another pipeline, a key of ``preprocessing.PIPELINES``."""

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
        """Height and width of its images, the usual ones where they are open; ``None`` of what is no image."""
        height, width = self.usual_shape[-3:-1] if len(self.usual_shape) >= _IMAGE_RANK else (None, None)
        return height, width

    @property
    def gives_logits(self) -> bool:
        """Whether its first output is no probability."""
        return self.final_activation is None

    @property
    def final_activation(self) -> str | None:
        """``softmax`` or ``sigmoid`` where the first output is probabilities."""
        layers = self.graph.layers
        layer = layers[self.graph.outputs[0].layer_name]
        while _computation(layer) in _CHANGES_SHAPE_ONLY and len(layer.inputs) == 1:
            layer = layers[layer.inputs[0].layer_name]
        layer = self.graph.owner_of(layer)
        names = {_computation(layer).lower(), layer.config.get("activation")}
        return next((name for name in _PROBABILITIES if name in names), None)

    @property
    def decays(self) -> dict[str, float]:
        """Fraction of the moving statistics that a step keeps, of every BatchNorm layer."""
        layers = self.graph.layers.values()
        return {
            layer.name: layer.config.get("momentum", 0.99)
            for layer in layers
            if layer.kind == _BATCH_NORM and not layer.call_of
        }

    def batch_norm(self) -> dict[str, float] | None:
        """Decay and epsilon of the network's first BatchNorm, ``None`` if it has none."""
        for name, decay in self.decays.items():
            return {"decay": decay, "epsilon": self.graph.layers[name].config.get("epsilon", 1e-3)}
        return None


@dataclass(frozen=True, eq=False)
class GraphNetwork(Network):
    """A network that is its layer graph: one of nobody's registry.

    Attributes:
        layers: The graph.
        origin: Where the graph was imported from, as plain values; ``None`` if it was not imported.
        usual_sizes: The input shape that it was published for, where that is known and sizes are open.
    """

    name: str
    layers: LayerGraph = field(repr=False)
    preprocessing: str = ""
    labels_offset: int = 0
    num_classes: int | None = None
    drop_path_steps: int | None = None
    origin: Mapping[str, Any] | None = None
    is_folded: bool = False
    usual_sizes: Shape | None = None
    arguments: Mapping[str, Any] = field(init=False, default_factory=dict)
    input_shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        shapes = self.input_shapes
        if not shapes:
            raise ValueError(f"the graph of {self.name} has no InputLayer")
        object.__setattr__(self, "input_shape", shapes[0])

    @property
    def usual_shape(self) -> Shape:
        return self.usual_sizes or self.input_shape

    def trace(self) -> LayerGraph:
        return self.layers

    def with_decay(self, decay: float) -> GraphNetwork:
        config = self.layers.to_config()
        for row in config["layers"]:
            if row["class_name"] == _BATCH_NORM:
                row["config"]["momentum"] = decay
        return replace(self, layers=LayerGraph.from_config(config))

    def with_preprocessing(self, preprocessing: str) -> GraphNetwork:
        return replace(self, preprocessing=preprocessing)

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
            "origin": None if self.origin is None else dict(self.origin),
            "is_folded": self.is_folded,
            "usual_sizes": self.usual_sizes,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GraphNetwork:
        """The reverse.

        Raises:
            ValueError, KeyError, TypeError: If it is no such config.
        """
        network = cls(
            name=str(config["net"]),
            layers=LayerGraph.from_config(config["graph"]),
            preprocessing=str(config["preprocessing"]),
            labels_offset=int(config["labels_offset"]),
            num_classes=_count(config["num_classes"]),
            drop_path_steps=_count(config["drop_path_steps"]),
            origin=None if config.get("origin") is None else dict(config["origin"]),
            # Reports of earlier versions lack them.
            is_folded=bool(config.get("is_folded", False)),
            usual_sizes=None if config.get("usual_sizes") is None else tuple(map(_count, config["usual_sizes"])),
        )
        if not network.layers.outputs:
            raise ValueError(f"the graph of {network.name} has no outputs")
        if network.input_shape != tuple(config["input_shape"]):
            raise ValueError(f"the graph takes {network.input_shape}, and not {config['input_shape']}")
        return network


def _computation(layer: Layer) -> str:
    """What a layer computes: its class, or the op that it applies."""
    return str(layer.config["op"]) if layer.kind == "TensorFlowOp" else layer.kind


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
