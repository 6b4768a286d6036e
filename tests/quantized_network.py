"""Networks as tf.contrib.quantize rewrites them, on plain ops of TensorFlow 1: the judge of quantization-aware ones.

BatchNorm is folded into weights, of which training rounds the smallest to the largest, and what leaves an activation is
rounded to a zero-debiased moving average of its range. Scopes of ops repeat the root in MobileNet v1, and names of
ranges follow them.

Source: tensorflow/contrib/quantize/python of TensorFlow 1.15: fold_batch_norms.py, ``_FoldFusedBatchNorms``,
``_ComputeBatchNormCorrections``; quantize.py, ``Quantize``; quant_ops.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from slim2keras.graphs import layers
from slim2keras.graphs.activations import hard_sigmoid, relu
from slim2keras.graphs.arithmetic import add, multiply
from slim2keras.graphs.layers import BatchNorm
from slim2keras.graphs.network import GraphNetwork
from slim2keras.graphs.shapes import concat, reshape

v1 = tf.compat.v1

EPSILON, DECAY, EMA_DECAY = 1e-3, 0.5, 0.9
CLASSES = 5


@dataclass
class Rewritten:
    """A graph that is being laid.

    Attributes:
        is_training: Whether ranges and moving statistics are learned.
        rounds_all: Whether averages and concatenations are rounded too, as int8 has to.
        updates: Ops that a step runs.
        ends: Of ranges of activations.
    """

    is_training: bool
    rounds_all: bool = False
    updates: list[Any] = field(default_factory=list)
    ends: dict[str, list[Any]] = field(default_factory=dict)

    def variable(self, name: str, shape: tuple[int, ...], start: Any, *, trainable: bool = True) -> Any:
        return v1.get_variable(name, shape, initializer=start, trainable=trainable, use_resource=False)

    def constant(self, name: str, shape: tuple[int, ...], start: float, *, trainable: bool = False) -> Any:
        return self.variable(name, shape, v1.constant_initializer(start), trainable=trainable)

    def round_weights(self, weights: Any, scope: str) -> Any:
        """``LastValueQuantize``."""
        ends = [self.constant(f"{scope}/weights_quant/{end}", (), start) for end, start in (("min", -6), ("max", 6))]
        if self.is_training:
            low, high = tf.minimum(tf.reduce_min(weights), 0.0), tf.maximum(tf.reduce_max(weights), 0.0)
            ends = [v1.assign(ends[0], low), v1.assign(ends[1], high)]
        name = f"{scope}/weights_quant/FakeQuantWithMinMaxVars"
        return tf.quantization.fake_quant_with_min_max_vars(weights, *ends, 8, narrow_range=True, name=name)

    def round_output(self, x: Any, quantizer: str, start: float = 0.0) -> Any:
        """``MovingAvgQuantize``."""
        ends = [self.constant(f"{quantizer}/{end}", (), first) for end, first in (("min", start), ("max", 6.0))]
        if self.is_training:
            low, high = tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)
            ends = [self.averaged(end, value) for end, value in zip(ends, (low, high), strict=True)]
        self.ends[quantizer] = ends
        return tf.quantization.fake_quant_with_min_max_vars(x, *ends, name=f"{quantizer}/FakeQuantWithMinMaxVars")

    def round_anew(self, x: Any, *quantizers: str) -> Any:
        """Nothing in ``Quantize``; int8 rounds in the whole of the ranges of what went in."""
        if not self.rounds_all:
            return x
        low, high = zip(*(self.ends[name] for name in quantizers), strict=True)
        return tf.quantization.fake_quant_with_min_max_vars(x, tf.reduce_min(low), tf.reduce_max(high))

    def averaged(self, end: Any, value: Any) -> Any:
        """``assign_moving_average`` with ``zero_debias``, whose state lies below the variable's name, twice."""
        scope = f"{end.op.name.rpartition('/')[0]}/{end.op.name}"
        biased, steps = (self.constant(f"{scope}/{name}", (), 0.0) for name in ("biased", "local_step"))
        new = v1.assign(biased, biased * EMA_DECAY + value * (1 - EMA_DECAY))
        count = v1.assign_add(steps, 1.0)
        return v1.assign(end, new / (1 - tf.pow(EMA_DECAY, count)))

    def weighted(
        self, x: Any, name: str, scope: str, size: int, filters: int | None, stride: int = 1, *, has_bias: bool = False
    ) -> Any:
        """A convolution, of each channel by itself where there are no filters, with its BatchNorm folded."""
        channels, leaf = x.shape[-1], "weights" if filters else "depthwise_weights"
        shape = (size, size, channels, filters or 1)
        start = tf.compat.v1.random_normal_initializer(stddev=(2 / (size * size * (channels if filters else 1))) ** 0.5)
        weights = self.variable(f"{name}/{leaf}", shape, start)

        def computed(kernel: Any) -> Any:
            if filters:
                return tf.nn.conv2d(x, kernel, stride, "SAME", name=f"{scope}/Conv2D_Fold")
            return tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), "SAME", name=f"{scope}/depthwise_Fold")

        if has_bias:
            bias = self.constant(f"{name}/biases", (filters,), 0.0, trainable=True)
            return tf.nn.bias_add(computed(self.round_weights(weights, scope)), bias, name=f"{scope}/BiasAdd")
        return self.folded(computed, weights, filters or channels, name, scope)

    def folded(self, computed: Callable[[Any], Any], weights: Any, channels: int, name: str, scope: str) -> Any:
        norm = f"{name}/BatchNorm"
        gamma = self.constant(f"{norm}/gamma", (channels,), 1.0, trainable=True)
        beta = self.constant(f"{norm}/beta", (channels,), 0.0, trainable=True)
        mean = self.constant(f"{norm}/moving_mean", (channels,), 0.0)
        variance = self.constant(f"{norm}/moving_variance", (channels,), 1.0)
        scale = gamma * tf.math.rsqrt(variance + EPSILON)
        shape = (channels, 1) if weights.op.name.endswith("depthwise_weights") else (channels,)
        kernel = self.round_weights(weights * tf.reshape(scale, shape), scope)
        if not self.is_training:
            return tf.add(computed(kernel), beta - mean * scale, name=f"{scope}/add_fold")
        batch_mean, batch_variance = tf.nn.moments(computed(weights), (0, 1, 2))
        for moving, of_batch in ((mean, batch_mean), (variance, batch_variance)):
            self.updates.append(v1.assign_sub(moving, (moving - of_batch) * (1 - DECAY)))
        correction = tf.math.rsqrt(batch_variance + EPSILON) / tf.math.rsqrt(variance + EPSILON)
        return computed(kernel) * correction + (beta - batch_mean * gamma * tf.math.rsqrt(batch_variance + EPSILON))

    def layer(
        self,
        x: Any,
        name: str,
        scope: str,
        size: int,
        filters: int | None,
        stride: int = 1,
        *,
        activation: Any = tf.nn.relu6,
    ) -> Any:
        """A convolution with its activation, and the rounding behind that."""
        x = self.weighted(x, name, scope, size, filters, stride)
        return self.round_output(activation(x), f"{scope}/act_quant")

    def separable_layer(self, x: Any, name: str, size: int, filters: int, stride: int, multiplier: int = 2) -> Any:
        """A separable convolution, BatchNorm folded into its second part; both parts are rounded."""
        scope, start = f"{name}/separable_conv2d", tf.compat.v1.random_normal_initializer(stddev=0.4)
        weights = self.variable(f"{name}/depthwise_weights", (size, size, x.shape[-1], multiplier), start)
        pointwise = self.variable(f"{name}/pointwise_weights", (1, 1, x.shape[-1] * multiplier, filters), start)
        x = tf.nn.depthwise_conv2d(x, self.round_weights(weights, scope), (1, stride, stride, 1), "SAME")
        x = self.round_output(x, f"{scope}/act_quant")
        x = self.folded(lambda kernel: tf.nn.conv2d(x, kernel, 1, "SAME"), pointwise, filters, name, name)
        return self.round_output(tf.nn.relu6(x), f"{name}/act_quant")

    def gate(self, x: Any, scope: str, around: str) -> Any:
        """``relu6(x + 3)``, whose addition the rewrite takes for a sum beside the layer before it."""
        gate = tf.nn.relu6(tf.add(x, 3.0, name=f"{scope}/add"), name=f"{scope}/Relu6")
        quantizer = f"{around}/act_quant"
        return self.round_output(gate, f"{quantizer}_1" if quantizer in self.ends else quantizer)

    def swish_layer(self, x: Any, name: str, size: int, filters: int | None, stride: int = 1) -> Any:
        """A convolution with slim's ``hard_swish``."""
        x = self.round_output(self.weighted(x, name, name, size, filters, stride), f"{name}/conv_quant", -6.0)
        scope, around = f"{name}/hard_swish", name.rpartition("/")[0]
        for leaf, factor in (("mul", self.gate(x, scope, around)), ("mul_1", 1.0 / 6.0)):
            x = tf.multiply(x, factor, name=f"{scope}/{leaf}")
            x = self.round_output(x, f"{scope}/{leaf}/activation_Mul_quant", -6.0)
        return x

    def squeeze_excite(self, x: Any, scope: str, given: str) -> Any:
        """slim's, of MobileNet v3.

        Args:
            given: What rounds ``x``.
        """
        excited = self.round_anew(tf.reduce_mean(x, (1, 2), keepdims=True), given)
        first, second = f"{scope}/Conv", f"{scope}/Conv_1"
        excited = tf.nn.relu(self.weighted(excited, first, first, 1, 8, has_bias=True))
        excited = self.round_output(excited, f"{first}/act_quant")
        excited = self.weighted(excited, second, second, 1, x.shape[-1], has_bias=True)
        excited = self.round_output(excited, f"{second}/conv_quant", -6.0)
        excited = tf.multiply(self.gate(excited, f"{second}/hard_sigmoid", scope), 0.16667)
        excited = self.round_output(excited, f"{second}/hard_sigmoid/mul/activation_Mul_quant", -6.0)
        return self.round_output(x * excited, f"{scope}/mul/activation_Mul_quant", -6.0)


