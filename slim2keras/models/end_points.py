"""slim's end points of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.graphs.graph import LayerGraph
from slim2keras.models.building import call_layer
from slim2keras.models.networks import network_of

if TYPE_CHECKING:
    import tf_keras


def end_points(model: tf_keras.Model) -> dict[str, Any]:
    """Return slim's end points of a model of slim2keras, also of one that was saved and loaded.

    Args:
        model: Model that ``build`` or ``convert`` made.

    Returns:
        Slim's end point name to KerasTensor, in slim's order; ``tf_keras.Model(model.input, tensor)`` computes one.

    Raises:
        UnrecognisedNetError: If the model is not a network of slim2keras.

    Examples:
        >>> model = slim2keras.build("mobilenet_v1", num_classes=5)
        >>> features = tf_keras.Model(model.input, slim2keras.end_points(model)["Conv2d_11_pointwise"])
        >>> features.output_shape
        (None, 14, 14, 512)
    """
    return end_point_tensors(model, network_of(model).graph)


def end_point_tensors(model: tf_keras.Model, graph: LayerGraph) -> dict[str, Any]:
    """End points of ``model``, which was made from ``graph`` or from an equal one.

    Returns:
        Slim's end point name to KerasTensor, in slim's order. Those beside the way to the outputs (the softmax) get a
        layer of their own on top of the model's tensors.
    """
    made = {layer.name: layer for layer in model.layers}
    tensors = call_tensors(model, graph)
    wanted = graph.layers_to(list(graph.end_points.values()))
    for layer in graph.layers.values():
        if layer.name in wanted and layer.name not in tensors:
            tensors[layer.name] = call_layer(layer, graph.owner_of(layer), made, tensors, "float32")
    return {name: tensors[tensor.layer_name] for name, tensor in graph.end_points.items()}


def call_tensors(model: tf_keras.Model, graph: LayerGraph) -> dict[str, Any]:
    """Output of every call of a layer of ``model``, which was made from ``graph`` or from an equal one.

    Returns:
        Name of the layer in the graph to KerasTensor, in the order of the graph.
    """
    made = {layer.name: layer for layer in model.layers}
    tensors = {
        call.name: made[owner].get_output_at(number)
        for owner, calls in graph.calls().items()
        for number, call in enumerate(calls)
    }
    return {name: tensors[name] for name in graph.layers if name in tensors}
