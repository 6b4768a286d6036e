"""Networks as strangers write them for slim: ``f(images, is_training)``, each with a habit of its own.

``foreign_plain_networks`` has those that do without slim's layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slim2keras.slim.runtime import import_tf_slim

slim = import_tf_slim()

import tensorflow.compat.v1 as tf

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class ForeignNetwork:
    """A network and what a test has to know of it.

    Attributes:
        function: ``function(images, is_training)`` gives the output, a list, or (output, end points). Of several
            shapes it takes a list of images.
        shapes: Of the inputs without the batch; ``None`` where the size is open.
        batch: What the placeholder has for a batch, ``None`` where that is open.
        decay: Of every BatchNorm, ``None`` without any.
        epsilon: Of every BatchNorm.
        drops: Whether something in it is random where it trains, and is switched off for a comparison.
        rounds: Whether FakeQuant rounds in it, which is left out for a comparison.
        pipeline: What feeds it while it trains: ``"queue"``, ``"iterator"``, or a placeholder.
        has_ema: Whether its trainer keeps shadows of its variables.
        freezes: Whether TensorFlow can freeze it; it cannot where a branch holds reference variables.
    """

    function: Callable[[Any, Any], Any]
    shapes: tuple[Shape, ...]
    batch: int | None = None
    decay: float | None = None
    epsilon: float = 0.001
    drops: bool = False
    rounds: bool = False
    pipeline: str | None = None
    has_ema: bool = False
    freezes: bool = True

    def is_left_in(self, mode: str) -> bool:
        """Whether there are files of it in a mode of ``writing_graphs.MODES``."""
        if mode == "switchable":
            return self.decay is not None
        return self.freezes or mode != "frozen"


NETWORKS: dict[str, ForeignNetwork] = {}


def foreign(*shapes: Shape, **facts: Any) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Enter a function among the networks, under its own name."""

    def enter(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        NETWORKS[function.__name__] = ForeignNetwork(function, shapes, **facts)
        return function

    return enter


def switchable(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The network with a placeholder for ``is_training``, named so."""

    def with_placeholder(images: Any, is_training: Any = None) -> Any:
        return function(images, tf.placeholder(tf.bool, (), name="is_training"))

    return with_placeholder


def normalised(is_training: Any, **params: Any) -> dict[str, Any]:
    """Arguments of a convolution with BatchNorm behind it."""
    return {"normalizer_fn": slim.batch_norm, "normalizer_params": {"is_training": is_training, **params}}


# Segmentation and detection


@foreign((None, None, 3), decay=0.9, pipeline="queue")
def unet(images, is_training):
    """Down and up again by slim's layers, of any size, with skips."""
    with slim.arg_scope([slim.conv2d, slim.conv2d_transpose], **normalised(is_training, decay=0.9)):
        skips, net = [], images
        for level, depth in enumerate((4, 6)):
            net = slim.repeat(net, 2, slim.conv2d, depth, [3, 3], scope=f"down{level}")
            skips.append(net)
            net = slim.max_pool2d(net, [2, 2], scope=f"pool{level}")
        net = slim.conv2d(net, 8, [3, 3], scope="bottom")
        for level, depth in ((1, 6), (0, 4)):
            net = slim.conv2d_transpose(net, depth, [2, 2], stride=2, scope=f"up{level}")
            net = slim.conv2d(tf.concat([net, skips[level]], 3), depth, [3, 3], scope=f"merge{level}")
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="logits")


@foreign((32, 32, 3), decay=0.99, has_ema=True)
def dilated(images, is_training):
    """Dilated by slim's rate, with BatchNorm, and pooled to the image as in DeepLab."""
    with slim.arg_scope([slim.conv2d], **normalised(is_training, decay=0.99, scale=True)):
        net = slim.conv2d(images, 6, [3, 3], stride=2, scope="entry")
        branches = [slim.conv2d(net, 4, [1, 1], scope="aspp0")]
        branches += [slim.conv2d(net, 4, [3, 3], rate=rate, scope=f"aspp{rate}") for rate in (2, 3)]
        pooled = slim.conv2d(tf.reduce_mean(net, [1, 2], keepdims=True), 4, [1, 1], scope="image_pooling")
        branches.append(tf.image.resize_bilinear(pooled, net.shape[1:3], align_corners=True))
        net = slim.conv2d(tf.concat(branches, 3), 6, [1, 1], scope="projection")
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, normalizer_fn=None, scope="logits")


