"""Variables of tf_keras models by their slim names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slim2keras.graphs.graph import Variable
from slim2keras.scopes import (
    slim_variable_name,
)

if TYPE_CHECKING:
    import tf_keras


def wanted_variables(variables: Mapping[str, Any]) -> list[Variable]:
    """Keras variables by slim name, as what a plan asks for."""
    return [Variable(name, tuple(item.shape), item.trainable) for name, item in variables.items()]


def layer_variables(layer: tf_keras.layers.Layer) -> dict[str, Any]:
    """Slim name to Keras variable of every weight of a layer that is named after its slim scope.

    A layer of another library may have two weights of one leaf (``query/kernel``, ``key/kernel``): then the rest of the
    variable's name tells them apart.
    """
    names = [variable.name.split(":")[0] for variable in layer.weights]
    leaves = [name.rpartition("/")[2] for name in names]
    if len(set(leaves)) < len(leaves):
        leaves = [name.removeprefix(f"{layer.name}/") for name in names]
    return {slim_variable_name(layer.name, leaf): item for leaf, item in zip(leaves, layer.weights, strict=True)}


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
