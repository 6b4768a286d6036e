"""Networks spelled as they are met in graphs of strangers, each a few ops: what no layer of slim lays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compat import v1

from tests.reference import value

WILD: dict[str, Callable[[], Any]] = {}
FROZEN = ("frozen_batch_statistics", "folded_to_products_and_sums")
"""Those whose variables are constants."""
PLACEHOLDERS = {"a_dropout_by_placeholder": {"keep_prob:0": 0.8}, "a_placeholder_of_no_shape": {"keep_prob": 0.8}}
DECAYS = {"sufficient_statistics": 0.93, "shifted_moments": 0.93, "a_choice_by_select": 0.95}


def wild(function: Callable[[], Any]) -> Callable[[], Any]:
    WILD[function.__name__] = function
    return function


def placeholder(shape: Any = (None, 8, 8, 3), dtype: Any = tf.float32) -> Any:
    return v1.placeholder(dtype, shape, name="x")


def convolution(x: Any, channels: int, filters: int, scope: str) -> Any:
    with v1.variable_scope(scope):
        return tf.nn.conv2d(x, v1.get_variable("weights", (3, 3, channels, filters)), 1, "SAME")


def batch_norm(x: Any, mean: Any, variance: Any, scope: str) -> Any:
    """By hand, on statistics of the batch, with updates beside it."""
    with v1.variable_scope(scope):
        beta, gamma = (v1.get_variable(name, (4,)) for name in ("beta", "gamma"))
        for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
            moving = v1.get_variable(name, (4,), trainable=False)
            v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, v1.assign_sub(moving, (moving - batch) * (1 - 0.93)))
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)


def constant(name: str, shape: tuple[int, ...]) -> Any:
    return tf.constant(value(name, shape), name=name)


@wild
def sufficient_statistics() -> Any:
    """BatchNorm as TensorFlow 0.12 had its moments."""
    x = convolution(placeholder(), 3, 4, "first")
    mean, variance = tf.nn.normalize_moments(*tf.nn.sufficient_statistics(x, [0, 1, 2]))
    return convolution(tf.nn.relu(batch_norm(x, mean, variance, "first/bn")), 4, 2, "out")


@wild
def shifted_moments() -> Any:
    """BatchNorm as TensorFlow 1.2 had its moments."""
    x = convolution(placeholder(), 3, 4, "first")
    statistics = tf.nn.sufficient_statistics(x, [0, 1, 2], shift=tf.fill([4], 0.1))
    mean, variance = tf.nn.normalize_moments(*statistics)
    return convolution(tf.nn.relu(batch_norm(x, mean, variance, "first/bn")), 4, 2, "out")


@wild
def a_choice_by_select() -> Any:
    """``Select(is_training, ...)`` on moments and on the decay, assigned by hand."""
    is_training, x = v1.placeholder(tf.bool, (), name="train"), convolution(placeholder(), 3, 4, "first")
    names = ("population_mean", "population_variance", "gamma", "beta")
    mean, variance, gamma, beta = (v1.get_variable(f"bn/{name}", (4,), trainable="pop" not in name) for name in names)
    batch_mean, batch_variance = tf.nn.moments(x, [0, 1, 2])
    decay = v1.where(is_training, 0.95, 1.0)
    for moving, batch in ((mean, batch_mean), (variance, batch_variance)):
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, v1.assign(moving, moving * decay + batch * (1 - decay)))
    mean = tf.raw_ops.Select(condition=is_training, x=batch_mean, y=mean)
    variance = tf.raw_ops.Select(condition=is_training, x=batch_variance, y=variance)
    x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
    return convolution(tf.nn.relu(x), 4, 2, "out")


@wild
def frozen_batch_statistics() -> Any:
    """A frozen graph whose BatchNorms are in training mode: statistics of the batch are all there is."""
    import tf_slim as slim

    x = placeholder()
    for scope, fused in (("fused", True), ("unfused", False)):
        params = {"is_training": True, "fused": fused}
        x = slim.conv2d(x, 4, 3, normalizer_fn=slim.batch_norm, normalizer_params=params, scope=scope)
    return slim.conv2d(x, 2, 1, activation_fn=None, scope="out")


@wild
def folded_to_products_and_sums() -> Any:
    """BatchNorm that an optimiser folded, its names mangled."""
    x = tf.nn.conv2d(placeholder(), constant("weights", (3, 3, 3, 70)), 1, "SAME", name="first")
    x = x * constant("mul/_77__cf__77", (70,)) + constant("batchnorm/sub/_78__cf__78", (70,))
    x = tf.nn.conv2d(tf.nn.relu6(x), constant("weights_1", (1, 1, 70, 5)), 1, "SAME", name="second")
    return tf.nn.softmax(x + constant("batchnorm_1/sub/_79__cf__79", (5,)), name="final_result")


@wild
def a_retrained_head() -> Any:
    """A backbone of constants, a placeholder in the middle, and variables behind it."""
    x = tf.nn.conv2d(placeholder(), constant("back/weights", (5, 5, 3, 64)), 2, "SAME", name="back/Conv2D")
    x = tf.nn.conv2d(tf.nn.relu(x + constant("back/biases", (64,))), constant("top/weights", (3, 3, 64, 64)), 2, "SAME")
    x = v1.placeholder_with_default(tf.reduce_mean(tf.nn.relu(x), [1, 2]), (None, 64), name="Bottleneck")
    weights, biases = v1.get_variable("final/weights", (64, 3)), v1.get_variable("final/biases", (3,))
    return tf.nn.softmax(tf.matmul(x, weights) + biases, name="final_result")


@wild
def images_of_whole_numbers() -> Any:
    """The network begins where they are cast."""
    return convolution(tf.cast(placeholder(dtype=tf.uint8), tf.float32) / 127.5 - 1.0, 3, 2, "out")


@wild
def a_dropout_that_is_off_by_default() -> Any:
    """``keep_prob`` is a placeholder with a default of one."""
    x = convolution(placeholder(), 3, 4, "first")
    return convolution(v1.nn.dropout(x, v1.placeholder_with_default(1.0, (), name="keep_prob")), 4, 2, "out")


@wild
def a_dropout_by_placeholder() -> Any:
    """``keep_prob`` is given."""
    x = convolution(placeholder(), 3, 4, "first")
    return convolution(v1.nn.dropout(x, v1.placeholder(tf.float32, (), name="keep_prob")), 4, 2, "out")


@wild
def a_placeholder_of_no_shape() -> Any:
    """As people leave the shape out."""
    x = convolution(placeholder(), 3, 4, "first")
    return convolution(v1.nn.dropout(x, v1.placeholder(tf.float32, name="keep_prob")), 4, 2, "out")


@wild
def tied_weights() -> Any:
    """An autoencoder: one matrix, once as it is and once transposed."""
    weights = v1.get_variable("weights", (12, 5))
    hidden = tf.nn.sigmoid(tf.matmul(placeholder((None, 12)), weights) + v1.get_variable("biases", (5,)))
    return tf.matmul(hidden, weights, transpose_b=True) + v1.get_variable("visible", (12,))


@wild
def normalised_weights() -> Any:
    """Weight normalisation: a kernel that is computed of variables."""
    gain, direction = v1.get_variable("g", (4,)), v1.get_variable("v", (3, 3, 3, 4))
    return tf.nn.conv2d(placeholder(), gain * tf.nn.l2_normalize(direction, [0, 1, 2]), 1, "SAME")


@wild
def sizes_that_stay_open() -> Any:
    """Image pooling of any size, brought back to the size of the map."""
    x = placeholder((None, None, None, 3))
    sizes, y = tf.shape(x), convolution(x, 3, 4, "first")
    y = v1.image.resize_bilinear(y, [sizes[1] * 2, sizes[2] * 2])
    pooled = v1.image.resize_bilinear(tf.reduce_mean(y, [1, 2], keepdims=True), tf.shape(y)[1:3])
    return convolution(tf.concat([y, pooled], 3), 8, 2, "out")


@wild
def a_transposed_convolution_to_the_size_of_another_map() -> Any:
    """Sizes that Keras' layer cannot promise."""
    x = placeholder((None, None, None, 3))
    sizes, y = tf.shape(x), tf.nn.max_pool2d(convolution(x, 3, 4, "first"), 2, 2, "SAME")
    shape = tf.stack([sizes[0], sizes[1], sizes[2], 5])
    y = tf.nn.conv2d_transpose(y, v1.get_variable("up/weights", (3, 3, 5, 4)), shape, 2, "SAME")
    return convolution(y, 5, 2, "out")


