"""Turns a layer graph into a ``tf_keras.Model``: the one module that makes Keras objects."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from slim2keras.errors import Slim2KerasError
from slim2keras.graph import Layer, LayerGraph, Shape
from slim2keras.loading import LoadOptions, all_layers, slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.network import Network
from slim2keras.overrides import Overrides
from slim2keras.recognition import recover_spec

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

    Example:
        >>> model = build("resnet_v1_50", num_classes=5, weight_decay=4e-5)
    """
    return build_model(NetSpec.make(net, input_shape, arguments))


def end_points(model: tf_keras.Model) -> dict[str, Any]:
    """Return slim's end points of a model of slim2keras, also of one that was saved and loaded.

    Args:
        model: Model that ``build`` or ``convert`` made.

    Returns:
        Slim's end point name to KerasTensor, in slim's order; ``tf_keras.Model(model.input, tensor)`` computes one.

    Raises:
        UnrecognisedNetError: If the model is not a network of slim2keras.
    """
    return end_point_tensors(model, network_of(model).graph)


def network_of(model: tf_keras.Model) -> Network:
    """The network of a model: what it was built from, or told from its layers when it comes from a plain file.

    Raises:
        UnrecognisedNetError: If it is not a network of slim2keras.
    """
    network: Network | None = getattr(model, "slim_network", None)
    if network is None:
        shapes = {name: tuple(variable.shape) for name, variable in slim_variables(model).items()}
        network = model.slim_network = recover_spec(shapes, _layer_configs(model), tuple(model.input_shape[1:]))
    return network


def knows_network(model: tf_keras.Model) -> bool:
    """Whether a model comes with its network, so that it need not be told from the layers."""
    return getattr(model, "slim_network", None) is not None


def find_network(model: tf_keras.Model) -> Network | None:
    """The network of slim2keras that a model is, ``None`` if it is somebody's own."""
    if hasattr(model, "slim_network"):
        return model.slim_network  # type: ignore[no-any-return]
    if len(getattr(model, "inputs", None) or ()) != 1:
        return None
    try:
        return network_of(model)
    except Slim2KerasError:
        return None


def is_network(model: tf_keras.Model, network: Network) -> bool:
    """Whether a model has the layers of a network, by name and class, and its variables."""
    used = network.graph.layers_to(network.graph.outputs)
    kinds = {name: layer.kind for name, layer in network.graph.layers.items() if name in used}
    shapes = {name: tuple(variable.shape) for name, variable in slim_variables(model).items()}
    return kinds == {layer.name: type(layer).__name__ for layer in model.layers} and shapes == {
        variable.name: variable.shape for variable in network.graph.variables()
    }


def _layer_configs(model: tf_keras.Model) -> dict[str, dict[str, Any]]:
    """Configuration, class (``kind``) and input layers (``inputs``) of every layer of a functional model, by name."""
    configs = {}
    for layer in model.get_config()["layers"]:
        inputs = [name for node in layer.get("inbound_nodes", ())[:1] for name, *_ in node]
        kind = layer["class_name"].rpartition(">")[2]
        configs[layer["config"]["name"]] = {**layer["config"], "kind": kind, "inputs": inputs}
    return configs


def load_options_of(model: tf_keras.Model) -> LoadOptions:
    """How ``convert`` loaded the model; the defaults where that is not known."""
    options = getattr(model, "slim_load_options", None)
    return options if isinstance(options, LoadOptions) else LoadOptions()


@contextlib.contextmanager
def dropout_off(model: tf_keras.Model) -> Iterator[None]:
    """Within it nothing is dropped in training mode, neither values nor paths."""
    with Overrides() as overrides:
        for layer in all_layers(model):
            if hasattr(layer, "rate"):
                overrides.set(layer, "rate", 0.0)
        yield


def build_model(network: Network) -> tf_keras.Model:
    """Make the plain functional model of a network, its weights freshly initialised."""
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
    wide = _wide_layers(graph)
    tensors: dict[str, Any] = {}
    for layer in graph.layers.values():
        if layer.kind == "InputLayer":
            tensors[layer.name] = tf_keras.Input(layer.config["input_shape"], name=layer.name)
        elif layer.name in used:
            tensors[layer.name] = _call_layer(layer, tensors, "float32" if layer.name in wide else None)
    outputs = [tensors[output.layer_name] for output in graph.outputs]
    return tf_keras.Model(tensors["inputs"], outputs[0] if len(outputs) == 1 else outputs, name=name)


def model_config(graph: LayerGraph, name: str) -> dict[str, Any]:
    """What tf_keras writes into the ``config.json`` of ``model_of(graph, name)``; no model is made.

    A layer knows its configuration before it is called, but for the shape that it is built with.

    Source: tf_keras/src/engine/functional.py, ``get_network_config``.
    """
    wide = _wide_layers(graph)
    known: dict[str, dict[str, Any]] = {}
    layers = [_layer_config(layer, "float32" if layer.name in wide else None, known) for layer in graph.model_layers()]
    config = {
        "name": name,
        "trainable": True,
        "layers": layers,
        "input_layers": [["inputs", 0, 0]],
        "output_layers": [[output.layer_name, 0, 0] for output in graph.outputs],
    }
    return {
        "module": "tf_keras.src.engine.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
        "build_config": {"input_shape": (None, *graph.layers["inputs"].config["input_shape"])},
    }


