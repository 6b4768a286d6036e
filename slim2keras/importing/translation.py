"""From the nodes of a TensorFlow graph to layers, one node after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import Slim2KerasError, UnsupportedGraphError
from slim2keras.graphs.graph import Layer, LayerGraph, Tensor, Variable
from slim2keras.importing.damage import check_size
from slim2keras.importing.node import Node, split_tensor
from slim2keras.importing.nodes import VARIABLES, Nodes
from slim2keras.importing.penalties import Penalty
from slim2keras.importing.sizes import Size, known
from slim2keras.scopes import slim_variable_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Activation:
    """A tensor that a layer gives.

    Attributes:
        tensor: Of the layer graph.
        shape: All of it, the batch included.
        dtype: NumPy's name.
    """

    tensor: Tensor
    shape: tuple[Size, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Known:
    """A tensor whose value is known; sizes may be open in it, it is one of objects then."""

    value: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def is_constant(self) -> bool:
        """Whether no size in it is open."""
        return self.value.dtype != object

    @property
    def dtype(self) -> str:
        return "int32" if self.value.dtype == object else self.value.dtype.name


@dataclass(frozen=True)
class Weight:
    """A variable, or in a frozen graph the constant that was one."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


Value = Activation | Known | Weight


@dataclass(frozen=True)
class Facts:
    """What is known of a graph's variables from elsewhere in its file.

    Attributes:
        trainable: Names of the trained ones, ``None`` if that is not known.
        penalties: What a loss of regularization adds for them, by name.
        decays: Of moving statistics, by name.
        default_decay: Of those whose decay the graph does not tell.
        baked_batch: Number of images that the graph was made for, ``None`` where it is open.
    """

    trainable: frozenset[str] | None = None
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    decays: Mapping[str, float] = field(default_factory=dict)
    default_decay: float = 0.999
    baked_batch: int | None = None

    def is_trained(self, name: str) -> bool:
        """Whether training changes a variable by its gradient."""
        return self.trainable is None or name in self.trainable