SHAPE = (32, 32, 3)


def small(rewritten: Rewritten, x: Any) -> Any:
    """Logits of a network with everything that the rewrite tells apart."""
    x = rewritten.layer(x, "Small/Conv", "Small/Small/Conv", 3, 8, 2)
    shortcut = x
    x = rewritten.layer(x, "Small/Block/depthwise", "Small/Block/depthwise", 3, None)
    x = rewritten.layer(x, "Small/Block/project", "Small/Block/project", 1, 8, activation=tf.identity)
    x = rewritten.round_output(tf.add(x, shortcut, "Small/Block/add"), "Small/Block/post_activation_bypass_quant", -6.0)
    shortcut = x
    x = rewritten.weighted(x, "Small/Unit/conv1", "Small/Unit/conv1", 3, 8)
    x = rewritten.round_output(x, "Small/Unit/conv1/conv_quant", -6.0)
    x = rewritten.round_output(tf.nn.relu(shortcut + x), "Small/Unit/act_quant")
    branches = [("Small/Mixed/Branch_0", 1), ("Small/Mixed/Branch_1", 3)]
    x = tf.concat([rewritten.layer(x, name, name, size, 8, 2) for name, size in branches], -1)
    given = [f"{name}/act_quant" for name, _ in branches]
    x = rewritten.round_anew(tf.reduce_mean(rewritten.round_anew(x, *given), (1, 2), keepdims=True), *given)
    x = rewritten.weighted(x, "Small/Logits", "Small/Logits", 1, CLASSES, has_bias=True)
    return tf.squeeze(rewritten.round_output(x, "Small/Logits/act_quant", -6.0), (1, 2))


