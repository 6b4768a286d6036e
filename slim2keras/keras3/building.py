"""Turns a layer graph into a Keras 3 model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras

from slim2keras.errors import UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.graphs.graph import Layer, LayerGraph, Tensor
from slim2keras.graphs.network import Network
from slim2keras.keras3 import layers as our_layers
from slim2keras.keras3.batch_norm import BatchNormalization
from slim2keras.keras3.naming import to_keras3_name
from slim2keras.keras3.pooling import average_pooling
from slim2keras.keras3.sizes import ComputedSizes
from slim2keras.keras3.tensorflow_ops import apply_tensorflow_op
from slim2keras.models.functional import deep_recursion
from slim2keras.models.networks import network_of
from slim2keras.models.variables import assign_stored, keep_stored_variables, slim_variables, variables_as_in

if TYPE_CHECKING:
    import tf_keras

BATCH_NORM_LAYERS = {"keras": keras.layers.BatchNormalization, "slim": BatchNormalization}
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

    Examples:
        >>> model = slim2keras.load_model("run/model.keras")
        >>> slim2keras.to_keras3(model).save("model3.keras")
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
    if batch_norm_layer not in BATCH_NORM_LAYERS:
        known = " or ".join(map(repr, BATCH_NORM_LAYERS))
        raise UnsupportedArgumentError(f"batch_norm_layer must be {known}. Received: {batch_norm_layer!r}")
    graph = network.graph
    inputs = {
        layer.name: keras.Input(layer.config["input_shape"], name=to_keras3_name(layer.name))
        for layer in graph.input_layers
    }
    tensors = Building(graph, BATCH_NORM_LAYERS[batch_norm_layer]).tensors(graph.outputs, inputs)
    outputs = [tensors[output.layer_name] for output in graph.outputs]
    with deep_recursion():
        model = keras.Model(_one_or_list([*inputs.values()]), _one_or_list(outputs), name=to_keras3_name(network.name))
    model.slim_network = network
    return model


class Building:
    """Makes the layers and KerasTensors of a graph, by slim's names.

    Args:
        batch_norm: Class of the BatchNorm layers.
        made: Layers that there are.
    """

    def __init__(
        self,
        graph: LayerGraph,
        batch_norm: type[keras.layers.Layer] = keras.layers.BatchNormalization,
        made: Mapping[str, keras.layers.Layer] | None = None,
    ) -> None:
        self._graph = graph
        self._batch_norm = batch_norm
        self._sizes = ComputedSizes(graph)
        self._made: dict[str, keras.layers.Layer] = dict(made or {})
        self._tensors: dict[str, Any] = {}

    def tensors(self, targets: list[Tensor], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Call the layers that lead to targets, on a KerasTensor for each input layer."""
        self._tensors = dict(inputs)
        wanted = self._wanted(targets)
        with _channels_last():
            for layer in self._graph.layers.values():
                if layer.name in wanted and layer.name not in self._tensors:
                    self._tensors[layer.name] = self._called(layer)
        return self._tensors

    def _wanted(self, targets: list[Tensor]) -> set[str]:
        """Layers of which a tensor is made: sizes are computed by the ops that take them, if nothing else does."""
        layers = self._graph.layers
        used = self._graph.layers_to(targets)
        asked_for = {tensor.layer_name for tensor in targets}
        for name in used:
            if layers[name].kind != "TensorFlowOp":
                asked_for |= {tensor.layer_name for tensor in layers[name].inputs}
        return {name for name in used if not self._sizes.are_given_by(layers[name])} | asked_for

    def _called(self, layer: Layer) -> Any:
        owner = self._graph.owner_of(layer)
        if layer.kind == "TensorFlowOp":
            config, called_on = self._sizes.within(layer)
            return apply_tensorflow_op(layer.name, config, [self._tensors[name] for name in called_on])
        inputs = _one_or_list([self._tensors[tensor.layer_name] for tensor in layer.inputs])
        if owner.kind.startswith("AveragePooling"):
            return average_pooling(layer.name, owner.config, inputs)
        if owner.name in self._made:
            return self._made[owner.name](inputs)
        return self._first_call(owner, inputs)

    def _first_call(self, layer: Layer, inputs: Any) -> Any:
        made = self._made[layer.name] = self._make_layer(layer)
        output = made(inputs)
        # A layer knows what a checkpoint calls its variables: its own name is not quite slim's.
        keep_stored_variables(made, variables_as_in(made, layer))
        for leaf, initial_value in layer.initial_values.items():
            variable = getattr(made, leaf)
            variable.assign(initial_value(tuple(variable.shape)))
        return output

    def _make_layer(self, layer: Layer) -> keras.layers.Layer:
        renamed = _RENAMED.get(layer.kind, {})
        config = {renamed.get(name, name): value for name, value in layer.config.items()}
        return self._class_of(layer)(name=to_keras3_name(layer.name), **config)

    def _class_of(self, layer: Layer) -> type[keras.layers.Layer]:
        if layer.kind == "BatchNormalization":
            return self._batch_norm
        found: type | None = getattr(keras.layers, layer.kind, None) or getattr(our_layers, layer.kind, None)
        if found is None:
            raise UnsupportedGraphError(f"{layer.name}: Keras {keras.__version__} has no layer {layer.kind}.")
        return found


@contextlib.contextmanager
def _channels_last() -> Iterator[None]:
    """Layers as slim's graphs have them, whatever somebody's keras.json says."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def _copy_trainable(layer: Any, built: keras.Model) -> None:
    if layer.weights and not layer.trainable:
        built.get_layer(to_keras3_name(layer.name)).trainable = False


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
