"""slim itself, on today's TensorFlow."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.keras_model import build
from slim2keras.recognition import NetSpec
from slim2keras.slim_runtime import (
    build_slim_network,
    import_tf_slim,
    slim_graph,
    unjudged_end_points,
)
from tests.reference import images, small_spec


def test_a_keras_model_made_before_slim_runs_after_it() -> None:
    """slim's layers swap the base class of Keras' layers in place; without the repair this call fails."""
    import numpy as np

    model = build("resnet_v1_50", input_shape=(33, 33, 3), depth_multiplier=0.125)
    batch = images(0, (1, 33, 33, 3))
    before = model(batch).numpy()
    build_slim_network(small_spec(), (1, 33, 36, 3), is_training=True)
    np.testing.assert_array_equal(model(batch).numpy(), before)


def test_slims_deprecated_calls_stay_silent_and_the_logger_comes_back() -> None:
    import tensorflow as tf

    slim = import_tf_slim()
    level = tf.get_logger().level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with slim_graph() as graph:
            assert tf.compat.v1.get_default_graph() is graph
            slim.conv2d(tf.zeros((1, 8, 8, 3)), 4, 3)
            assert tf.get_logger().level == logging.ERROR
    assert tf.get_logger().level == level
    assert tf.executing_eagerly()


@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("inception_v2", {"use_separable_conv": False}),
        ("vgg_16", {"fc_conv_padding": "SAME"}),
        ("resnet_v1_50", {"store_non_strided_activations": True}),
        ("inception_v1", {"use_batch_norm": False}),
    ],
)
def test_what_the_older_cut_of_slim_cannot_judge_is_refused_by_name(net: str, arguments: dict[str, Any]) -> None:
    spec = NetSpec.make(net, None, {"num_classes": 5, "global_pool": True, **arguments})
    with pytest.raises(UnsupportedArgumentError, match=f"tf_slim's {net} has no argument {next(iter(arguments))}"):
        unjudged_end_points(spec, list(spec.trace().end_points))


def test_an_argument_of_the_head_leaves_the_rest_to_be_judged() -> None:
    spec = NetSpec.make("inception_v3", None, {"num_classes": 5, "global_pool": True})
    names = list(spec.trace().end_points)
    skipped = unjudged_end_points(spec, names)
    assert set(skipped) == {"global_pool", "PreLogits", "Logits", "Predictions"}
    assert unjudged_end_points(NetSpec.make("inception_v3", None, {"num_classes": 5}), names) == []


def test_without_tf_slim_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tf_slim", None)
    with pytest.raises(Slim2KerasError, match="pip install tf-slim"):
        import_tf_slim()