@foreign((32, 24, 3), decay=0.997)
def feature_pyramid(images, is_training):
    """Upsampled by both resizes, to sizes that the graph computes, and a head a level."""
    with slim.arg_scope([slim.conv2d], **normalised(is_training, decay=0.997, epsilon=0.001)):
        c2 = slim.conv2d(images, 4, [3, 3], stride=2, scope="c2")
        c3 = slim.conv2d(c2, 6, [3, 3], stride=2, scope="c3")
        c4 = slim.conv2d(c3, 8, [3, 3], stride=2, scope="c4")
        p4 = slim.conv2d(c4, 4, [1, 1], scope="p4")
        up = tf.image.resize_bilinear(p4, tf.shape(c3)[1:3], align_corners=False)
        p3 = slim.conv2d(c3, 4, [1, 1], scope="p3") + up
        up = tf.image.resize_nearest_neighbor(p3, [tf.shape(c2)[1], tf.shape(c2)[2]], align_corners=True)
        p2 = tf.add(slim.conv2d(c2, 4, [1, 1], scope="p2"), up, name="p2_sum")
    heads = [slim.conv2d(p, 2, [3, 3], activation_fn=None, scope="head", reuse=tf.AUTO_REUSE) for p in (p2, p3, p4)]
    return [tf.reshape(head, (-1, head.shape[1] * head.shape[2], 2)) for head in heads]


@foreign((16, 16, 3), decay=0.95)
def squeeze_excite(images, is_training):
    """Channels weighted by two dense layers on the mean, and by two 1x1 convolutions."""
    net = slim.conv2d(images, 8, [3, 3], **normalised(is_training, decay=0.95))
    squeezed = tf.reduce_mean(net, axis=[1, 2])
    excited = slim.fully_connected(squeezed, 2, scope="se/squeeze")
    excited = slim.fully_connected(excited, 8, activation_fn=tf.nn.sigmoid, scope="se/excite")
    net = net * tf.reshape(excited, [-1, 1, 1, 8])
    squeezed = tf.reduce_mean(net, axis=[1, 2], keepdims=True)
    excited = slim.conv2d(squeezed, 2, [1, 1], scope="se2/squeeze")
    excited = slim.conv2d(excited, 8, [1, 1], activation_fn=None, scope="se2/excite")
    net = tf.multiply(net, tf.sigmoid(excited), name="scaled")
    return slim.conv2d(net, 3, [1, 1], activation_fn=None, normalizer_fn=None, scope="out")


@foreign((17, 16, 3))
def strided_crops(images, is_training):
    """Centre crops by slices, and a difference of neighbours."""
    net = slim.conv2d(images, 6, [3, 3], padding="VALID", scope="conv1")
    wide = slim.conv2d(net, 4, [3, 3], scope="wide")[:, 2:-2, 2:-2, :]
    deep = slim.conv2d(slim.conv2d(net, 4, [3, 3], padding="VALID"), 4, [3, 3], padding="VALID")
    net = tf.concat([wide, deep], axis=-1)
    net = net[:, ::2, 1:, :6] - tf.slice(net, [0, 0, 0, 1], [-1, -1, 9, 6])[:, ::2, :, :]
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="out")


# Normalisation