def small_network() -> GraphNetwork:
    """The same as layers of slim, before the rewrite."""
    norm = BatchNorm(DECAY, EPSILON, scale=True)
    x = layers.inputs(SHAPE)
    graph = x.graph
    x = shortcut = layers.conv2d(x, 8, 3, stride=2, activation="relu6", batch_norm=norm, name="Small/Conv")
    x = layers.depthwise_conv2d(x, 3, activation="relu6", batch_norm=norm, name="Small/Block/depthwise")
    x = layers.conv2d(x, 8, 1, activation=None, batch_norm=norm, name="Small/Block/project")
    x = shortcut = add([x, shortcut], name="Small/Block/add")
    x = layers.conv2d(x, 8, 3, activation=None, batch_norm=norm, name="Small/Unit/conv1")
    x = relu(add([shortcut, x], name="Small/Unit/add"), name="Small/Unit/Relu")
    x = concat(
        [
            layers.conv2d(x, 8, 1, stride=2, activation="relu6", batch_norm=norm, name="Small/Mixed/Branch_0"),
            layers.conv2d(x, 8, 3, stride=2, activation="relu6", batch_norm=norm, name="Small/Mixed/Branch_1"),
        ],
        name="Small/Mixed/concat",
    )
    x = layers.global_avg_pool(x, name="Small/pool")
    x = layers.conv2d(x, CLASSES, 1, activation=None, name="Small/Logits")
    graph.outputs = [reshape(x, (CLASSES,), name="Small/squeeze")]
    return GraphNetwork("small", graph, preprocessing="inception", num_classes=CLASSES)


