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
        shape: Without the first axis: (height, width, channels) or (channels,); ``None`` where the size is open. Where
            a graph is not plain the first axis may be no batch, and a shape is a hint at most.
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
        variable_names: What a checkpoint calls variables, by Keras' leaf names, where that is not slim's name for them.
        call_of: Earlier layer that is called once more, on these inputs; then this is no Keras layer of its own, and
            has no variables. Towers share variables so.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    variables: tuple[Variable, ...] = ()
    initial_values: Mapping[str, InitialValue] = field(default_factory=dict)
    variable_names: Mapping[str, str] = field(default_factory=dict)
    call_of: str = ""

    def variable_name(self, leaf: str) -> str:
        """Name in a checkpoint of the variable that Keras calls ``leaf``."""
        return self.variable_names.get(leaf) or slim_variable_name(self.name, leaf)


_BUILT_KINDS = frozenset({"LooseVariable", "PReLU", "TensorFlowOp"})
"""Layers of which a file cannot be written before they are built: shapes or variables are Keras' own affair."""


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

    @property
    def input_layers(self) -> list[Layer]:
        """Where the network is fed, float32 each."""
        return [layer for layer in self.layers.values() if layer.kind == "InputLayer"]

    @property
    def is_plain(self) -> bool:
        """Whether files of it can be written without a model: one input, every layer called once, all names slim's."""
        return len(self.input_layers) == 1 and not any(
            layer.call_of or layer.variable_names or layer.kind in _BUILT_KINDS for layer in self.layers.values()
        )

    def owner_of(self, layer: Layer) -> Layer:
        """The layer whose variables a layer computes with: itself, or the one that it is a call of."""
        return self.layers[layer.call_of] if layer.call_of else layer

    def calls(self) -> dict[str, list[Layer]]:
        """The calls that lead to an output, in order, by the name of the layer that owns the variables."""
        used = self.layers_to(self.outputs)
        found: dict[str, list[Layer]] = {}
        for layer in self.layers.values():
            if layer.name in used:
                found.setdefault(self.owner_of(layer).name, []).append(layer)
        return found

    def variables(self) -> Iterator[Variable]:
        """Variables of the layers that lead to an output, in slim's order of creation."""
        used = self.calls()
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
                        leaf: initial(shapes[layer.variable_name(leaf)]).tolist()
                        for leaf, initial in layer.initial_values.items()
                    },
                    "variable_names": dict(layer.variable_names),
                    "call_of": layer.call_of,
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
            layer = graph._layer(row)
            graph.layers[layer.name] = layer
        graph.end_points |= {str(name): graph._tensor(*item) for name, item in config["end_points"].items()}
        graph.outputs += [graph._tensor(*item) for item in config["outputs"]]
        return graph

    def _layer(self, row: Mapping[str, Any]) -> Layer:
        config = as_tuples(row["config"])
        if config["name"] in self.layers:
            raise ValueError(f"two layers are named {config['name']!r}")
        variables = (
            Variable(str(item["name"]), tuple(map(int, item["shape"])), bool(item["trainable"]))
            for item in row["variables"]
        )
        layer = Layer(
            kind=row["class_name"],
            name=config.pop("name"),
            config=config,
            inputs=tuple(self._tensor(*item) for item in row["inputs"]),
            variables=tuple(variables),
            initial_values={leaf: partial(_array, values) for leaf, values in row["initial_values"].items()},
            # Reports of earlier versions lack them.
            variable_names={str(leaf): str(name) for leaf, name in row.get("variable_names", {}).items()},
            call_of=str(row.get("call_of", "")),
        )
        self._check_call(layer)
        return layer

    def _check_call(self, layer: Layer) -> None:
        if not layer.call_of:
            return
        owner = self.layers.get(layer.call_of)
        if owner is None or owner.call_of or owner.kind != layer.kind or layer.variables:
            raise ValueError(f"layer {layer.name!r} is no call of an earlier layer {layer.call_of!r}")

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
