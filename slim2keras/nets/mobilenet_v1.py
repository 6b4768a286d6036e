"""MobileNet v1, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (A. Howard et al.,
arXiv:1704.04861).

ImageNet top-1 / top-5 of the published checkpoint of depth multiplier 1 at 224 pixels: 70.9/89.9. Output: logits
(batch, num_classes), or features (batch, 1, 1, 1024 * depth_multiplier) without classes.

Source: research/slim/nets/mobilenet_v1.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import truncated_normal
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits, reduced_kernel_size
from slim2keras.nets.parts.inception import Branch, GlobalPool, Operation, lay_base
from slim2keras.nets.parts.output_stride import OutputStride
from slim2keras.nets.registry import Net, VariableShapes, classes_in, read_depths

DEPTH_MULTIPLIERS = {"": 1.0, "_075": 0.75, "_050": 0.5, "_025": 0.25}
"""Networks by the end of their name."""

_STRIDES_AND_DEPTHS = (
    (2, 32),
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
)
LAST_END_POINT = "Conv2d_13_pointwise"
CONV_DEFS_REFUSED = {"conv_defs": "the published tables of layers are networks of their own"}


@dataclass(frozen=True)
class _Convolutions:
    """The network's convolutions, padded by hand if asked."""

    conv: Callable[..., Tensor]
    depthwise: Callable[..., Tensor]
    use_explicit_padding: bool

    def first(self, filters: int, stride: int) -> Operation:
        return lambda x, name: self._window_3x3(partial(self.conv, filters=filters), x, name, stride, 1)

    def depthwise_3x3(self, stride: int, rate: int) -> Operation:
        return lambda x, name: self._window_3x3(self.depthwise, x, name, stride, rate)

    def pointwise(self, filters: int) -> Operation:
        return lambda x, name: self.conv(x, filters=filters, kernel_size=1, name=name)

    def _window_3x3(self, function: Callable[..., Tensor], x: Tensor, name: str, stride: int, rate: int) -> Tensor:
        padding = "SAME"
        if self.use_explicit_padding:
            x, padding = shapes.pad2d(x, rate, rate, name=f"{name}/Pad"), "VALID"
        return function(x, kernel_size=3, stride=stride, rate=rate, padding=padding, name=name)


def _blocks(convolutions: _Convolutions, filters: Sequence[int], output_stride: int | None) -> Branch:
    blocks: dict[str, Operation] = {}
    strides = OutputStride(output_stride)
    for index, (nominal_stride, _) in enumerate(_STRIDES_AND_DEPTHS):
        stride, rate = strides.pass_through(nominal_stride)
        if index == 0:
            blocks["Conv2d_0"] = convolutions.first(filters[index], stride)
        else:
            blocks[f"Conv2d_{index}_depthwise"] = convolutions.depthwise_3x3(stride, rate)
            blocks[f"Conv2d_{index}_pointwise"] = convolutions.pointwise(filters[index])
    return blocks


def _is_depthwise_regularized(config: Mapping[str, Any]) -> bool | None:
    return bool(config["depthwise_regularizer"]) if config["kind"] == "DepthwiseConv2D" else None


_RegularizeDepthwise = Annotated[bool, arguments.Told(_is_depthwise_regularized)]


def mobilenet_v1(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.999,
    min_depth: int = 8,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    global_pool: GlobalPool = False,
    final_endpoint: arguments.FinalEndPoint = None,
    output_stride: Annotated[int | None, arguments.OneOf((8, 16, 32, None))] = None,
    use_explicit_padding: arguments.ShownSwitch = False,
    weight_decay: arguments.WeightDecay = 0.00004,
    stddev: float = 0.09,
    regularize_depthwise: _RegularizeDepthwise = False,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
) -> list[Tensor]:
    """Lay MobileNet v1; with ``final_endpoint`` only its base, up to there.

    Source: research/slim/nets/mobilenet_v1.py, ``mobilenet_v1``, ``mobilenet_v1_base``, ``mobilenet_v1_arg_scope``.
    """
    options: dict[str, Any] = {
        "activation": "relu6",
        "batch_norm": BatchNorm(decay=batch_norm_decay, epsilon=batch_norm_epsilon, scale=True),
        "weights_initializer": truncated_normal(stddev),
    }
    conv = partial(layers.conv2d, weight_decay=weight_decay, **options)
    depthwise = partial(layers.depthwise_conv2d, weight_decay=weight_decay if regularize_depthwise else 0.0, **options)

    convolutions = _Convolutions(conv, depthwise, use_explicit_padding=use_explicit_padding)
    filters = [max(int(depth * depth_multiplier), min_depth) for _, depth in _STRIDES_AND_DEPTHS]
    blocks = _blocks(convolutions, filters, output_stride)
    x = lay_base(x, scope, blocks, final_endpoint or LAST_END_POINT)
    if final_endpoint:
        return [x]
    ends = x.graph.end_points
    if global_pool:
        x = ends["global_pool"] = layers.global_avg_pool(x, name=f"{scope}/Logits/global_pool")
    else:
        window = reduced_kernel_size(x, (7, 7))
        x = ends["AvgPool_1a"] = layers.avg_pool2d(x, window, name=f"{scope}/Logits/AvgPool_1a")
    if not num_classes:
        return [x]
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout_1b")
    options = {**options, "activation": None, "batch_norm": None, "weight_decay": weight_decay}
    x = layers.conv2d(x, num_classes, 1, name=f"{scope}/Logits/Conv2d_1c_1x1", **options)
    x = name_logits(x, "Logits", spatial_squeeze=spatial_squeeze)
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return [x]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    narrow = r"Conv2d_(0|\d+_pointwise)"
    widths = {f"Conv2d_{index}_pointwise": depth for index, (_, depth) in enumerate(_STRIDES_AND_DEPTHS) if index}
    for depths in read_depths(variables, widths, "min_depth", narrow):
        yield {**depths, "num_classes": classes_in(variables, "Logits/Conv2d_1c_1x1")}


NETS = tuple(
    Net(
        name=f"mobilenet_v1{end}",
        lay=partial(mobilenet_v1, depth_multiplier=multiplier),
        scope="MobilenetV1",
        image_size=224,
        preprocessing="inception",
        labels_offset=0,
        anchor="Conv2d_1_depthwise/depthwise_weights",
        read_arguments=_read_arguments,
        slim_name="mobilenet_v1",
        refused={**CONV_DEFS_REFUSED, "normalizer_fn": "the published networks normalise with BatchNorm"},
    )
    for end, multiplier in DEPTH_MULTIPLIERS.items()
)