def swish(rewritten: Rewritten, x: Any) -> Any:
    """Logits of a network with what MobileNet v3 has besides."""
    x = rewritten.swish_layer(x, "Swish/Conv", 3, 8, 2)
    x = rewritten.swish_layer(x, "Swish/Block/expand", 1, 16)
    x = rewritten.swish_layer(x, "Swish/Block/depthwise", 3, None, 2)
    given = "Swish/Block/depthwise/hard_swish/mul_1/activation_Mul_quant"
    x = rewritten.squeeze_excite(x, "Swish/Block/squeeze_excite", given)
    x = rewritten.layer(x, "Swish/Block/project", "Swish/Block/project", 1, 8, activation=tf.identity)
    x = rewritten.round_anew(tf.reduce_mean(x, (1, 2), keepdims=True), "Swish/Block/project/act_quant")
    x = rewritten.weighted(x, "Swish/Logits", "Swish/Logits", 1, CLASSES, has_bias=True)
    return tf.squeeze(rewritten.round_output(x, "Swish/Logits/act_quant", -6.0), (1, 2))


def swish_network() -> GraphNetwork:
    """The same as layers of slim, before the rewrite."""
    norm = BatchNorm(DECAY, EPSILON, scale=True)
    x = layers.inputs(SHAPE)
    graph = x.graph
    x = layers.conv2d(x, 8, 3, stride=2, activation="hard_swish", batch_norm=norm, name="Swish/Conv")
    x = layers.conv2d(x, 16, 1, activation="hard_swish", batch_norm=norm, name="Swish/Block/expand")
    x = layers.depthwise_conv2d(x, 3, stride=2, activation="hard_swish", batch_norm=norm, name="Swish/Block/depthwise")
    scope = "Swish/Block/squeeze_excite"
    excited = layers.global_avg_pool(x, name=f"{scope}/Mean")
    excited = layers.conv2d(excited, 8, 1, name=f"{scope}/Conv")
    excited = layers.conv2d(excited, 16, 1, activation=None, name=f"{scope}/Conv_1")
    x = multiply([x, hard_sigmoid(excited, 0.16667, name=f"{scope}/Conv_1/hard_sigmoid")], name=f"{scope}/mul")
    x = layers.conv2d(x, 8, 1, activation=None, batch_norm=norm, name="Swish/Block/project")
    x = layers.global_avg_pool(x, name="Swish/pool")
    x = layers.conv2d(x, CLASSES, 1, activation=None, name="Swish/Logits")
    graph.outputs = [reshape(x, (CLASSES,), name="Swish/squeeze")]
    return GraphNetwork("swish", graph, preprocessing="inception", num_classes=CLASSES)


