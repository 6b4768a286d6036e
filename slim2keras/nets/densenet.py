"""DenseNet, "Densely Connected Convolutional Networks" (G. Huang et al., arXiv:1608.06993), as pudae has it for slim.

ImageNet top-1 / top-5 of the published checkpoints: 121 74.91/92.19, 169 76.09/93.14, 161 77.64/93.79. Output: logits
(batch, 1, 1, num_classes), as the original has them; (batch, num_classes) with ``spatial_squeeze``; features
(batch, 1, 1, channels) without classes.

The first convolution and pool pad SAME, where other ports pad by hand.

Source: pudae/tensorflow-densenet, nets/densenet.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from slim2keras.graphs import initializers, layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.registry import Net, VariableShapes, classes_in


@dataclass(frozen=True)
class _Row:
    growth_rate: int
    num_filters: int
    num_layers: tuple[int, ...]


CONFIGS = {
    "121": _Row(growth_rate=32, num_filters=64, num_layers=(6, 12, 24, 16)),
    "161": _Row(growth_rate=48, num_filters=96, num_layers=(6, 12, 36, 24)),
    "169": _Row(growth_rate=32, num_filters=64, num_layers=(6, 12, 32, 32)),
}

_COMPRESSION = 0.5


@dataclass(frozen=True)
class _ArgScope:
    """``densenet_arg_scope``: convolutions without biases, normalised before and not after."""

    batch_norm: BatchNorm
    weight_decay: float

    def norm_relu(self, x: Tensor, *, scope: str) -> Tensor:
        return layers.batch_norm(x, self.batch_norm, activation="relu", name=f"{scope}/BatchNorm")

    def conv(self, x: Tensor, filters: int, kernel_size: int, *, name: str, **options: Any) -> Tensor:
        """A convolution, which is an end point."""
        options = {"biases_initializer": None, **options}
        x = layers.conv2d(
            x, filters, kernel_size, activation=None, weight_decay=self.weight_decay, name=name, **options
        )
        x.graph.end_points[name] = x
        return x

    def norm_relu_conv(self, x: Tensor, filters: int, kernel_size: int, *, scope: str) -> Tensor:
        """``_conv``: BatchNorm, ReLU, convolution; one end point for it and one for its convolution."""
        x = self.conv(self.norm_relu(x, scope=scope), filters, kernel_size, name=f"{scope}/Conv")
        x.graph.end_points[scope] = x
        return x


def _dense_block(x: Tensor, count: int, growth_rate: int, arg_scope: _ArgScope, *, scope: str) -> Tensor:
    ends = x.graph.end_points
    for index in range(1, count + 1):
        block = f"{scope}/conv_block{index}"
        new = arg_scope.norm_relu_conv(x, growth_rate * 4, 1, scope=f"{block}/x1")
        new = arg_scope.norm_relu_conv(new, growth_rate, 3, scope=f"{block}/x2")
        x = ends[block] = shapes.concat([x, new], name=f"{block}/concat")
    ends[scope] = x
    return x


def _transition_block(x: Tensor, arg_scope: _ArgScope, *, scope: str) -> Tensor:
    x = arg_scope.norm_relu_conv(x, int(x.channels * _COMPRESSION), 1, scope=f"{scope}/blk")
    x = x.graph.end_points[scope] = layers.avg_pool2d(x, 2, name=f"{scope}/AvgPool2D")
    return x


def densenet(
    row: _Row,
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    spatial_squeeze: arguments.ShownSwitch = False,
    scope: str,
    weight_decay: arguments.WeightDecay = 0.0001,
    batch_norm_decay: arguments.BatchNormDecay = 0.99,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 1.1e-5,
) -> list[Tensor]:
    """Lay a DenseNet; ``spatial_squeeze`` is ours, the original keeps the 1x1 pixels.

    Source: pudae/tensorflow-densenet, nets/densenet.py, ``densenet`` and ``densenet_arg_scope``.
    """
    arg_scope = _ArgScope(BatchNorm(batch_norm_decay, batch_norm_epsilon, scale=True), weight_decay)
    x = arg_scope.conv(x, row.num_filters, 7, stride=2, name=f"{scope}/conv1")
    x = arg_scope.norm_relu(x, scope=scope)
    x = layers.max_pool2d(x, 3, padding="SAME", name=f"{scope}/MaxPool2D")
    for block, count in enumerate(row.num_layers, start=1):
        x = _dense_block(x, count, row.growth_rate, arg_scope, scope=f"{scope}/dense_block{block}")
        if block < len(row.num_layers):
            x = _transition_block(x, arg_scope, scope=f"{scope}/transition_block{block}")
    x = arg_scope.norm_relu(x, scope=f"{scope}/final_block")
    x = layers.global_avg_pool(x, name=f"{scope}/final_block/global_avg_pool")
    if not num_classes:
        return [x]
    x = arg_scope.conv(x, num_classes, 1, biases_initializer=initializers.ZEROS, name=f"{scope}/logits")
    if spatial_squeeze:
        x = x.graph.end_points[f"{scope}/logits"] = shapes.spatial_squeeze(x, name=f"{scope}/logits/squeezed")
    x.graph.end_points["predictions"] = layers.softmax(x, name=f"{scope}/predictions")
    return [x]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {"num_classes": classes_in(variables, "logits")}


NETS = tuple(
    Net(
        name=f"densenet{depth}",
        lay=partial(densenet, row),
        scope=f"densenet{depth}",
        image_size=224,
        preprocessing="densenet",
        labels_offset=1,
        anchor="dense_block1/conv_block1/x1/Conv/weights",
        read_arguments=_read_arguments,
        slim_name=None,
        refused={"dropout_rate": "the original's own dropout fails when it is called"},
    )
    for depth, row in CONFIGS.items()
)
