"""Turns a layer graph into a ``tf_keras.Model``."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from slim2keras.graphs.graph import Layer, LayerGraph, Shape
from slim2keras.graphs.network import Network
from slim2keras.importing.damage import told_as_damage
from slim2keras.models.functional import functional_model
from slim2keras.models.overrides import Overrides
from slim2keras.models.precision import wide_layers
from slim2keras.models.variables import keep_stored_variables, odd_variables
from slim2keras.nets.spec import NetSpec

if TYPE_CHECKING:
    import tf_keras


def build(net: str, *, input_shape: Shape | None = None, **arguments: Any) -> tf_keras.Model:
    """Build a network of slim as a plain ``tf_keras.Model``, its weights drawn by slim's own initializers.

    Args:
        net: Name as in slim's ``nets_factory``, see ``list_nets``.
        input_shape: (height, width, channels); height and width may be ``None``. The network's own size if left out.
        arguments: slim's arguments by slim's names with slim's defaults: ``num_classes``, ``output_stride``,
            ``weight_decay``, ``batch_norm_decay``, ...

    Returns:
        Functional model of stock layers from images, float32, (batch, height, width, channels), already preprocessed,
        to logits, (batch, num_classes), or to the features if ``num_classes`` is 0 or ``None``. These have a height and
        a width in most networks, as in slim, (batch, 1, 1, channels): put ``Flatten`` or ``GlobalAveragePooling2D``
        below a ``Dense`` layer of your own. Auxiliary logits are a second output named ``AuxLogits``. Under a policy of
        mixed precision the outputs are float32.

    Raises:
        UnknownNetError: If there is no such network.
        UnsupportedArgumentError: If slim's function does not take an argument, or slim2keras refuses it.

    Examples:
        >>> model = slim2keras.build("mobilenet_v1", num_classes=5, input_shape=(160, 160, 3), weight_decay=4e-5)
        >>> model.output_shape
        (None, 5)
    """
    return build_model(NetSpec.make(net, input_shape, arguments))


def build_model(network: Network) -> tf_keras.Model:
    """Make the plain functional model of a network, its weights freshly initialised."""
    origin = getattr(network, "origin", None)
    with told_as_damage(f"The network of {origin.get('path')}") if origin else contextlib.nullcontext():
        model = model_of(network.graph, network.name)
    model.slim_network = network
    return model


def model_of(graph: LayerGraph, name: str) -> tf_keras.Model:
    """Make a functional model of the layers that lead to the graph's outputs.

    Under a policy of mixed precision what gives the outputs computes in float32: of logits in bfloat16 softmax and loss
    would have two or three digits.
    """
    import tf_keras

    used = graph.layers_to(graph.outputs)
    wide = wide_layers(graph)
    made: dict[str, tf_keras.layers.Layer] = {}
    tensors: dict[str, Any] = {}
    for layer in graph.layers.values():
        if layer.kind == "InputLayer":
            tensors[layer.name] = tf_keras.Input(layer.config["input_shape"], name=layer.name)
        elif layer.name in used:
            owner = graph.owner_of(layer)
            tensors[layer.name] = call_layer(layer, owner, made, tensors, "float32" if owner.name in wide else None)
    inputs = [tensors[layer.name] for layer in graph.input_layers]
    outputs = [tensors[output.layer_name] for output in graph.outputs]
    return functional_model(_one_or_list(inputs), _one_or_list(outputs), name)


def call_layer(
    layer: Layer,
    owner: Layer,
    made: MutableMapping[str, tf_keras.layers.Layer],
    tensors: Mapping[str, Any],
    dtype: str | None = None,
) -> Any:
    """Call a layer on the tensors of its inputs, by layer name; returns its output.

    Args:
        owner: Whose variables it computes with, itself or an earlier one.
        made: Keras layers that there are; the owner is made if it is not among them.
        dtype: As in ``make_layer``.
    """
    inputs = _one_or_list([tensors[tensor.layer_name] for tensor in layer.inputs])
    if owner.name in made:
        return made[owner.name](inputs)
    keras_layer = made[owner.name] = make_layer(owner, dtype)
    output = keras_layer(inputs)
    if odd := odd_variables(keras_layer, owner):
        keep_stored_variables(keras_layer, odd)
    for leaf, initial_value in owner.initial_values.items():
        variable = getattr(keras_layer, leaf)
        variable.assign(initial_value(tuple(variable.shape)))
    return output


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


def make_layer(layer: Layer, dtype: str | None = None) -> tf_keras.layers.Layer:
    """The Keras layer, not yet called: a stock one, or one of our own where Keras has none.

    Channels are last, whatever the default of ``keras.json`` is: a layer takes it when it is made.

    Args:
        dtype: That it computes in; by the global policy of Keras if left out.
    """
    import tf_keras

    config = {"dtype": dtype, **layer.config}
    with Overrides() as overrides:
        overrides.callback(tf_keras.backend.set_image_data_format, tf_keras.backend.image_data_format())
        tf_keras.backend.set_image_data_format("channels_last")
        if hasattr(tf_keras.layers, layer.kind):
            return getattr(tf_keras.layers, layer.kind)(name=layer.name, **config)
        from slim2keras import keras_layers

        return getattr(keras_layers, layer.kind)(name=layer.name, **config)
