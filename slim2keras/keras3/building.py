"""Turns a layer graph into a Keras 3 model."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import keras

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.graph import Layer
from slim2keras.graphs.network import Network
from slim2keras.keras3 import layers as our_layers
from slim2keras.keras3.naming import to_keras3_name
from slim2keras.keras3.pooling import average_pooling
from slim2keras.models.functional import deep_recursion
from slim2keras.models.networks import network_of
from slim2keras.models.variables import assign_stored, keep_stored_variables, slim_variables, variables_as_in

if TYPE_CHECKING:
    import tf_keras

_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
"""By kind, what Keras 3 calls arguments otherwise than tf_keras."""


def to_keras3(model: tf_keras.Model, *, batch_norm_layer: str = "keras") -> keras.Model:
    """Make a Keras 3 model of a tf_keras one, with the same values and the same outputs.

    It is built from the layers of the network, by the backend that Keras 3 has in this process (``KERAS_BACKEND``),
    under the policy that Keras 3 has. A layer is named after its slim scope, with ``>`` for ``/``.

    Args:
        model: Model of ``build``, ``convert`` or ``finetune``.
        batch_norm_layer: ``"keras"`` is Keras' own; ``"slim"`` is ``slim2keras.keras3.BatchNormalization``, whose
            moving variance takes in the unbiased variance in training, as slim's does. Inference is the same.

    Returns:
        Functional model of stock layers, where the network needs none of our own.

    Raises:
        UnrecognisedNetError: If the model is not a network of slim2keras.
        UnsupportedGraphError: If the network has what Keras 3 cannot compute.

    Example:
        >>> to_keras3(model).save("model3.keras")
    """
    built = build_keras3(network_of(model), batch_norm_layer=batch_norm_layer)
    values = slim_variables(model)
    for name, variable in slim_variables(built).items():
        assign_stored(variable, values[name].numpy())
    for layer in model.layers:
        _copy_trainable(layer, built)
    return built


def build_keras3(network: Network, *, batch_norm_layer: str = "keras") -> keras.Model:
    """Make the functional Keras 3 model of a network, its weights freshly initialised."""
    if batch_norm_layer != "keras":
        raise UnsupportedArgumentError(f'batch_norm_layer must be "keras". Received: {batch_norm_layer!r}')
    graph = network.graph
    used = graph.layers_to(graph.outputs)
    made: dict[str, keras.layers.Layer] = {}
    tensors: dict[str, Any] = {}
    for layer in graph.layers.values():
        if layer.kind == "InputLayer":
            tensors[layer.name] = keras.Input(layer.config["input_shape"], name=to_keras3_name(layer.name))
        elif layer.name in used:
            tensors[layer.name] = _call_layer(layer, graph.owner_of(layer), made, tensors)
    inputs = [tensors[layer.name] for layer in graph.input_layers]
    outputs = [tensors[output.layer_name] for output in graph.outputs]
    with deep_recursion():
        model = keras.Model(_one_or_list(inputs), _one_or_list(outputs), name=to_keras3_name(network.name))
    model.slim_network = network
    return model


def _call_layer(
    layer: Layer, owner: Layer, made: MutableMapping[str, keras.layers.Layer], tensors: Mapping[str, Any]
) -> Any:
    inputs = _one_or_list([tensors[tensor.layer_name] for tensor in layer.inputs])
    if owner.kind.startswith("AveragePooling"):
        return average_pooling(layer.name, owner.config, inputs)
    if owner.name in made:
        return made[owner.name](inputs)
    keras_layer = made[owner.name] = _make_layer(owner)
    output = keras_layer(inputs)
    # A layer knows what a checkpoint calls its variables: its own name is not quite slim's.
    keep_stored_variables(keras_layer, variables_as_in(keras_layer, owner))
    for leaf, initial_value in owner.initial_values.items():
        variable = getattr(keras_layer, leaf)
        variable.assign(initial_value(tuple(variable.shape)))
    return output


def _make_layer(layer: Layer) -> keras.layers.Layer:
    kind = getattr(keras.layers, layer.kind, None) or getattr(our_layers, layer.kind)
    renamed = _RENAMED.get(layer.kind, {})
    config = {renamed.get(name, name): value for name, value in layer.config.items()}
    return kind(name=to_keras3_name(layer.name), **config)


def _copy_trainable(layer: Any, built: keras.Model) -> None:
    if not layer.trainable:
        built.get_layer(to_keras3_name(layer.name)).trainable = False


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