def separable(rewritten: Rewritten, x: Any) -> Any:
    """Logits of a network with a separable convolution."""
    x = rewritten.layer(x, "Separable/Conv", "Separable/Conv", 3, 8, 2)
    x = rewritten.separable_layer(x, "Separable/Block", 3, 8, 2)
    x = rewritten.round_anew(tf.reduce_mean(x, (1, 2), keepdims=True), "Separable/Block/act_quant")
    x = rewritten.weighted(x, "Separable/Logits", "Separable/Logits", 1, CLASSES, has_bias=True)
    return tf.squeeze(rewritten.round_output(x, "Separable/Logits/act_quant", -6.0), (1, 2))


def separable_network() -> GraphNetwork:
    """The same as layers of slim, before the rewrite."""
    norm = BatchNorm(DECAY, EPSILON, scale=True)
    x = layers.inputs(SHAPE)
    graph = x.graph
    x = layers.conv2d(x, 8, 3, stride=2, activation="relu6", batch_norm=norm, name="Separable/Conv")
    x = layers.separable_conv2d(
        x, 8, 3, stride=2, depth_multiplier=2, activation="relu6", batch_norm=norm, name="Separable/Block"
    )
    x = layers.global_avg_pool(x, name="Separable/pool")
    x = layers.conv2d(x, CLASSES, 1, activation=None, name="Separable/Logits")
    graph.outputs = [reshape(x, (CLASSES,), name="Separable/squeeze")]
    return GraphNetwork("separable", graph, preprocessing="inception", num_classes=CLASSES)


def mobilenet_v1(rewritten: Rewritten, x: Any, multiplier: float = 0.25) -> Any:
    """Logits of slim's MobileNet v1."""
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]

    def layer(x: Any, leaf: str, size: int, filters: int | None, stride: int) -> Any:
        return rewritten.layer(x, f"MobilenetV1/{leaf}", f"MobilenetV1/MobilenetV1/{leaf}", size, filters, stride)

    def depth(filters: int) -> int:
        return max(int(filters * multiplier), 8)

    x = layer(x, "Conv2d_0", 3, depth(32), 2)
    for number, (filters, stride) in enumerate(rows, start=1):
        x = layer(x, f"Conv2d_{number}_depthwise", 3, None, stride)
        x = layer(x, f"Conv2d_{number}_pointwise", 1, depth(filters), 1)
    return _logits(rewritten, x, "MobilenetV1/MobilenetV1/Conv2d_13_pointwise", "MobilenetV1/Logits/Conv2d_1c_1x1")


def mobilenet_v2(rewritten: Rewritten, x: Any) -> Any:
    """Logits of slim's MobileNet v2, of the usual width."""
    rows = [(1, 16, 1), *_group(24, 2, 2), *_group(32, 3, 2), *_group(64, 4, 2), *_group(96, 3, 1), *_group(160, 3, 2)]
    x = rewritten.layer(x, "MobilenetV2/Conv", "MobilenetV2/Conv", 3, 32, 2)
    for number, (expansion, filters, stride) in enumerate([*rows, (6, 320, 1)]):
        block, given = "MobilenetV2/expanded_conv" + (f"_{number}" if number else ""), x
        if expansion > 1:
            x = rewritten.layer(x, f"{block}/expand", f"{block}/expand", 1, expansion * x.shape[-1])
        x = rewritten.layer(x, f"{block}/depthwise", f"{block}/depthwise", 3, None, stride)
        x = rewritten.layer(x, f"{block}/project", f"{block}/project", 1, filters, activation=tf.identity)
        if stride == 1 and filters == given.shape[-1]:
            x = rewritten.round_output(x + given, f"{block}/post_activation_bypass_quant", -6.0)
    x = rewritten.layer(x, "MobilenetV2/Conv_1", "MobilenetV2/Conv_1", 1, 1280)
    return _logits(rewritten, x, "MobilenetV2/Conv_1", "MobilenetV2/Logits/Conv2d_1c_1x1")


