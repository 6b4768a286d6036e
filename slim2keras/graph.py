"""A network as data: layers, shapes and variables, before any of it is made.

Nets build such a graph in milliseconds and without TensorFlow. That is what makes it possible to ask of a checkpoint
"which network has exactly these variables?", to plan a load as a dry run, and to list a net's variables at once.
Turning it into a ``tf_keras.Model`` is ``keras_model.build_model``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Variable:
    """A variable under its slim name."""

    name: str
    shape: tuple[int, ...]
    trainable: bool = True


@dataclass(frozen=True, eq=False)
class Tensor:
    """An activation.

    Attributes:
        graph: The graph that it belongs to.
        layer_name: The layer that produces it.
        shape: Without the batch: (height, width, channels) or (channels,); ``None`` where the size is open.
    """

    graph: LayerGraph
    layer_name: str
    shape: Shape

    @property
    def channels(self) -> int:
        channels = self.shape[-1]
        assert channels is not None
        return channels


@dataclass(frozen=True, eq=False)
class Layer:
    """One stock Keras layer.

    Attributes:
        kind: Class in ``tf_keras.layers``.
        name: Slim scope.
        config: Arguments of the class, serialised as Keras does.
        inputs: Activations that it is called with.
        variables: Its variables in the order in which slim creates them.
        initial_values: What variables start from that no initializer of Keras gives, by Keras' leaf names.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    variables: tuple[Variable, ...] = ()
    initial_values: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(eq=False)
class LayerGraph:
    """The layers of a network, in the order in which slim makes them."""

    layers: dict[str, Layer] = field(default_factory=dict)
    end_points: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)

    def add(self, layer: Layer, shape: Shape) -> Tensor:
        """Append a layer and return its output, of ``shape`` without the batch."""
        assert layer.name not in self.layers, f"two layers are named {layer.name}"
        self.layers[layer.name] = layer
        return Tensor(self, layer.name, shape)

    def variables(self) -> Iterator[Variable]:
        """Variables of the layers that lead to an output, in slim's order of creation."""
        used = self.layers_to(self.outputs)
        for layer in self.layers.values():
            if layer.name in used:
                yield from layer.variables

    def model_layers(self) -> list[Layer]:
        """The layers that lead to an output, in the order in which tf_keras has them in ``model.layers``.

        By the longest way to an output, and where that is equal as a search from the outputs comes upon them.

        Source: tf_keras/src/engine/functional.py, ``_map_graph_network``.
        """
        met: dict[str, int] = {}
        finished: list[str] = []
        pending = [(tensor.layer_name, False) for tensor in reversed(self.outputs)]
        while pending:
            name, is_done = pending.pop()
            if is_done:
                finished.append(name)
            elif name not in met:
                met[name] = len(met)
                pending.append((name, True))
                pending += [(tensor.layer_name, False) for tensor in reversed(self.layers[name].inputs)]
        depths = dict.fromkeys(finished, 0)
        for name in reversed(finished):
            for tensor in self.layers[name].inputs:
                depths[tensor.layer_name] = max(depths[tensor.layer_name], depths[name] + 1)
        return [self.layers[name] for name in sorted(finished, key=lambda name: (-depths[name], met[name]))]

    def layers_to(self, tensors: list[Tensor]) -> set[str]:
        """Names of the layers that ``tensors`` depend on."""
        found: set[str] = set()
        open_names = [tensor.layer_name for tensor in tensors]
        while open_names:
            name = open_names.pop()
            if name not in found:
                found.add(name)
                open_names.extend(tensor.layer_name for tensor in self.layers[name].inputs)
        return found
