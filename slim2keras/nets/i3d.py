"""I3D and S3D-G, Inception v1 for videos.

J. Carreira, A. Zisserman: Quo Vadis, Action Recognition? (arXiv:1705.07750); S. Xie et al.: Rethinking Spatiotemporal
Feature Learning (arXiv:1712.04851).

Videos are (frames, height, width, channels). Output: logits (batch, num_classes), averaged over the frames; features
(batch, frames, 1, 1, 1024) without classes. BatchNorm is slim's ``fused=False``: the moving variance takes in the
biased batch variance.

Source: research/slim/nets/i3d.py, s3dg.py, i3d_utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs import arithmetic, layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import ZEROS, center_initializer, truncated_normal
from slim2keras.graphs.layers import BatchNorm, Window
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits, reduced_kernel_size
from slim2keras.nets.parts.inception import lay_base
from slim2keras.nets.registry import Net, VariableShapes, classes_in, read_depths

_BLOCKS: dict[str, tuple[int, ...]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Filters of an Inception block: branch 0; branch 1, both; branch 2, both; branch 3."""

_POOLS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "MaxPool_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "MaxPool_5a_2x2": ((2, 2, 2), (2, 2, 2)),
}
"""Windows and strides, over frames, height and width."""

_END_POINTS = (
    "Conv2d_1a_7x7",
    "MaxPool_2a_3x3",
    "Conv2d_2b_1x1",
    "Conv2d_2c_3x3",
    "MaxPool_3a_3x3",
    "Mixed_3b",
    "Mixed_3c",
    "MaxPool_4a_3x3",
    "Mixed_4b",
    "Mixed_4c",
    "Mixed_4d",
    "Mixed_4e",
    "Mixed_4f",
    "MaxPool_5a_2x2",
    "Mixed_5b",
    "Mixed_5c",
)
_STARTS = ("Conv2d_2c_3x3", *_BLOCKS)
"""Where temporal convolutions and self-gating may start."""


@dataclass(frozen=True)
class _ArgScope:
    """What all convolutions share, and where the two features of S3D-G start."""

    options: dict[str, Any]
    separable: bool
    temporal_start: int
    gating_start: int

    @classmethod
    def make(
        cls, options: dict[str, Any], *, separable: bool, temporal_conv_startat: str | None, gating_startat: str | None
    ) -> _ArgScope:
        starts = []
        for name, value in {"temporal_conv_startat": temporal_conv_startat, "gating_startat": gating_startat}.items():
            if value is not None and value not in _STARTS:
                raise UnsupportedArgumentError(
                    f"{name} must be None or one of {', '.join(_STARTS)}. Received: {name}={value!r}"
                )
            starts.append(_END_POINTS.index(value) if value else len(_END_POINTS))
        return cls(options, separable, *starts)

    def conv(self, x: Tensor, filters: int, kernel: Window, *, name: str, **options: Any) -> Tensor:
        options = {**self.options, "weights_initializer": truncated_normal(0.01), **options}
        return layers.conv3d(x, filters, kernel, name=name, **options)

    def spatiotemporal(self, x: Tensor, filters: int, frames: int, *, name: str) -> Tensor:
        """A convolution of ``frames`` x 3 x 3; in two parts, space and then time, where they are separable.

        Source: research/slim/nets/i3d_utils.py, ``conv3d_spatiotemporal``.
        """
        if not self.separable or frames == 1:
            return self.conv(x, filters, (frames, 3, 3), name=name)
        x = self.conv(x, filters, (1, 3, 3), name=name)
        center = {"weights_initializer": ZEROS, "initial_weights": center_initializer}
        return self.conv(x, filters, (frames, 1, 1), batch_norm=None, name=f"{name}/temporal", **center)

    def gate(self, x: Tensor, index: int, *, name: str) -> Tensor:
        """Weigh the channels by a sigmoid of their means, from ``gating_startat`` on.

        Source: research/slim/nets/s3dg.py, ``self_gating``.
        """
        if index < self.gating_start:
            return x
        scope = f"{name}/self_gating"
        sizes = [size for size in x.shape[:-1] if size is not None]
        if len(sizes) < len(x.shape) - 1:
            weights = layers.global_avg_pool(x, name=f"{scope}/avg_pool3d")
        else:
            weights = layers.avg_pool3d(x, tuple(sizes), stride=1, name=f"{scope}/avg_pool3d")
        options = {"activation": "sigmoid", "batch_norm": None, "biases_initializer": None}
        weights = self.conv(weights, x.channels, 1, name=f"{scope}/transformer_W", **options)
        return arithmetic.multiply([x, weights], name=f"{scope}/Mul")

    def block(self, x: Tensor, index: int, depths: list[int], *, name: str) -> Tensor:
        """An Inception block.

        Source: research/slim/nets/i3d_utils.py, ``inception_block_v1_3d``.
        """

        def gated(x: Tensor, scope: str) -> Tensor:
            return self.gate(x, index, name=scope)

        scope = f"{name}/Branch_0/Conv2d_0a_1x1"
        branches = [gated(self.conv(x, depths[0], 1, name=scope), scope)]
        for branch, (first, second) in enumerate((depths[1:3], depths[3:5]), start=1):
            inner = self.conv(x, first, 1, name=f"{name}/Branch_{branch}/Conv2d_0a_1x1")
            scope = f"{name}/Branch_{branch}/Conv2d_0b_3x3"
            branches.append(gated(self.spatiotemporal(inner, second, self.frames(index), name=scope), scope))
        inner = layers.max_pool3d(x, 3, stride=1, padding="SAME", name=f"{name}/Branch_3/MaxPool_0a_3x3")
        scope = f"{name}/Branch_3/Conv2d_0b_1x1"
        branches.append(gated(self.conv(inner, depths[5], 1, name=scope), scope))
        return shapes.concat(branches, name=f"{name}/concat")

    def frames(self, index: int) -> int:
        """Frames that a convolution takes in at the end point ``index``."""
        return 3 if index >= self.temporal_start else 1