def _group(filters: int, count: int, stride: int) -> list[tuple[int, int, int]]:
    return [(6, filters, stride), *[(6, filters, 1)] * (count - 1)]


def _logits(rewritten: Rewritten, x: Any, last: str, scope: str) -> Any:
    x = rewritten.round_anew(tf.nn.avg_pool2d(x, x.shape[1:3], 2, "VALID"), f"{last}/act_quant")
    x = rewritten.weighted(x, scope, scope, 1, CLASSES, has_bias=True)
    return tf.squeeze(rewritten.round_output(x, f"{scope}/act_quant", -6.0), (1, 2))


def train(network: Callable[..., Any], prefix: Path, size: int, steps: int, *, rate: float = 0.01) -> Path:
    """Train on smooth noise, so that ranges and statistics are real, and save as slim's trainer does."""
    random = np.random.RandomState(0)
    with tf.Graph().as_default():
        v1.set_random_seed(0)
        rewritten = Rewritten(is_training=True)
        images = v1.placeholder(tf.float32, (8, size, size, 3))
        labels = v1.placeholder(tf.int32, (8,))
        logits = network(rewritten, images)
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        step = v1.train.MomentumOptimizer(rate, 0.9).minimize(loss, v1.train.get_or_create_global_step())
        # With several threads sums come out differently each time, and training makes more of it.
        with v1.Session(
            config=v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        ) as session:
            session.run(v1.global_variables_initializer())
            for _ in range(steps):
                classes = random.randint(0, CLASSES, 8)
                session.run([step, *rewritten.updates], {images: examples(random, classes, size), labels: classes})
            v1.train.Saver().save(session, str(prefix), write_meta_graph=False)
    return prefix


def freeze(network: Callable[..., Any], prefix: Path, file: Path, size: int) -> Path:
    """The rewritten graph for inference with the values of a checkpoint in it, as slim's tools freeze one."""
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, (None, size, size, 3), "input")
        logits = tf.identity(network(Rewritten(is_training=False), images), "output")
        with v1.Session() as session:
            v1.train.Saver().restore(session, str(prefix))
            frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [logits.op.name])
    file.write_bytes(frozen.SerializeToString())
    return file


def examples(random: np.random.RandomState, classes: Any, size: int) -> np.ndarray:
    """Images whose brightness in three places tells the class, in [-1, 1]."""
    coarse = random.uniform(-0.5, 0.5, (len(classes), 4, 4, 3)) + 0.1 * (np.asarray(classes)[:, None, None, None] - 2)
    fine = random.uniform(-0.2, 0.2, (len(classes), size, size, 3))
    return np.clip(coarse.repeat(size // 4, 1).repeat(size // 4, 2) + fine, -1, 1).astype("float32")


def run(network: Callable[..., Any], prefix: Path, images: np.ndarray, *, rounds_all: bool = False) -> np.ndarray:
    """The logits of the rewritten graph for inference, with the values of a checkpoint."""
    with tf.Graph().as_default():
        logits = network(Rewritten(is_training=False, rounds_all=rounds_all), tf.constant(images))
        with v1.Session() as session:
            v1.train.Saver().restore(session, str(prefix))
            return session.run(logits)