@wild
def a_baked_batch_in_a_transposed_convolution() -> Any:
    """The number of images stands in the output shape."""
    y = tf.nn.max_pool2d(convolution(placeholder((4, 8, 8, 3)), 3, 4, "first"), 2, 2, "SAME")
    y = tf.nn.conv2d_transpose(y, v1.get_variable("up/weights", (3, 3, 5, 4)), [4, 8, 8, 5], 2, "SAME")
    return convolution(y, 5, 2, "out")


@wild
def heads_of_a_detector() -> Any:
    """Each reshaped to a row a box."""
    x = convolution(placeholder(), 3, 8, "first")
    boxes = tf.reshape(convolution(x, 8, 12, "boxes"), [-1, 8 * 8 * 3, 1, 4])
    shape = tf.stack([tf.shape(x)[0], 192, 2])
    return [tf.squeeze(boxes, [2]), tf.reshape(convolution(x, 8, 6, "classes"), shape)]


@wild
def ops_of_no_layer() -> Any:
    """Running sums, powers, signs, the place of the largest."""
    x = convolution(placeholder(), 3, 4, "first")
    y = tf.cumsum(x, 1) * tf.one_hot(tf.argmax(x, 3), 4) + tf.sign(x) * tf.pow(tf.abs(x) + 0.1, 0.3)
    return convolution(y, 4, 2, "out")


@wild
def ops_of_several_outputs() -> Any:
    """Split and unstacked, and put together again."""
    one, other = tf.split(convolution(placeholder(), 3, 8, "first"), 2, 3)
    return convolution(tf.concat([one * 2, tf.stack(tf.unstack(other, axis=3), 3)], 3), 8, 2, "out")


def values_of_variables() -> dict[Any, np.ndarray]:
    """Of the default graph, by variable; variances are positive."""
    found = {item: value(item.op.name, tuple(item.shape)) for item in v1.global_variables()}
    return {item: np.abs(array) + 0.3 if "variance" in item.op.name else array for item, array in found.items()}
