"""Weights of quantization-aware training in the symmetric steps of int8."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from slim2keras.deployment.quantized_weights import Weights, rounded_weights
from slim2keras.deployment.trained_ranges import Range

TRAINED = Range(-0.2, 1.0)
"""Of whose 254 steps 212 lie above zero: channels with weights over 0.6 do not fit into 127."""
STEP = 1.2 / 254


def rounded(kind: str) -> tuple[np.ndarray, Weights]:
    """Weights of four channels, one of which has weights over 0.6."""
    layer = getattr(tf_keras.layers, kind)(*((4, 1) if kind == "Conv2D" else (1,)), bias_initializer="ones")
    layer.build((None, 5, 5, 4))
    kernel = np.random.RandomState(0).uniform(-0.2, 0.58, layer.weights[0].shape).astype("float32")
    by_channel = kernel.reshape(-1, 4)
    by_channel[0, 2] = 0.95
    layer.weights[0].assign(kernel)
    return kernel, rounded_weights(layer, kind, TRAINED)


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D"])
def test_channels_that_fit_are_held_exactly(kind: str) -> None:
    """Int8 holds what TensorFlow's own op of training gives, but for the channel that reaches beyond 127 steps."""
    kernel, weights = rounded(kind)
    trained = tf.quantization.fake_quant_with_min_max_vars(kernel, TRAINED.low, TRAINED.high, narrow_range=True)
    np.testing.assert_array_equal(weights.trained, trained)
    off = np.abs(weights.as_int8().numpy() - trained).reshape(-1, 4).max(axis=0)
    assert off[[0, 1, 3]].max() < 1e-6
    assert weights.exact == 3
    np.testing.assert_allclose(weights.steps, [STEP, STEP, np.abs(trained).max() / 127, STEP], rtol=1e-5)


def test_a_larger_step_costs_half_of_one() -> None:
    """The channel that does not fit is off by half a step of its own at most, and nothing is cut off."""
    _, weights = rounded("Conv2D")
    off = np.abs(weights.as_int8().numpy() - weights.trained)[..., 2]
    assert off.max() <= weights.steps[2] / 2 * 1.001
    assert weights.as_int8().numpy().max() == pytest.approx(weights.trained.max())


def test_biases_are_whole_steps_of_the_accumulator() -> None:
    """Of a step of the weights times one of what goes in, channel by channel; not rounded where that is unknown."""
    _, weights = rounded("Conv2D")
    steps = weights.biases_as_int8(Range(-1.0, 1.0)) / (weights.steps * (2 / 255))
    np.testing.assert_allclose(steps, np.round(steps), atol=0.02)
    np.testing.assert_array_equal(weights.biases_as_int8(None), np.ones(4))


def test_a_layer_of_zeros() -> None:
    """Weights whose range is nothing stay zero, without a NaN."""
    layer = tf_keras.layers.Conv2D(2, 1, kernel_initializer="zeros")
    layer.build((None, 5, 5, 4))
    weights = rounded_weights(layer, "Conv2D", Range(0.0, 0.0))
    assert not weights.trained.any()
    assert not weights.biases_as_int8(Range(0.0, 0.0)).any()