def _layer_config(layer: Layer, dtype: str | None, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Entry of a layer, made from that of an equal one of another name where it is known."""
    import tf_keras

    key = json.dumps([layer.kind, layer.config, dtype])
    if key not in known:
        known[key] = tf_keras.saving.serialize_keras_object(make_layer(layer, dtype))
    entry = {**known[key], "config": {**known[key]["config"], "name": layer.name}}
    if layer.inputs:
        shapes = [(None, *tensor.shape) for tensor in layer.inputs]
        if layer.kind == "BatchNormalization":
            entry["config"]["axis"] = [len(shapes[0]) - 1]
        entry["build_config"] = {"input_shape": shapes[0] if len(shapes) == 1 else shapes}
    nodes = [[[tensor.layer_name, 0, 0, {}] for tensor in layer.inputs]] if layer.inputs else []
    return {**entry, "name": layer.name, "inbound_nodes": nodes}


def _wide_layers(graph: LayerGraph) -> frozenset[str]:
    """Layers that compute in float32 whatever the policy of Keras is."""
    import tf_keras

    return _layers_of_outputs(graph) if half_precision_of(tf_keras.mixed_precision.global_policy()) else frozenset()


def _layers_of_outputs(graph: LayerGraph) -> frozenset[str]:
    """The last layers with variables before the outputs, and what lies behind them."""
    found: set[str] = set()
    for output in graph.outputs:
        layer = graph.layers[output.layer_name]
        while layer.kind != "InputLayer":
            found.add(layer.name)
            if layer.variables or len(layer.inputs) != 1:
                break
            layer = graph.layers[layer.inputs[0].layer_name]
    return frozenset(found)


def half_precision_of(policy: Any) -> str | None:
    """The name of a policy whose layers compute in half precision, else ``None``."""
    return policy.name if policy.compute_dtype in ("float16", "bfloat16") else None


def precision_of(model: tf_keras.Model) -> str:
    """The policy of a model: that of mixed precision if one of its layers has it, else ``"float32"``."""
    policies = (half_precision_of(layer.dtype_policy) for layer in all_layers(model))
    return next((policy for policy in policies if policy is not None), "float32")


def in_float32(model: tf_keras.Model) -> tf_keras.Model:
    """A copy of a functional model, layer by layer and with the same values, that computes in float32."""
    import tf_keras

    def widened(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    plain = tf_keras.Model(model.input, model.output, name=model.name)
    copy = tf_keras.models.clone_model(plain, clone_function=widened)
    copy.slim_network = getattr(model, "slim_network", None)
    values = slim_variables(model)
    for name, variable in slim_variables(copy).items():
        variable.assign(values[name])
    return copy


def end_point_tensors(model: tf_keras.Model, graph: LayerGraph) -> dict[str, Any]:
    """End points of ``model``, which was made from ``graph`` or from an equal one.

    Returns:
        Slim's end point name to KerasTensor, in slim's order. Those beside the way to the outputs (the softmax) get a
        layer of their own on top of the model's tensors.
    """
    tensors: dict[str, Any] = {layer.name: layer.output for layer in model.layers}
    wanted = graph.layers_to(list(graph.end_points.values()))
    for layer in graph.layers.values():
        if layer.name in wanted and layer.name not in tensors:
            tensors[layer.name] = _call_layer(layer, tensors, "float32")
    return {name: tensors[tensor.layer_name] for name, tensor in graph.end_points.items()}


def _call_layer(layer: Layer, tensors: dict[str, Any], dtype: str | None = None) -> Any:
    inputs = [tensors[tensor.layer_name] for tensor in layer.inputs]
    keras_layer = make_layer(layer, dtype)
    output = keras_layer(inputs[0] if len(inputs) == 1 else inputs)
    for leaf, initial_value in layer.initial_values.items():
        variable = getattr(keras_layer, leaf)
        variable.assign(initial_value(tuple(variable.shape)))
    return output


def make_layer(layer: Layer, dtype: str | None = None) -> tf_keras.layers.Layer:
    """The Keras layer, not yet called: a stock one, or one of our own where Keras has none.

    Args:
        dtype: That it computes in; by the global policy of Keras if left out.
    """
    import tf_keras

    config = {"dtype": dtype, **layer.config}
    if hasattr(tf_keras.layers, layer.kind):
        return getattr(tf_keras.layers, layer.kind)(name=layer.name, **config)
    from slim2keras import keras_layers

    return getattr(keras_layers, layer.kind)(name=layer.name, **config)
