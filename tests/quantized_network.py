"""MobileNets as tf.contrib.quantize rewrites them, on plain ops of TensorFlow 1: the judge of quantization-aware ones.

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

v1 = tf.compat.v1

EPSILON, DECAY, EMA_DECAY = 1e-3, 0.5, 0.999
CLASSES = 5


@dataclass
class Rewritten:
    """A graph that is being laid.

    Attributes:
        is_training: Whether ranges and moving statistics are learned.
        symmetric: Whether ranges of weights are, as ``experimental_create_training_graph(symmetric=True)`` has them.
        updates: Ops that a step runs.
    """

    is_training: bool
    symmetric: bool = False
    updates: list[Any] = field(default_factory=list)

    def variable(self, name: str, shape: tuple[int, ...], start: Any, *, trainable: bool = True) -> Any:
        return v1.get_variable(name, shape, initializer=start, trainable=trainable, use_resource=False)

    def constant(self, name: str, shape: tuple[int, ...], start: float, *, trainable: bool = False) -> Any:
        return self.variable(name, shape, v1.constant_initializer(start), trainable=trainable)

    def round_weights(self, weights: Any, scope: str) -> Any:
        """``LastValueQuantize``."""
        ends = [self.constant(f"{scope}/weights_quant/{end}", (), start) for end, start in (("min", -6), ("max", 6))]
        if self.is_training:
            low, high = tf.minimum(tf.reduce_min(weights), 0.0), tf.maximum(tf.reduce_max(weights), 0.0)
            if self.symmetric:
                low, high = tf.minimum(low, -high), tf.maximum(high, -low)
            ends = [v1.assign(ends[0], low), v1.assign(ends[1], high)]
        return tf.quantization.fake_quant_with_min_max_vars(weights, *ends, 8, narrow_range=True)

    def round_output(self, x: Any, quantizer: str, start: float = 0.0) -> Any:
        """``MovingAvgQuantize``."""
        ends = [self.constant(f"{quantizer}/{end}", (), first) for end, first in (("min", start), ("max", 6.0))]
        if self.is_training:
            low, high = tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)
            ends = [self.averaged(end, value) for end, value in zip(ends, (low, high), strict=True)]
        return tf.quantization.fake_quant_with_min_max_vars(x, *ends)

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
                return tf.nn.conv2d(x, kernel, stride, "SAME")
            return tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), "SAME")

        if has_bias:
            bias = self.constant(f"{name}/biases", (filters,), 0.0, trainable=True)
            return tf.nn.bias_add(computed(self.round_weights(weights, scope)), bias)
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
            return computed(kernel) + (beta - mean * scale)
        batch_mean, batch_variance = tf.nn.moments(computed(weights), (0, 1, 2))
        for moving, of_batch in ((mean, batch_mean), (variance, batch_variance)):
            self.updates.append(v1.assign_sub(moving, (moving - of_batch) * (1 - DECAY)))
        correction = tf.math.rsqrt(batch_variance + EPSILON) / tf.math.rsqrt(variance + EPSILON)
        return computed(kernel) * correction + (beta - batch_mean * gamma * tf.math.rsqrt(batch_variance + EPSILON))


def mobilenet_v1(rewritten: Rewritten, x: Any, multiplier: float = 0.25) -> Any:
    """Logits of slim's MobileNet v1."""
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]

    def activated(x: Any, scope: str) -> Any:
        return rewritten.round_output(tf.nn.relu6(x), f"{scope}/act_quant")

    def layer(x: Any, leaf: str, size: int, filters: int | None, stride: int) -> Any:
        scope = f"MobilenetV1/MobilenetV1/{leaf}"
        return activated(rewritten.weighted(x, f"MobilenetV1/{leaf}", scope, size, filters, stride), scope)

    def depth(filters: int) -> int:
        return max(int(filters * multiplier), 8)

    x = layer(x, "Conv2d_0", 3, depth(32), 2)
    for number, (filters, stride) in enumerate(rows, start=1):
        x = layer(x, f"Conv2d_{number}_depthwise", 3, None, stride)
        x = layer(x, f"Conv2d_{number}_pointwise", 1, depth(filters), 1)
    x = tf.nn.avg_pool2d(x, x.shape[1:3], 2, "VALID")
    scope = "MobilenetV1/Logits/Conv2d_1c_1x1"
    x = rewritten.weighted(x, scope, scope, 1, CLASSES, has_bias=True)
    return tf.squeeze(rewritten.round_output(x, f"{scope}/act_quant"), (1, 2))


def train(network: Callable[..., Any], prefix: Path, size: int, steps: int = 4, *, symmetric: bool = False) -> Path:
    """Train on smooth noise, so that ranges and statistics are real, and save as slim's trainer does."""
    random = np.random.RandomState(0)
    with tf.Graph().as_default():
        v1.set_random_seed(0)
        rewritten = Rewritten(is_training=True, symmetric=symmetric)
        images = v1.placeholder(tf.float32, (8, size, size, 3))
        labels = v1.placeholder(tf.int32, (8,))
        logits = network(rewritten, images)
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        step = v1.train.MomentumOptimizer(0.01, 0.9).minimize(loss, v1.train.get_or_create_global_step())
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for _ in range(steps):
                classes = random.randint(0, CLASSES, 8)
                session.run([step, *rewritten.updates], {images: examples(random, classes, size), labels: classes})
            v1.train.Saver().save(session, str(prefix), write_meta_graph=False)
    return prefix


def examples(random: np.random.RandomState, classes: Any, size: int) -> np.ndarray:
    """Images whose brightness in three places tells the class, in [-1, 1]."""
    coarse = random.uniform(-0.5, 0.5, (len(classes), 4, 4, 3)) + 0.1 * (np.asarray(classes)[:, None, None, None] - 2)
    fine = random.uniform(-0.2, 0.2, (len(classes), size, size, 3))
    return np.clip(coarse.repeat(size // 4, 1).repeat(size // 4, 2) + fine, -1, 1).astype("float32")


def run(network: Callable[..., Any], prefix: Path, images: np.ndarray) -> np.ndarray:
    """The logits of the rewritten graph for inference, with the values of a checkpoint."""
    with tf.Graph().as_default():
        logits = network(Rewritten(is_training=False), tf.constant(images))
        with v1.Session() as session:
            v1.train.Saver().restore(session, str(prefix))
            return session.run(logits)