@foreign((16, 16, 3))
def instance_normalised(images, is_training):
    """A style network: reflected borders, instance norm, residual, tanh."""
    net = tf.pad(images, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="REFLECT")
    net = slim.conv2d(net, 6, [5, 5], padding="VALID", normalizer_fn=slim.instance_norm, scope="conv1")
    inner = tf.pad(net, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    inner = slim.conv2d(inner, 6, [3, 3], padding="VALID", normalizer_fn=slim.instance_norm, scope="residual")
    return tf.nn.tanh(slim.conv2d(net + inner, 3, [3, 3], activation_fn=None, scope="out")) * 1.5 + 1.0 / 2


@foreign((16, 16, 3))
def layer_normalised(images, is_training):
    """Layer norm behind convolutions and dense layers."""
    with slim.arg_scope([slim.conv2d, slim.fully_connected], normalizer_fn=slim.layer_norm):
        net = slim.conv2d(images, 4, [3, 3], stride=2, scope="conv1")
        net = slim.flatten(slim.conv2d(net, 4, [3, 3], stride=2, scope="conv2"))
        net = slim.fully_connected(net, 8, scope="fc1")
    return slim.fully_connected(net, 3, activation_fn=None, scope="logits")


@foreign((16, 16, 3), decay=0.9)
def without_gamma(images, is_training):
    """An arg scope of decay 0.9, center only."""
    params = normalised(is_training, decay=0.9, center=True, scale=False, epsilon=0.001)
    with slim.arg_scope([slim.conv2d], padding="SAME", **params):
        net = slim.conv2d(images, 4, [3, 3], scope="conv1")
        net = slim.max_pool2d(net, [3, 3], stride=2, padding="SAME")
        net = slim.conv2d(net, 6, [3, 3], stride=2, scope="conv2")
    net = slim.avg_pool2d(net, net.shape[1:3], scope="pool")
    return slim.fully_connected(slim.flatten(net), 3, activation_fn=None, scope="logits")


@foreign((16, 16, 3), decay=0.96, epsilon=1e-5, drops=True, pipeline="iterator", has_ema=True)
def regularized(images, is_training):
    """An arg scope of decay 0.96 with gamma, L2 of two strengths, and dropout."""
    params = normalised(is_training, decay=0.96, scale=True, epsilon=1e-5, updates_collections=tf.GraphKeys.UPDATE_OPS)
    with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(4e-4), **params):
        net = slim.conv2d(images, 6, [3, 3], stride=2, scope="conv1")
        net = slim.conv2d(net, 6, [3, 3], scope="conv2")
    net = slim.dropout(slim.flatten(net), keep_prob=0.7, is_training=is_training, scope="dropout")
    regularizer = slim.l2_regularizer(0.001)
    return slim.fully_connected(
        net, 3, activation_fn=None, weights_regularizer=regularizer, biases_regularizer=regularizer, scope="logits"
    )


def _adaptive_batch_norm(x, is_training, decay, scope="adaptive"):
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        w0 = tf.get_variable("w0", [], tf.float32, tf.constant_initializer(1.0))
        w1 = tf.get_variable("w1", [], tf.float32, tf.constant_initializer(0.0))
    return w0 * x + w1 * slim.batch_norm(x, decay=decay, is_training=is_training)


@foreign((None, None, 3), decay=0.99)
def own_normaliser(images, is_training):
    """``w0 * x + w1 * batch_norm(x)``, leaky by a maximum: an image operator of any size."""

    def norm(x):
        scope = tf.get_default_graph().unique_name("adaptive", mark_as_used=False)
        return _adaptive_batch_norm(x, is_training, 0.99, scope)

    def leaky(x):
        return tf.maximum(0.2 * x, x)

    net = slim.conv2d(images, 4, [3, 3], activation_fn=leaky, normalizer_fn=norm, scope="g_conv1")
    net = slim.conv2d(net, 4, [3, 3], rate=2, activation_fn=leaky, normalizer_fn=norm, scope="g_conv2")
    return slim.conv2d(net, 3, [1, 1], activation_fn=None, scope="g_conv_last")


@foreign((16, 16, 3), decay=0.98)
def unfused(images, is_training):
    """BatchNorm of single ops, with and without gamma."""
    with slim.arg_scope([slim.batch_norm], fused=False, decay=0.98, is_training=is_training):
        net = slim.conv2d(images, 4, [3, 3], normalizer_fn=slim.batch_norm, scope="conv1")
        net = slim.conv2d(net, 4, [3, 3], normalizer_fn=slim.batch_norm, normalizer_params={"scale": True})
        net = slim.batch_norm(net, center=False, activation_fn=tf.nn.relu, scope="postnorm")
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="out")


@foreign((16, 16, 3), decay=0.9)
def zero_debias(images, is_training):
    """Moving means that are corrected for their start at zero."""
    params = normalised(is_training, decay=0.9, fused=False, zero_debias_moving_mean=True)
    net = slim.conv2d(images, 4, [3, 3], stride=2, scope="conv1", **params)
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="out")


@foreign((490,), decay=0.96)
def keyword_spotter(images, is_training):
    """A flat fingerprint, convolutions with bias and BatchNorm, statistics moved by the forward pass."""
    net = tf.reshape(images, [-1, 49, 10, 1])
    params = {"is_training": is_training, "decay": 0.96, "updates_collections": None}
    with tf.variable_scope("DS-CNN"), slim.arg_scope([slim.batch_norm], **params):
        net = slim.convolution2d(net, 6, [10, 4], stride=[2, 2], activation_fn=None, padding="SAME", scope="conv_1")
        net = slim.batch_norm(net, activation_fn=tf.nn.relu, fused=True, scope="conv_1/batch_norm")
        net = slim.separable_convolution2d(
            net, num_outputs=None, stride=1, depth_multiplier=1, kernel_size=[3, 3], activation_fn=None, scope="dw"
        )
        net = slim.batch_norm(net, activation_fn=tf.nn.relu, fused=True, scope="dw/batch_norm")
        net = slim.avg_pool2d(net, [25, 5], scope="avg_pool")
        net = tf.squeeze(net, [1, 2], name="SpatialSqueeze")
        return slim.fully_connected(net, 4, activation_fn=None, scope="fc1")


