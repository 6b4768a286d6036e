"""Layers of our own, for what no composition of stock Keras layers computes.

A model with such a layer needs this module to be importable where it is loaded.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class LocalResponseNormalization(tf_keras.layers.Layer):  # type: ignore[misc]
    """``tf.nn.lrn``: divide by ``(bias + alpha * sum of squares over near channels) ** beta``. CifarNet needs it.

    Stock layers add, multiply, divide by norms and take exponentials; none takes a logarithm or a power, so the
    exponent 0.75 is out of their reach.

    Args:
        depth_radius: Channels to each side that belong to the sum.

    Source: A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, section 3.3.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.constants = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise (batch, height, width, channels)."""
        # There is no kernel in bfloat16, and on GPUs none in float16.
        return tf.cast(tf.nn.lrn(tf.cast(inputs, tf.float32), **self.constants), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), **self.constants}
