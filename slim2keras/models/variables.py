"""Variables of tf_keras models by the names and shapes that a checkpoint has them under."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slim2keras.graphs.graph import Layer, Variable
from slim2keras.scopes import slim_variable_name

if TYPE_CHECKING:
    import numpy as np
    import tf_keras
    from numpy.typing import NDArray

_STORED = "slim_stored_variables"
"""Where a Keras layer keeps what a checkpoint calls its variables, so that models that share the layer know it too."""

_KERAS3_LEAVES = {kind: {"kernel": "depthwise_kernel"} for kind in ("DepthwiseConv1D", "DepthwiseConv2D")}
"""By class, what Keras 3 calls variables otherwise than tf_keras."""


@dataclass(frozen=True)
class StoredShapes:
    """Shapes that variables have in a checkpoint, where Keras has axes of size one more or less: PReLU's alpha.

    Attributes:
        differing: Slim name to the shape in a checkpoint, where that is another one.
    """

    differing: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def of(self, name: str, value: Any) -> tuple[int, ...]:
        """Shape in a checkpoint of a variable, or of a slot or shadow that lies below one."""
        ours = tuple(value.shape)
        for known in (name, name.rpartition("/")[0]):
            stored = self.differing.get(known, ())
            if known in self.differing and math.prod(stored) == math.prod(ours):
                return stored
        return ours

    def stored(self, name: str, value: Any) -> NDArray[Any]:
        """Value of a variable, slot or shadow as a checkpoint has it."""
        import numpy as np

        array: NDArray[Any] = np.asarray(value)
        return array.reshape(self.of(name, array))


def stored_shapes(model: tf_keras.Model) -> StoredShapes:
    """Shapes of a model's variables in a checkpoint."""
    known = (item for layer in all_layers(model) for item in stored_variables(layer).values())
    ours = {name: tuple(variable.shape) for name, variable in slim_variables(model).items()}
    return StoredShapes({item.name: item.shape for item in known if item.shape != ours.get(item.name)})


def assign_stored(variable: Any, value: NDArray[np.float32]) -> None:
    """Give a variable a value that comes from a checkpoint."""
    variable.assign(value if value.shape == tuple(variable.shape) else value.reshape(tuple(variable.shape)))


def wanted_variables(variables: Mapping[str, Any], shapes: StoredShapes) -> list[Variable]:
    """Keras variables by slim name, as what a plan asks for."""
    return [Variable(name, shapes.of(name, item), item.trainable) for name, item in variables.items()]


def keras_leaves(layer: tf_keras.layers.Layer) -> dict[str, Any]:
    """Last part of Keras' name to variable of every weight of a layer.

    A layer of another library may have two weights of one leaf (``query/kernel``, ``key/kernel``): then the rest of the
    variable's name tells them apart.
    """
    names = [variable.name.split(":")[0] for variable in layer.weights]
    renamed = _KERAS3_LEAVES.get(type(layer).__name__, {})
    leaves = [renamed.get(leaf, leaf) for leaf in (name.rpartition("/")[2] for name in names)]
    if len(set(leaves)) < len(leaves):
        leaves = [name.removeprefix(f"{layer.name}/") for name in names]
    return dict(zip(leaves, layer.weights, strict=True))


def layer_variables(layer: tf_keras.layers.Layer) -> dict[str, Any]:
    """Slim name to Keras variable of every weight of a layer: named after its slim scope, or as its network has it."""
    stored = stored_variables(layer)
    return {
        stored[leaf].name if leaf in stored else slim_variable_name(layer.name, leaf): variable
        for leaf, variable in keras_leaves(layer).items()
    }


def slim_variables(model: tf_keras.Model) -> dict[str, Any]:
    """Slim name to Keras variable of every weight of a model, in the order of its layers."""
    return {name: variable for layer in all_layers(model) for name, variable in layer_variables(layer).items()}


def all_layers(model: tf_keras.Model) -> Iterator[tf_keras.layers.Layer]:
    """Layers of a model, those of models used as layers too: they keep their slim names there."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from all_layers(layer)
        else:
            yield layer


def stored_variables(layer: tf_keras.layers.Layer) -> Mapping[str, Variable]:
    """By Keras' leaf names, variables that a checkpoint has under another name or shape than slim's of this layer."""
    stored: Mapping[str, Variable] = vars(layer).get(_STORED, {})
    return stored


def keep_stored_variables(layer: tf_keras.layers.Layer, stored: Mapping[str, Variable]) -> None:
    """Have a layer know what a checkpoint calls its variables."""
    # Past Keras, which would track a mapping and save it.
    vars(layer)[_STORED] = dict(stored)


def share_stored_variables(source: tf_keras.Model, target: tf_keras.Model) -> None:
    """Have the layers of a model know what those of the same names in another one know."""
    known = {layer.name: stored_variables(layer) for layer in all_layers(source)}
    for layer in all_layers(target):
        if known.get(layer.name):
            keep_stored_variables(layer, known[layer.name])


def stored_variables_config(model: tf_keras.Model) -> dict[str, dict[str, list[Any]]]:
    """What the layers of a model know of a checkpoint's names and shapes, as plain values."""
    return {
        layer.name: {leaf: [item.name, list(item.shape)] for leaf, item in stored.items()}
        for layer in all_layers(model)
        if (stored := stored_variables(layer))
    }


def restore_stored_variables(model: tf_keras.Model, config: Mapping[str, Mapping[str, Any]]) -> None:
    """The reverse, for the layers that the model has."""
    for layer in all_layers(model):
        if layer.name in config:
            rows = config[layer.name].items()
            stored = {leaf: Variable(str(name), tuple(map(int, shape))) for leaf, (name, shape) in rows}
            keep_stored_variables(layer, stored)


def variables_as_in(layer: tf_keras.layers.Layer, graph_layer: Layer) -> dict[str, Variable]:
    """By Keras' leaf names, the variables of a layer as a layer of a graph has them, of a shape that is as good."""
    shapes = {variable.name: variable.shape for variable in graph_layer.variables}
    found = {}
    for leaf, variable in keras_leaves(layer).items():
        name, ours = graph_layer.variable_name(leaf), tuple(variable.shape)
        theirs = shapes.get(name, ours)
        found[leaf] = Variable(name, theirs if _without_ones(theirs) == _without_ones(ours) else ours)
    return found


def odd_variables(layer: tf_keras.layers.Layer, graph_layer: Layer) -> dict[str, Variable]:
    """Of ``variables_as_in`` those whose name is not slim's, or whose shape is not Keras'."""
    leaves = keras_leaves(layer)
    return {
        leaf: item
        for leaf, item in variables_as_in(layer, graph_layer).items()
        if item.name != slim_variable_name(layer.name, leaf) or item.shape != tuple(leaves[leaf].shape)
    }


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]
