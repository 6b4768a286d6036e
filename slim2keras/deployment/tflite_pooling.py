"""Pooling over frames, which TFLite lacks, as pooling over the pixels of each frame and then over time.

The largest value of a window is the largest of what its frames give, and the mean of a window is the mean of their
means, also at a border, where both leave out what is padded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from slim2keras.models.overrides import Overrides

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

_Pool = Callable[..., "tf.Tensor"]


@contextlib.contextmanager
def pooling_in_two_steps(model: tf_keras.Model) -> Iterator[None]:
    """Within it, layers of a model that pool over frames do so in two steps."""
    import tensorflow as tf
    from tf_keras import layers

    plain = {layers.MaxPooling3D: tf.nn.max_pool2d, layers.AveragePooling3D: tf.nn.avg_pool2d}
    with Overrides() as overrides:
        for layer in model.layers:
            if type(layer) in plain:
                overrides.set(layer, "pool_function", partial(pool_in_two_steps, plain[type(layer)]))
        yield


def pool_in_two_steps(
    pool: _Pool, frames: tf.Tensor, ksize: Sequence[int], strides: Sequence[int], padding: str
) -> tf.Tensor:
    """Pool over frames by a function that pools over pixels.

    Args:
        pool: Of TensorFlow, over height and width.
        frames: (batch, frames, height, width, channels).
        ksize: Of the same axes.
        strides: Of the same axes.
        padding: ``"SAME"`` or ``"VALID"``.

    Returns:
        (batch, pooled frames, pooled height, pooled width, channels).
    """
    import tensorflow as tf

    *_, count, height, width, channels = frames.shape
    one_by_one = tf.reshape(frames, (-1, height, width, channels))
    smaller = pool(one_by_one, ksize[2:4], strides[2:4], padding)
    _, height, width, _ = smaller.shape
    in_order = tf.reshape(smaller, (-1, count, height * width, channels))
    pooled = pool(in_order, (ksize[1], 1), (strides[1], 1), padding)
    return tf.reshape(pooled, (-1, pooled.shape[1], height, width, channels))
