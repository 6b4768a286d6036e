"""Outputs in float32, whatever a model computes in."""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.graphs.graph import Layer, LayerGraph, Variable
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build, build_model
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.models.precision import in_float32
from tests.reference import images
from tests.towers_network import apply


@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("lenet", {"num_classes": 3}),
        ("cifarnet", {"num_classes": 3}),
        ("mobilenet_v1_025", {"num_classes": 0}),
    ],
)
def test_outputs_and_predictions_are_float32_in_mixed_precision(net: str, arguments: dict[str, Any]) -> None:
    """Logits, features and the softmax; all that lies below computes in half precision."""
    import tensorflow as tf
    import tf_keras

    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build(net, **arguments)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    found = end_points(model)
    assert {output.dtype for output in model.outputs} == {tf.float32}
    assert found["Predictions"].dtype == tf.float32 if "Predictions" in found else not arguments["num_classes"]
    assert next(iter(found.values())).dtype == tf.bfloat16
    assert {variable.dtype for variable in model.weights} == {tf.float32}
    assert model(images(0, (1, *network_of(model).input_shape))) is not None
    assert {layer.compute_dtype for layer in in_float32(model).layers} == {"float32"}


def test_a_product_with_a_loose_variable_is_a_layer_with_variables() -> None:
    """What gives the outputs computes in float32 down to the last matrix, its bias and both of their variables."""
    import tf_keras

    graph = LayerGraph()
    x = graph.add(Layer("InputLayer", "images", {"input_shape": (4,)}, ()), (4,))
    below = apply(graph, "below", "Abs", [x])
    loose = {"matrix": (4, 3), "bias": (3,)}
    matrix, bias = (
        graph.add(Layer("LooseVariable", name, {"shape": shape}, (x,), (Variable(f"{name}/variable", shape),)), shape)
        for name, shape in loose.items()
    )
    product = apply(graph, "product", "MatMul", [below, matrix])
    graph.outputs = [apply(graph, "logits", "BiasAdd", [product, bias])]
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_model(GraphNetwork("loose", graph))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    computing = {layer.name: layer.compute_dtype for layer in model.layers if layer.name != "images"}
    assert computing.pop("below") == "bfloat16"
    assert computing == dict.fromkeys(("matrix", "bias", "product", "logits"), "float32")
    assert {layer.compute_dtype for layer in in_float32(model).layers} == {"float32"}
