"""Pooling over frames in two steps, against TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.deployment.tflite_pooling import pool_in_two_steps

FRAMES = np.random.RandomState(0).normal(size=(2, 5, 7, 8, 3)).astype("float32")


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("window", "step"), [((3, 3, 3), (2, 2, 2)), ((1, 3, 3), (1, 2, 2)), ((2, 4, 2), (2, 1, 3))])
@pytest.mark.parametrize(
    ("plain", "wanted"), [(tf.nn.max_pool2d, tf.nn.max_pool3d), (tf.nn.avg_pool2d, tf.nn.avg_pool3d)]
)
def test_two_steps_are_one(plain: object, wanted: object, window: tuple, step: tuple, padding: str) -> None:
    """At borders of even and odd sizes, whichever axis the window is long on; the largest value to the bit."""
    ksize, strides = (1, *window, 1), (1, *step, 1)
    found = pool_in_two_steps(plain, FRAMES, ksize, strides, padding)
    exact = wanted(FRAMES, ksize, strides, padding)
    np.testing.assert_allclose(found, exact, rtol=0, atol=0 if wanted is tf.nn.max_pool3d else 3e-7)