def _lay(
    x: Tensor,
    arg_scope: _ArgScope,
    *,
    scope: str,
    first_temporal_kernel_size: int,
    final_endpoint: str,
    min_depth: int,
    depth_multiplier: float,
    num_classes: int | None,
    dropout_keep_prob: float,
    spatial_squeeze: bool,
    weight_decay: float,
) -> list[Tensor]:
    """Lay base and head.

    Source: research/slim/nets/s3dg.py, ``s3dg_base`` and ``s3dg``.
    """
    if first_temporal_kernel_size not in (1, 3, 5, 7):
        raise UnsupportedArgumentError(
            f"first_temporal_kernel_size must be 1, 3, 5 or 7. Received: {first_temporal_kernel_size}"
        )

    def depth(filters: int) -> int:
        return max(int(filters * depth_multiplier), min_depth)

    def operate(end_point: str, index: int, x: Tensor, name: str) -> Tensor:
        if end_point in _POOLS:
            window, stride = _POOLS[end_point]
            return layers.max_pool3d(x, window, stride=stride, padding="SAME", name=name)
        if end_point in _BLOCKS:
            return arg_scope.block(x, index, [depth(filters) for filters in _BLOCKS[end_point]], name=name)
        if end_point == "Conv2d_1a_7x7":
            return arg_scope.conv(x, depth(64), (first_temporal_kernel_size, 7, 7), stride=2, name=name)
        if end_point == "Conv2d_2b_1x1":
            return arg_scope.conv(x, depth(64), 1, name=name)
        x = arg_scope.spatiotemporal(x, depth(192), arg_scope.frames(index), name=name)
        return arg_scope.gate(x, index, name=name)

    blocks = {end_point: partial(operate, end_point, index) for index, end_point in enumerate(_END_POINTS)}
    x = lay_base(x, scope, blocks, final_endpoint)
    window = reduced_kernel_size(x, (2, 7, 7))
    x = layers.avg_pool3d(x, window, stride=1, name=f"{scope}/Logits/AvgPool_0a_7x7")
    if not num_classes:
        return [x]
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout_0b")
    name = f"{scope}/Logits/Conv2d_0c_1x1"
    x = layers.conv3d(x, num_classes, 1, activation=None, weight_decay=weight_decay, name=name)
    x = _mean_over_frames(x, name=f"{scope}/Logits/Mean")
    x = name_logits(x, "Logits", spatial_squeeze=spatial_squeeze)
    x.graph.end_points["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return [x]


def _mean_over_frames(x: Tensor, *, name: str) -> Tensor:
    """``tf.reduce_mean(x, 1)``, (height, width, channels); the pixels join the channels on the way."""
    frames, height, width, channels = x.shape
    if height is None or width is None:
        shapes.refuse_open_size(x, name)
    x = shapes.reshape(x, (frames, height * width * x.channels), name=f"{name}/Reshape")
    x = layers.global_avg_pool(x, keepdims=False, name=name)
    return shapes.reshape(x, (height, width, channels), name=f"{name}/Reshape_1")


_FinalEndPoint = Annotated[
    str, arguments.ChangesOnly("Logits|Predictions"), arguments.LastEndPoint("(Conv2d|MaxPool|Mixed)_.*")
]


def i3d(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    final_endpoint: _FinalEndPoint = "Mixed_5c",
    weight_decay: arguments.WeightDecay = 1e-7,
    batch_norm_decay: arguments.BatchNormDecay = 0.999,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
    separable_conv3d: bool = False,
) -> list[Tensor]:
    """Lay I3D; ``final_endpoint`` moves the head there, as S3D-G has it.

    Source: research/slim/nets/i3d.py, ``i3d`` and ``i3d_arg_scope``.
    """
    batch_norm = BatchNorm(batch_norm_decay, batch_norm_epsilon, fused=False)
    arg_scope = _ArgScope.make(
        {"weight_decay": weight_decay, "batch_norm": batch_norm},
        separable=separable_conv3d,
        temporal_conv_startat="Conv2d_2c_3x3",
        gating_startat=None,
    )
    return _lay(
        x,
        arg_scope,
        scope=scope,
        first_temporal_kernel_size=7,
        final_endpoint=final_endpoint,
        min_depth=16,
        depth_multiplier=1.0,
        num_classes=num_classes,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        weight_decay=weight_decay,
    )


def s3dg(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    first_temporal_kernel_size: int = 3,
    temporal_conv_startat: str | None = "Conv2d_2c_3x3",
    gating_startat: str | None = "Conv2d_2c_3x3",
    final_endpoint: _FinalEndPoint = "Mixed_5c",
    min_depth: int = 16,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    weight_decay: arguments.WeightDecay = 1e-7,
    batch_norm_decay: arguments.BatchNormDecay = 0.999,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
) -> list[Tensor]:
    """Lay S3D-G; as in slim ``final_endpoint`` moves the head there.

    Source: research/slim/nets/s3dg.py, ``s3dg`` and ``s3dg_arg_scope``.
    """
    batch_norm = BatchNorm(batch_norm_decay, batch_norm_epsilon, fused=False)
    arg_scope = _ArgScope.make(
        {"weight_decay": weight_decay, "batch_norm": batch_norm},
        separable=True,
        temporal_conv_startat=temporal_conv_startat,
        gating_startat=gating_startat,
    )
    return _lay(
        x,
        arg_scope,
        scope=scope,
        first_temporal_kernel_size=first_temporal_kernel_size,
        final_endpoint=final_endpoint,
        min_depth=min_depth,
        depth_multiplier=depth_multiplier,
        num_classes=num_classes,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        weight_decay=weight_decay,
    )


def _read_i3d_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {
        "num_classes": classes_in(variables, "Logits/Conv2d_0c_1x1"),
        "separable_conv3d": "Conv2d_2c_3x3/temporal/weights" in variables,
    }


def _read_s3dg_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    read = {
        "num_classes": classes_in(variables, "Logits/Conv2d_0c_1x1"),
        "first_temporal_kernel_size": variables.get("Conv2d_1a_7x7/weights", (3,))[0],
        "temporal_conv_startat": _first_with("temporal", variables),
        "gating_startat": _first_with("self_gating", variables),
    }
    widths = {f"{block}/Branch_1/Conv2d_0b_3x3": filters[2] for block, filters in _BLOCKS.items()}
    for depths in read_depths(variables, widths, "min_depth", "(Conv2d|Mixed)_.*"):
        yield {**depths, **read}


def _first_with(part: str, variables: VariableShapes) -> str | None:
    """First end point below which there is a variable of a scope called ``part``."""
    scopes = {name.split("/")[0] for name in variables if re.search(f"/{part}/", name)}
    return next((start for start in _STARTS if start in scopes), None)


def _net(name: str, lay: Any, read_arguments: Any) -> Net:
    return Net(
        name=name,
        lay=lay,
        scope="InceptionV1",
        image_size=224,
        frames=64,
        preprocessing="inception",
        labels_offset=0,
        anchor="Mixed_3b/Branch_1/Conv2d_0b_3x3/weights",
        read_arguments=read_arguments,
        refused={"use_renorm": "Keras' BatchNormalization has no batch renormalization"},
    )


NETS = (_net("i3d", i3d, _read_i3d_arguments), _net("s3dg", s3dg, _read_s3dg_arguments))
