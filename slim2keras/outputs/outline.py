"""What a file needs to know of a model beside its values."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slim2keras.graphs.graph import Layer
from slim2keras.graphs.network import Network
from slim2keras.models.building import build_model
from slim2keras.models.config import model_config
from slim2keras.models.variables import layer_variables

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class Outline:
    """What a file needs to know of a model beside its values.

    Attributes:
        places: Slim name of every variable to its place in the HDF5 of ``model.save_weights``, in the order in which
            tf_keras loads them.
        num_parameters: Of all variables.
        config: Makes the configuration as tf_keras writes it.
        model: Makes the model, or gives the one that there is.
    """

    places: Mapping[str, str]
    num_parameters: int
    config: Callable[[], dict[str, Any]]
    model: Callable[[], tf_keras.Model]


def outline_of_network(network: Network) -> Outline:
    """The outline of a network that was not built, and need not be to be written as ``.keras`` or ``.weights.h5``.

    Args:
        network: Of a plain graph.
    """
    graph = network.graph
    layers = [(layer.kind, _keras_order(layer)) for layer in graph.model_layers()]
    num_parameters = sum(math.prod(variable.shape) for variable in graph.variables())
    return Outline(
        weights_layout(layers),
        num_parameters,
        lambda: model_config(graph, network.name),
        lambda: build_model(network),
    )


_LEAVES_OF_KERAS = ("depthwise_weights", "pointwise_weights", "weights", "biases", "gamma", "beta", "moving_mean")


def _keras_order(layer: Layer) -> list[str]:
    """Names of the variables of a layer as tf_keras orders them, whatever order the graph has them in."""
    place = {leaf: number for number, leaf in enumerate(_LEAVES_OF_KERAS)}
    names = (variable.name for variable in layer.variables)
    return sorted(names, key=lambda name: place.get(name.rpartition("/")[2], len(place)))


def outline_of_model(model: tf_keras.Model) -> Outline:
    """The outline of a model that was built."""
    import tf_keras

    return Outline(
        _layout_of_model(model),
        model.count_params(),
        lambda: tf_keras.saving.serialize_keras_object(model),
        lambda: model,
    )


def weights_layout(layers: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Where a ``.weights.h5`` has each variable: layers are numbered by class, variables by their order in the layer.

    Args:
        layers: Class of each layer and slim names of its variables, in the order of ``model.layers``.

    Source: tf_keras/src/saving/saving_lib.py, ``_save_container_state``.
    """
    layers = [(kind, list(names)) for kind, names in layers]
    groups = layer_groups(kind for kind, _ in layers)
    return {
        name: f"{group}/vars/{index}"
        for group, (_, names) in zip(groups, layers, strict=True)
        for index, name in enumerate(names)
    }


def layer_groups(kinds: Iterable[str]) -> list[str]:
    """Group of each layer in a file, from the classes of the layers."""
    groups = []
    counts: Counter[str] = Counter()
    for kind in kinds:
        # Conv2D is conv2d and BatchNormalization batch_normalization, as tf_keras' to_snake_case has it.
        stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        groups.append(f"layers/{stem}_{counts[stem]}" if counts[stem] else f"layers/{stem}")
        counts[stem] += 1
    return groups


def _layout_of_model(model: tf_keras.Model) -> dict[str, str]:
    return weights_layout((type(layer).__name__, layer_variables(layer)) for layer in model.layers)