@foreign((12,), decay=0.9)
def dense_only(images, is_training):
    """Dense layers alone, with BatchNorm of rank two in both kernels."""
    net = images
    for index, is_fused in enumerate((True, False)):
        params = normalised(is_training, decay=0.9, scale=True, fused=is_fused)
        net = slim.fully_connected(net, 8, scope=f"fc{index}", **params)
    return slim.fully_connected(net, 3, activation_fn=None, scope="logits")


# Towers, branches and other structure


def _tower(images, is_training, *, reuse):
    with tf.variable_scope("tower", reuse=reuse):
        net = slim.conv2d(images, 4, [3, 3], stride=2, scope="conv1", **normalised(is_training, decay=0.9))
        net = slim.fully_connected(slim.flatten(net), 6, activation_fn=None, scope="embedding")
    return tf.nn.l2_normalize(net, axis=1)


@foreign((12, 12, 1), (12, 12, 1), decay=0.9)
def two_towers(images, is_training):
    """Siamese: two inputs, one set of variables, the distance of two embeddings."""
    left = _tower(images[0], is_training, reuse=False)
    right = _tower(images[1], is_training, reuse=True)
    return tf.reduce_sum(tf.square(left - right), axis=1, keepdims=True, name="distance"), {"left": left}


@foreign((12, 24, 1))
def split_towers(images, is_training):
    """One input, cut in two halves that go through one convolution."""
    left, right = tf.split(images, 2, axis=2)
    with slim.arg_scope([slim.conv2d], activation_fn=tf.nn.relu6):
        left = slim.conv2d(left, 4, [3, 3], scope="shared")
        right = slim.conv2d(right, 4, [3, 3], scope="shared", reuse=True)
    both = tf.stack([tf.reduce_max(left, [1, 2]), tf.reduce_max(right, [1, 2])], axis=1)
    return slim.fully_connected(slim.flatten(both), 2, activation_fn=None, scope="same_or_not")


@foreign((16, 16, 3), decay=0.9997)
def separable(images, is_training):
    """Separable convolutions with a multiplier, BatchNorm between their halves and behind them."""
    with slim.arg_scope([slim.separable_conv2d], activation_fn=tf.nn.relu6, **normalised(is_training, decay=0.9997)):
        net = slim.separable_conv2d(images, None, [3, 3], depth_multiplier=2, stride=2, scope="depthwise")
        net = slim.separable_conv2d(net, 6, [3, 3], depth_multiplier=2, scope="both")
        net = slim.separable_conv2d(net, None, [3, 3], depth_multiplier=1, rate=2, scope="dilated")
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="out")


@foreign((16, 16, 8), decay=0.9)
def channel_shuffle(images, is_training):
    """Half of the channels convolved, then shuffled by reshape and transpose; grouped by split and concat."""
    kept, net = tf.split(images, num_or_size_splits=2, axis=3)
    net = slim.conv2d(net, 4, [1, 1], scope="conv1", **normalised(is_training, decay=0.9))
    net = tf.stack([kept, net], axis=3)
    net = tf.reshape(tf.transpose(net, [0, 1, 2, 4, 3]), [-1, 16, 16, 8])
    groups = [slim.conv2d(group, 3, [3, 3], scope=f"group{i}") for i, group in enumerate(tf.split(net, [5, 3], 3))]
    return slim.conv2d(tf.concat(groups, -1), 2, [1, 1], activation_fn=None, scope="out")


@foreign((16, 16, 3))
def local_response(images, is_training):
    """AlexNet's first steps: LRN with its own radius, then pools of both kinds."""
    net = slim.conv2d(images, 8, [5, 5], stride=2, padding="VALID", scope="conv1")
    net = tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name="norm1")
    net = slim.max_pool2d(net, [3, 3], 1, padding="SAME") + slim.avg_pool2d(net, [3, 3], 1, padding="SAME")
    return slim.fully_connected(tf.reduce_max(net, [1, 2]), 3, activation_fn=None, scope="fc3")


