"""A network as data: layers, shapes and variables, before any of it is made.

Nets build such a graph in milliseconds and without TensorFlow. That is what makes it possible to ask of a checkpoint
"which network has exactly these variables?", to plan a load as a dry run, and to list a net's variables at once.
Turning it into a ``tf_keras.Model`` is ``models.building.build_model``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from slim2keras.scopes import slim_variable_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shape = tuple[int | None, ...]
InitialValue = Callable[[tuple[int, ...]], "NDArray[np.float32]"]
"""From the shape of a variable to the values that it starts from."""


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
    """One Keras layer, a stock one or one of ours.

    Attributes:
        kind: Class in ``tf_keras.layers``, or in ``keras_layers``.
        name: Slim scope.
        config: Arguments of the class, serialised as Keras does.
        inputs: Activations that it is called with.
        variables: Its variables in the order in which slim creates them, which need not be that of Keras.
        initial_values: Makes what variables start from, where no initializer of Keras does, by Keras' leaf names.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    variables: tuple[Variable, ...] = ()
    initial_values: Mapping[str, InitialValue] = field(default_factory=dict)


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

    def to_config(self) -> dict[str, Any]:
        """As plain values, for JSON; layers by class and configuration, which ``model_safety`` looks at."""
        shapes = {variable.name: variable.shape for layer in self.layers.values() for variable in layer.variables}
        return {
            "layers": [
                {
                    "class_name": layer.kind,
                    "config": {"name": layer.name, **layer.config},
                    "inputs": [[tensor.layer_name, tensor.shape] for tensor in layer.inputs],
                    "variables": [asdict(variable) for variable in layer.variables],
                    "initial_values": {
                        leaf: initial(shapes[slim_variable_name(layer.name, leaf)]).tolist()
                        for leaf, initial in layer.initial_values.items()
                    },
                }
                for layer in self.layers.values()
            ],
            "end_points": {name: [tensor.layer_name, tensor.shape] for name, tensor in self.end_points.items()},
            "outputs": [[tensor.layer_name, tensor.shape] for tensor in self.outputs],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LayerGraph:
        """The reverse.

        Raises:
            ValueError, KeyError, TypeError: If it is no such config.
        """
        graph = cls()
        for row in config["layers"]:
            variables = (
                Variable(str(item["name"]), tuple(map(int, item["shape"])), bool(item["trainable"]))
                for item in row["variables"]
            )
            inputs = tuple(graph._tensor(*item) for item in row["inputs"])
            layer_config = as_tuples(row["config"])
            if layer_config["name"] in graph.layers:
                raise ValueError(f"two layers are named {layer_config['name']!r}")
            layer = Layer(
                kind=row["class_name"],
                name=layer_config.pop("name"),
                config=layer_config,
                inputs=inputs,
                variables=tuple(variables),
                initial_values={leaf: partial(_array, values) for leaf, values in row["initial_values"].items()},
            )
            graph.layers[layer.name] = layer
        graph.end_points |= {str(name): graph._tensor(*item) for name, item in config["end_points"].items()}
        graph.outputs += [graph._tensor(*item) for item in config["outputs"]]
        return graph

    def _tensor(self, layer_name: str, shape: Shape) -> Tensor:
        if layer_name not in self.layers:
            raise ValueError(f"there is no layer {layer_name!r}")
        return Tensor(self, layer_name, tuple(shape))

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


def as_tuples(value: Any) -> Any:
    """The value with tuples where a JSON file made lists of them, at any depth."""
    if isinstance(value, Mapping):
        return {name: as_tuples(item) for name, item in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def _array(values: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    import numpy as np

    return np.asarray(values, "float32").reshape(shape)
