"""Outputs in float32, whatever a model computes in."""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.models.building import build
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.models.precision import in_float32
from tests.reference import images


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