@foreign((16, 16, 3))
def activations(images, is_training):
    """Each of the less common activations once."""
    net = slim.conv2d(images, 4, [3, 3], activation_fn=tf.nn.elu, scope="elu")
    net = slim.conv2d(net, 4, [3, 3], activation_fn=tf.nn.selu, scope="selu")
    net = slim.conv2d(net, 4, [3, 3], activation_fn=tf.nn.softplus, scope="softplus")
    net = slim.conv2d(net, 4, [3, 3], activation_fn=tf.nn.swish, scope="swish")
    net = slim.conv2d(net, 4, [3, 3], activation_fn=lambda x: x * tf.sigmoid(x), scope="by_hand")
    net = slim.conv2d(net, 4, [3, 3], activation_fn=lambda x: x * tf.nn.relu6(x + 3) / 6, scope="hard_swish")
    net = slim.conv2d(net, 4, [3, 3], activation_fn=tf.nn.leaky_relu, scope="leaky")
    return slim.conv2d(net, 3, [1, 1], activation_fn=tf.nn.softsign, scope="softsign")


@foreign((16, 16, 3))
def leaky_sums(images, is_training):
    """Leaky sums of a convolution with biases, as an op below and above 1 and as a maximum."""
    net = slim.conv2d(images, 8, [3, 3], scope="stem")
    for place, leaky in enumerate(
        [lambda x: tf.nn.leaky_relu(x, 0.05), lambda x: tf.nn.leaky_relu(x, 1.2), lambda x: tf.maximum(0.6 * x, x)]
    ):
        branch = slim.conv2d(net, 8, [3, 3], activation_fn=None, scope=f"unit_{place}/conv")
        net = leaky(tf.add(net, branch, name=f"unit_{place}/sum"))
    return slim.conv2d(net, 3, [1, 1], activation_fn=tf.nn.softsign, scope="softsign")


@foreign((1, 1, 1))
def one_grey_pixel(images, is_training):
    """The smallest image."""
    net = slim.conv2d(images, 4, [1, 1], scope="conv1")
    return tf.squeeze(slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="logits"), [1, 2], name="squeezed")


@foreign((4, 8, 8, 2), decay=0.9)
def video(images, is_training):
    """Convolutions and pools over frames."""
    with slim.arg_scope([slim.conv3d], **normalised(is_training, decay=0.9, fused=False)):
        net = slim.conv3d(images, 4, [3, 3, 3], stride=[1, 2, 2], scope="Conv3d_1")
        net = slim.max_pool3d(net, [2, 2, 2], stride=2, padding="SAME", scope="MaxPool3d_2")
        net = slim.conv3d(net, 4, [1, 1, 1], scope="Conv3d_3")
    return slim.fully_connected(tf.reduce_mean(net, [1, 2, 3]), 3, activation_fn=None, scope="logits")


@foreign((16, 16, 3), drops=True)
def drop_path(images, is_training):
    """Whole images of a branch dropped, as NASNet spells it, and whole channels by a noise shape."""
    net = slim.conv2d(images, 4, [3, 3], scope="stem")
    branch = slim.conv2d(net, 4, [3, 3], scope="branch")
    other = slim.conv2d(net, 4, [1, 1], scope="other")
    if is_training:
        branch = tf.nn.dropout(branch, keep_prob=0.8, noise_shape=[tf.shape(branch)[0], 1, 1, 1])
        other = tf.nn.dropout(other, keep_prob=0.9, noise_shape=[tf.shape(branch)[0], 1, 1, 4])
    return slim.conv2d(net + branch + other, 2, [1, 1], activation_fn=None, scope="out")


@foreign((16, 16, 3), decay=0.9, rounds=True)
def quantized(images, is_training):
    """Trained for eight bits: weights and activations pass through FakeQuant."""

    def quantize(x, scope):
        with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
            low = tf.get_variable("min", [], initializer=tf.constant_initializer(-6.0), trainable=False)
            high = tf.get_variable("max", [], initializer=tf.constant_initializer(6.0), trainable=False)
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high)

    net = slim.conv2d(images, 4, [3, 3], scope="conv1", **normalised(is_training, decay=0.9))
    net = quantize(net, "conv1/act_quant")
    with tf.variable_scope("conv2"):
        weights = slim.model_variable("weights", [3, 3, 4, 4], initializer=tf.glorot_uniform_initializer())
        net = tf.nn.conv2d(net, quantize(weights, "weights_quant"), [1, 1, 1, 1], "SAME")
    net = quantize(tf.nn.relu6(net), "conv2/act_quant")
    return slim.conv2d(net, 2, [1, 1], activation_fn=None, scope="out")
