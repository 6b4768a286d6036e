"""Mixed precision: which layers compute in float32, and a model without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.models.networks import knows_network, network_of
from slim2keras.models.variables import all_layers, share_stored_variables, slim_variables

if TYPE_CHECKING:
    import tf_keras


def wide_layers(graph: LayerGraph) -> frozenset[str]:
    """Layers that compute in float32 whatever the policy of Keras is."""
    import tf_keras

    return _layers_of_outputs(graph) if half_precision_of(tf_keras.mixed_precision.global_policy()) else frozenset()


def _layers_of_outputs(graph: LayerGraph) -> frozenset[str]:
    """The last layers with variables before the outputs, and what lies behind them."""
    found: set[str] = set()
    for output in graph.outputs:
        layer = graph.layers[output.layer_name]
        while layer.kind != "InputLayer":
            owner = graph.owner_of(layer)
            sources = [graph.layers[tensor.layer_name] for tensor in layer.inputs]
            loose = [source for source in sources if source.kind == _LOOSE]
            found |= {owner.name, *(source.name for source in loose)}
            if owner.variables or len(sources) - len(loose) != 1 or any(map(_is_matrix, loose)):
                break
            layer = next(source for source in sources if source.kind != _LOOSE)
    return frozenset(found)


_LOOSE = "LooseVariable"
"""Kind of a layer that is a variable which another one computes with."""


def _is_matrix(layer: Layer) -> bool:
    """Whether a loose variable is what a layer multiplies with, and no bias or scale."""
    return any(len(variable.shape) > 1 for variable in layer.variables)


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
    share_stored_variables(model, copy)
    if knows_network(model):
        copy.slim_network = network_of(model)
    values = slim_variables(model)
    for name, variable in slim_variables(copy).items():
        variable.assign(values[name])
    return copy