class Translation:
    """A layer graph in the making.

    Attributes:
        nodes: The graph that is translated.
        facts: What is known of its variables.
        graph: The layers so far.
        constants: Values of the weights of a frozen graph, by name.
        remarks: What the user must be told.
        dynamic: Tensors of open sizes that layers compute, by source.
    """

    def __init__(self, nodes: Nodes, facts: Facts) -> None:
        self.nodes = nodes
        self.facts = facts
        self.graph = LayerGraph()
        self.constants: dict[str, NDArray[Any]] = {}
        self.remarks: list[str] = []
        self.dynamic: dict[str, Activation] = {}
        self._values: dict[str, Value] = {}
        self._loose: dict[str, Activation] = {}
        self._owners: dict[tuple[str, ...], tuple[Any, str]] = {}
        self._owned: set[str] = set()
        self._shared_unlike: frozenset[str] = frozenset()

    def keep_loose(self, names: frozenset[str]) -> None:
        """Say which variables are used by layers that cannot share them: they are handed to each as a tensor."""
        self._shared_unlike = names

    def set_value(self, tensor: str, value: Value) -> None:
        """Say what a tensor is."""
        self._values[self.nodes.source(tensor)] = value

    def values(self) -> Iterable[tuple[str, Value]]:
        """Everything that was translated, by tensor, in order."""
        return self._values.items()

    def find(self, tensor: str) -> Value | None:
        """What a tensor is, ``None`` if it was not translated."""
        return self._values.get(self.nodes.source(tensor))

    def value(self, tensor: str) -> Value:
        """What a tensor is, which was translated before."""
        source = self.nodes.source(tensor)
        if source not in self._values:
            raise UnsupportedGraphError(f"The graph uses {tensor}, which no node gives: it is damaged.")
        return self._values[source]

    def weight(self, tensor: str) -> Weight | None:
        """The weight behind a tensor that a stock layer can own, ``None`` if it is none."""
        value = self.value(tensor)
        if isinstance(value, Known) and self.nodes.is_frozen_variable(tensor):
            value = self._frozen(tensor, value)
        return value if isinstance(value, Weight) and value.name not in self._shared_unlike else None

    def _frozen(self, tensor: str, value: Known) -> Weight:
        """A constant as the variable that it was, or might have been."""
        name = split_tensor(self.nodes.source(tensor))[0]
        self.constants[name] = value.value
        return Weight(name, value.shape)

    def activation(self, tensor: str) -> Activation:
        """A tensor as one that a layer gives; a weight or a large constant becomes a layer of its own."""
        value = self.value(tensor)
        if isinstance(value, Activation):
            return value
        return self._loose_variable(self._frozen(tensor, value) if isinstance(value, Known) else value)

    def _loose_variable(self, weight: Weight) -> Activation:
        if weight.name not in self._loose:
            is_trained = self.facts.is_trained(weight.name)
            config = {
                "shape": weight.shape,
                "trainable": is_trained,
                "regularizer": self.regularizer(weight),
            }
            first = next(iter(self.graph.layers))
            layer = Layer(
                "LooseVariable",
                self.free_name(weight.name),
                config,
                (Tensor(self.graph, first, self.graph.layers[first].config["input_shape"]),),
                (Variable(weight.name, weight.shape, is_trained),),
                variable_names={"variable": weight.name},
            )
            self._loose[weight.name] = Activation(self.graph.add(layer, weight.shape[1:]), weight.shape)
        return self._loose[weight.name]

    def free_name(self, wanted: str) -> str:
        """A name that no layer has."""
        wanted, number = wanted.lstrip("_./\\-") or "layer", 0
        name = wanted
        while name in self.graph.layers:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def add(
        self,
        node: Node,
        kind: str,
        config: Mapping[str, Any],
        inputs: Sequence[Activation],
        shape: tuple[Size, ...],
        *,
        dtype: str | None = None,
        name: str = "",
    ) -> Activation:
        """Append a layer without variables, named after its op."""
        layer = Layer(kind, self.free_name(name or node.name), config, tuple(item.tensor for item in inputs))
        return Activation(self._appended(layer, shape), shape, dtype or inputs[0].dtype)

    def add_with_weights(
        self,
        node: Node,
        kind: str,
        config: Mapping[str, Any],
        x: Activation,
        weights: Mapping[str, Weight],
        shape: tuple[Size, ...],
    ) -> Activation:
        """Append a layer that owns weights, by Keras' leaf names; a second one with the same is another call of it.

        It is named after the scope of its variables where they have one of their own, else after its op.
        """
        names = tuple(weight.name for weight in weights.values())
        key = (kind, dict(config), node.op)
        first = self._owners.get(names)
        if first is not None and first[0] == key:
            layer = Layer(kind, self.free_name(node.name), config, (x.tensor,), call_of=first[1])
            return Activation(self._appended(layer, shape), shape)
        scope = self._scope_of(names) or node.name
        name = self.free_name(scope)
        unlike = {leaf: item.name for leaf, item in weights.items() if item.name != slim_variable_name(name, leaf)}
        variables = tuple(
            Variable(item.name, item.shape, not leaf.startswith("moving_") and self.facts.is_trained(item.name))
            for leaf, item in weights.items()
        )
        if variables and not any(variable.trainable for variable in variables) and kind != "BatchNormalization":
            config = {**config, "trainable": False}
        layer = Layer(kind, name, config, (x.tensor,), variables, variable_names=unlike)
        self._owners[names] = key, name
        self._owned.update(names)
        return Activation(self._appended(layer, shape), shape)

    def owns(self, names: Sequence[str]) -> bool:
        """Whether some layer has one of these variables already, in another company."""
        return tuple(names) not in self._owners and not self._owned.isdisjoint(names)

    def _appended(self, layer: Layer, shape: tuple[Size, ...]) -> Tensor:
        check_size(layer.name, shape[1:])
        return self.graph.add(layer, tuple(map(known, shape[1:])))

    def _scope_of(self, names: tuple[str, ...]) -> str:
        scopes = {name.rpartition("/")[0] for name in names}
        return scopes.pop() if len(scopes) == 1 else ""

    def regularizer(self, weight: Weight | None) -> Any:
        """Keras' regularizer of a weight."""
        return None if weight is None else self.facts.penalties.get(weight.name, Penalty()).to_config()


def is_batched(value: Value) -> bool:
    """Whether a tensor is one that Keras' stock layers can take: its first axis is that of the images."""
    return isinstance(value, Activation) and len(value.shape) > 1 and not isinstance(value.shape[0], int)


class NotALayerError(Slim2KerasError):
    """What was recognised as one layer is none that Keras has: its ops have to be translated one by one.

    Attributes:
        name: Of the node.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


Translator = Callable[[Translation, Node], "Value | Sequence[Value] | None"]
"""Makes layers of a node and says what it gives; ``None`` where it is a case for ``raw_ops``."""

TRANSLATORS: dict[str, Translator] = {}


def translates(*ops: str) -> Callable[[Translator], Translator]:
    """Register what translates nodes of some types."""

    def register(function: Translator) -> Translator:
        TRANSLATORS.update(dict.fromkeys(ops, function))
        return function

    return register


def translate(translation: Translation, node: Node, otherwise: Translator) -> None:
    """Translate a node."""
    if node.op in VARIABLES:
        shape = translation.nodes.shape_of_weight(node.name)
        if shape is None:
            raise UnsupportedGraphError(f"The variable {node.name} has no fixed shape.")
        translation.set_value(node.name, Weight(node.name, shape, node.dtype("dtype")))
        return
    constant = translation.nodes.constant(node.name)
    if constant is not None:
        translation.set_value(node.name, Known(np.asarray(constant)))
        return
    function = TRANSLATORS.get(node.op)
    result = None if function is None else function(translation, node)
    if result is None and translation.nodes.is_marked(node.name):
        raise NotALayerError(node.name)
    if result is None:
        result = otherwise(translation, node)
    assert result is not None
    for index, value in enumerate([result] if isinstance(result, Activation | Known | Weight) else result):
        translation.set_value(f"{node.name}:{index}" if index else node.name, value)
