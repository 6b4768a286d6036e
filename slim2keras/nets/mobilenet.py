"""MobileNet v2, v3 and EdgeTPU.

M. Sandler et al.: MobileNetV2, Inverted Residuals and Linear Bottlenecks (arXiv:1801.04381); A. Howard et al.:
Searching for MobileNetV3 (arXiv:1905.02244). ImageNet top-1 / top-5 of the published checkpoints: v2 71.9/91.0,
v2 1.4 74.9/92.5; top-1: v3 large 75.2, small 67.5, minimalistic 72.3 and 61.9, EdgeTPU 75.6.

A network is a list of operations; they give scopes (``expanded_conv_3``) and end points (``layer_4``) by counting.
Output: logits (batch, num_classes), or features (batch, 1, 1, 1280) without classes (v3 small: 1024).

Source: research/slim/nets/mobilenet/mobilenet.py, mobilenet_v2.py, mobilenet_v3.py, conv_blocks.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.graphs import activations, arithmetic, layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import XAVIER, truncated_normal
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.mobilenet_v1 import CONV_DEFS_REFUSED
from slim2keras.nets.parts.heads import name_logits
from slim2keras.nets.parts.output_stride import OutputStride
from slim2keras.nets.registry import Net, VariableShapes, classes_in


@dataclass(frozen=True)
class _Conv:
    """``slim.conv2d``; ``activation`` ``None`` is the network's own."""

    filters: int
    kernel: int
    stride: int = 1
    activation: str | None = None
    batch_norm: bool = True
    scope: str = "Conv"


@dataclass(frozen=True)
class _Pool:
    """``reduce_to_1x1``: an average over all pixels, at most 7x7 where the map is not square."""


@dataclass(frozen=True)
class _Expanded:
    """``expanded_conv``: expand, convolve each channel, project; the input is added where the shapes agree.

    Attributes:
        expansion: Channels after the expansion per input channel.
        activation: Of the inner convolutions; ``None`` is the network's own.
        fused: The expansion convolves with the kernel and the stride, and there is no depthwise convolution.
        divisible_by: What the expanded channels are rounded to.
    """

    filters: int
    expansion: float
    kernel: int = 3
    stride: int = 1
    activation: str | None = None
    squeeze_excite: bool = False
    fused: bool = False
    residual: bool = True
    divisible_by: int = 8
    scope: str = "expanded_conv"


_Operation = _Conv | _Pool | _Expanded


@dataclass(frozen=True)
class _Row:
    operations: tuple[_Operation, ...]
    activation: str
    keeps_last_filters: bool = True
    """``finegrain_classification_mode`` of v3 keeps the last filters at any multiplier, that of v2 below 1 only."""


_V2 = _Row(
    (
        _Conv(32, 3, stride=2),
        _Expanded(16, 1, divisible_by=1),
        _Expanded(24, 6, stride=2),
        _Expanded(24, 6),
        _Expanded(32, 6, stride=2),
        *[_Expanded(32, 6)] * 2,
        _Expanded(64, 6, stride=2),
        *[_Expanded(64, 6)] * 3,
        *[_Expanded(96, 6)] * 3,
        _Expanded(160, 6, stride=2),
        *[_Expanded(160, 6)] * 2,
        _Expanded(320, 6),
        _Conv(1280, 1),
    ),
    activation="relu6",
    keeps_last_filters=False,
)

_swish = partial(_Expanded, activation="hard_swish")
_excited = partial(_Expanded, squeeze_excite=True)
_swish_excited = partial(_Expanded, activation="hard_swish", squeeze_excite=True)
_fused = partial(_Expanded, fused=True)

_V3_LARGE = _Row(
    (
        _Conv(16, 3, stride=2, activation="hard_swish"),
        _Expanded(16, 1),
        _Expanded(24, 4, stride=2),
        _Expanded(24, 3),
        _excited(40, 3, kernel=5, stride=2),
        *[_excited(40, 3, kernel=5)] * 2,
        _swish(80, 6, stride=2),
        _swish(80, 2.5),
        *[_swish(80, 184 / 80)] * 2,
        *[_swish_excited(112, 6)] * 2,
        _swish_excited(160, 6, kernel=5, stride=2),
        *[_swish_excited(160, 6, kernel=5)] * 2,
        _Conv(960, 1, activation="hard_swish"),
        _Pool(),
        _Conv(1280, 1, activation="hard_swish", batch_norm=False),
    ),
    activation="relu",
)

_V3_SMALL = _Row(
    (
        _Conv(16, 3, stride=2, activation="hard_swish"),
        _excited(16, 1, stride=2),
        _Expanded(24, 72 / 16, stride=2),
        _Expanded(24, 88 / 24),
        _swish_excited(40, 4, kernel=5, stride=2),
        *[_swish_excited(40, 6, kernel=5)] * 2,
        *[_swish_excited(48, 3, kernel=5)] * 2,
        _swish_excited(96, 6, kernel=5, stride=2),
        *[_swish_excited(96, 6, kernel=5)] * 2,
        _Conv(576, 1, activation="hard_swish"),
        _Pool(),
        _Conv(1024, 1, activation="hard_swish", batch_norm=False),
    ),
    activation="relu",
)

_EDGETPU = _Row(
    (
        _Conv(32, 3, stride=2),
        _fused(16, 1),
        _fused(32, 8, stride=2),
        *[_fused(32, 4)] * 3,
        _fused(48, 8, stride=2),
        *[_fused(48, 4)] * 3,
        _Expanded(96, 8, stride=2),
        *[_Expanded(96, 4)] * 3,
        _Expanded(96, 8, residual=False),
        *[_Expanded(96, 4)] * 3,
        _Expanded(160, 8, kernel=5, stride=2),
        *[_Expanded(160, 4, kernel=5)] * 3,
        _Expanded(192, 8),
        _Conv(1280, 1),
    ),
    activation="relu",
)


def _minimalistic(row: _Row) -> _Row:
    """The same network with 3x3 kernels, relu, and nothing squeezed or excited."""

    def plain(operation: _Operation) -> _Operation:
        if isinstance(operation, _Conv):
            return replace(operation, activation=None)
        if isinstance(operation, _Expanded):
            return replace(operation, kernel=3, activation=None, squeeze_excite=False)
        return operation

    return replace(row, operations=tuple(map(plain, row.operations)))


@dataclass(frozen=True)
class _ArgScope:
    """``training_scope``: what all convolutions of a network share."""

    conv_options: dict[str, Any]
    weight_decay: float

    @classmethod
    def make(cls, activation: str, weight_decay: float, stddev: float, bn_decay: float) -> _ArgScope:
        options = {
            "activation": activation,
            "batch_norm": BatchNorm(decay=bn_decay, scale=True),
            "weights_initializer": XAVIER if stddev < 0 else truncated_normal(stddev),
        }
        return cls(options, weight_decay)

    def conv(self, x: Tensor, filters: int, kernel_size: int, **options: Any) -> Tensor:
        options = {**self.conv_options, "weight_decay": self.weight_decay, **options}
        return layers.conv2d(x, filters, kernel_size, **options)

    def depthwise(self, x: Tensor, kernel_size: int, **options: Any) -> Tensor:
        return layers.depthwise_conv2d(x, kernel_size, **{**self.conv_options, **options})


def make_divisible(value: float, divisor: int, min_value: int | None = None) -> int:
    """Round to a multiple of ``divisor``, at least ``min_value``, never by more than a tenth down.

    Source: research/slim/nets/mobilenet/mobilenet.py, ``_make_divisible``.
    """
    rounded = max(divisor if min_value is None else min_value, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _with_depth(
    row: _Row, multiplier: float, *, finegrain: bool, min_depth: int | None, divisible_by: int | None
) -> Iterator[_Operation]:
    """The operations of a network with the filters that a depth multiplier gives them."""
    divisible_by = 8 if divisible_by is None else divisible_by
    min_depth = 8 if min_depth is None else min_depth
    for index, operation in enumerate(row.operations, start=1):
        if isinstance(operation, _Pool):
            yield operation
            continue
        depth: float = operation.filters
        if finegrain and index == len(row.operations):
            if row.keeps_last_filters:
                yield operation
                continue
            depth = depth / multiplier if multiplier < 1 else depth
        yield replace(operation, filters=make_divisible(depth * multiplier, divisible_by, min_depth))


def _numbered(operations: Sequence[_Operation]) -> Iterator[tuple[str, _Operation]]:
    """Operations by the scopes that TensorFlow gives them: ``Conv``, ``Conv_1``, ..."""
    counts: dict[str, int] = {}
    for operation in operations:
        base = "AvgPool2D" if isinstance(operation, _Pool) else operation.scope
        number = counts[base] = counts.get(base, -1) + 1
        yield f"{base}_{number}" if number else base, operation


def _lay_conv(
    x: Tensor, operation: _Conv, arg_scope: _ArgScope, *, stride: int, rate: int, explicit: bool, name: str
) -> Tensor:
    options: dict[str, Any] = {"stride": stride}
    if operation.kernel > 1:
        options["rate"] = rate
    if operation.activation:
        options["activation"] = operation.activation
    if not operation.batch_norm:
        options["batch_norm"] = None
    if explicit:
        x = _fixed_padding(x, operation.kernel, rate, name=name)
        options["padding"] = "VALID"
    return arg_scope.conv(x, operation.filters, operation.kernel, name=name, **options)


def _fixed_padding(x: Tensor, kernel: int, rate: int, *, name: str) -> Tensor:
    """Pad so that a VALID window gives as many pixels as SAME, whatever the parity of the input."""
    total = (kernel - 1) * rate
    return shapes.pad2d(x, total // 2, total - total // 2, name=f"{name}/Pad") if total else x


def _lay_pool(x: Tensor, *, name: str) -> Tensor:
    height, width = x.shape[:2]
    window = height if height is not None and height == width else 7
    return layers.avg_pool2d(x, window, stride=1, name=name)


def _lay_expanded(
    x: Tensor,
    operation: _Expanded,
    arg_scope: _ArgScope,
    *,
    stride: int,
    rate: int,
    explicit: bool,
    name: str,
    ends: dict[str, Tensor],
) -> Tensor:
    """Lay one inverted residual; ``ends`` takes its inner end points.

    Source: research/slim/nets/mobilenet/conv_blocks.py, ``expanded_conv``.
    """
    shortcut = x
    inner = {"activation": operation.activation} if operation.activation else {}
    expanded = make_divisible(x.channels * operation.expansion, operation.divisible_by)
    if expanded > x.channels:
        kernel, its_stride = (operation.kernel, operation.stride) if operation.fused else (1, 1)
        x = arg_scope.conv(x, expanded, kernel, stride=its_stride, name=f"{name}/expand", **inner)
        ends["expansion_output"] = x
    if not operation.fused:
        padding = "SAME"
        if explicit:
            x, padding = _fixed_padding(x, operation.kernel, rate, name=f"{name}/depthwise"), "VALID"
        options = {"stride": stride, "rate": rate, "padding": padding, "name": f"{name}/depthwise", **inner}
        x = ends["depthwise_output"] = arg_scope.depthwise(x, operation.kernel, **options)
    if operation.squeeze_excite:
        x = _squeeze_excite(x, arg_scope, name=f"{name}/squeeze_excite")
    x = arg_scope.conv(x, operation.filters, 1, activation=None, name=f"{name}/project")
    if operation.residual and stride == 1 and x.channels == shortcut.channels:
        x = arithmetic.add([x, shortcut], name=f"{name}/add")
    ends["output"] = x
    return x


def _squeeze_excite(x: Tensor, arg_scope: _ArgScope, *, name: str) -> Tensor:
    """Weigh the channels by what two small convolutions make of their means.

    Source: research/slim/nets/mobilenet/conv_blocks.py, ``squeeze_excite``; mobilenet_v3.py for its numbers.
    """
    squeezed = make_divisible(x.channels / 4, 8)
    gate = layers.global_avg_pool(x, name=f"{name}/Mean")
    gate = arg_scope.conv(gate, squeezed, 1, batch_norm=None, activation="relu", name=f"{name}/Conv")
    gate = arg_scope.conv(gate, x.channels, 1, batch_norm=None, activation=None, name=f"{name}/Conv_1")
    gate = activations.hard_sigmoid(gate, 0.16667, name=f"{name}/Conv_1/hard_sigmoid")
    return arithmetic.multiply([x, gate], name=f"{name}/mul")


def _lay(
    x: Tensor,
    operations: Sequence[_Operation],
    arg_scope: _ArgScope,
    *,
    scope: str,
    num_classes: int | None,
    output_stride: int | None,
    final_endpoint: str | None,
    base_only: bool,
    use_explicit_padding: bool,
    use_reduce_mean_for_pooling: bool,
    dropout_keep_prob: float,
) -> list[Tensor]:
    """Lay operations and head.

    Source: research/slim/nets/mobilenet/mobilenet.py, ``mobilenet`` and ``mobilenet_base``.
    """
    x = _lay_base(x, operations, arg_scope, scope, output_stride, final_endpoint, explicit=use_explicit_padding)
    if base_only:
        return [x]
    ends = x.graph.end_points
    height, width = x.shape[:2]
    if use_reduce_mean_for_pooling or height is None or width is None:
        x = layers.global_avg_pool(x, name=f"{scope}/Logits/ReduceMean")
    else:
        x = layers.avg_pool2d(x, (height, width), stride=1, name=f"{scope}/Logits/AvgPool")
    ends["global_pool"] = x
    if not num_classes:
        return [x]
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout")
    x = arg_scope.conv(x, num_classes, 1, activation=None, batch_norm=None, name=f"{scope}/Logits/Conv2d_1c_1x1")
    x = name_logits(x, "Logits", spatial_squeeze=True)
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return [x]


def _lay_base(
    x: Tensor,
    operations: Sequence[_Operation],
    arg_scope: _ArgScope,
    scope: str,
    output_stride: int | None,
    final_endpoint: str | None,
    *,
    explicit: bool,
) -> Tensor:
    """Lay the operations; once ``output_stride`` is reached, dilate instead of striding."""
    names = [f"layer_{index}" for index in range(1, len(operations) + 1)]
    if final_endpoint is not None and final_endpoint not in names:
        raise UnsupportedArgumentError(
            f"final_endpoint must be one of {', '.join(names)}. Received: final_endpoint={final_endpoint!r}."
            + did_you_mean(final_endpoint, names)
        )
    if output_stride is not None and (output_stride < 1 or (output_stride > 1 and output_stride % 2)):
        raise UnsupportedArgumentError(
            f"output_stride of a MobileNet must be None, 1 or a multiple of 2. Received: output_stride={output_stride}"
        )
    ends = x.graph.end_points
    inner_ends: dict[str, Tensor] = {}
    strides = OutputStride(output_stride)
    for end_point, (name, operation) in zip(names, _numbered(operations), strict=True):
        stride, rate = strides.pass_through(getattr(operation, "stride", 1))
        options: dict[str, Any] = {"stride": stride, "rate": rate, "explicit": explicit, "name": f"{scope}/{name}"}
        if isinstance(operation, _Conv):
            x = _lay_conv(x, operation, arg_scope, **options)
        elif isinstance(operation, _Pool):
            x = _lay_pool(x, name=f"{scope}/{name}")
        else:
            block_ends: dict[str, Tensor] = {}
            x = _lay_expanded(x, operation, arg_scope, ends=block_ends, **options)
            inner_ends |= {f"{end_point}/{inner}": tensor for inner, tensor in block_ends.items()}
        ends[end_point] = x
        if end_point == final_endpoint:
            break
    ends |= inner_ends
    return x


_FinalEndPoint = Annotated[
    str | None, arguments.ChangesOnly("global_pool|Logits|Predictions"), arguments.LastEndPoint(r"layer_\d+")
]
_BaseOnly = Annotated[arguments.ShownSwitch, arguments.CUTS]
_OutputStride = Annotated[int | None, arguments.Tried((4, 8, 16))]


def mobilenet_v2(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1001,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    scope: str,
    finegrain_classification_mode: bool = False,
    min_depth: int | None = None,
    divisible_by: int | None = None,
    activation_fn: arguments.ActivationFn = None,
    final_endpoint: _FinalEndPoint = None,
    output_stride: _OutputStride = None,
    use_explicit_padding: arguments.ShownSwitch = False,
    base_only: _BaseOnly = False,
    use_reduce_mean_for_pooling: arguments.ShownSwitch = False,
    weight_decay: arguments.WeightDecay = 0.00004,
    stddev: Annotated[float, arguments.OfArgScope()] = 0.09,
    dropout_keep_prob: Annotated[arguments.KeepProb, arguments.OfArgScope()] = 0.8,
    bn_decay: arguments.BatchNormDecay = 0.997,
) -> list[Tensor]:
    """Lay MobileNet v2. As in slim ``final_endpoint`` moves the head there, and ``base_only`` leaves the head out.

    Source: research/slim/nets/mobilenet/mobilenet_v2.py, ``mobilenet``; mobilenet.py, ``training_scope``.
    """
    operations = _with_depth(
        _V2,
        depth_multiplier,
        finegrain=finegrain_classification_mode,
        min_depth=min_depth,
        divisible_by=divisible_by,
    )
    return _lay(
        x,
        tuple(operations),
        _ArgScope.make(activation_fn or _V2.activation, weight_decay, stddev, bn_decay),
        scope=scope,
        num_classes=num_classes,
        output_stride=output_stride,
        final_endpoint=final_endpoint,
        base_only=base_only,
        use_explicit_padding=use_explicit_padding,
        use_reduce_mean_for_pooling=use_reduce_mean_for_pooling,
        dropout_keep_prob=dropout_keep_prob,
    )


def mobilenet_v3(
    row: _Row,
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1001,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    scope: str,
    finegrain_classification_mode: bool = False,
    final_endpoint: _FinalEndPoint = None,
    output_stride: _OutputStride = None,
    base_only: _BaseOnly = False,
    use_reduce_mean_for_pooling: arguments.ShownSwitch = False,
    weight_decay: arguments.WeightDecay = 0.00004,
    stddev: Annotated[float, arguments.OfArgScope()] = 0.09,
    dropout_keep_prob: Annotated[arguments.KeepProb, arguments.OfArgScope()] = 0.8,
    bn_decay: arguments.BatchNormDecay = 0.997,
) -> list[Tensor]:
    """Lay MobileNet v3 or EdgeTPU. As in slim ``final_endpoint`` moves the head there, ``base_only`` leaves it out.

    Source: research/slim/nets/mobilenet/mobilenet_v3.py, ``mobilenet``; mobilenet.py, ``training_scope``.
    """
    operations = _with_depth(
        row, depth_multiplier, finegrain=finegrain_classification_mode, min_depth=None, divisible_by=None
    )
    return _lay(
        x,
        tuple(operations),
        _ArgScope.make(row.activation, weight_decay, stddev, bn_decay),
        scope=scope,
        num_classes=num_classes,
        output_stride=output_stride,
        final_endpoint=final_endpoint,
        base_only=base_only,
        use_explicit_padding=False,
        use_reduce_mean_for_pooling=use_reduce_mean_for_pooling,
        dropout_keep_prob=dropout_keep_prob,
    )


_PUBLISHED_MULTIPLIERS = (1.0, 0.75, 0.5, 0.35, 1.4, 1.3, 0.25)
_MULTIPLIERS = tuple(
    dict.fromkeys(
        (*_PUBLISHED_MULTIPLIERS, *(step / 20 for step in range(1, 81)), *(step / 100 for step in range(1, 401)))
    )
)


def _read_arguments(row: _Row, roundings: Sequence[int | None], variables: VariableShapes) -> Iterator[dict[str, Any]]:
    """The depth multiplier with which every filter count comes out as it is, a published one if it does."""
    named = dict(_numbered(row.operations))
    widths = {name: _width_in(variables, name) for name in named}
    found: dict[str, Any] = {"num_classes": classes_in(variables, "Logits/Conv2d_1c_1x1")}
    for divisible_by, multiplier, finegrain in itertools.product(roundings, _MULTIPLIERS, (False, True)):
        operations = _with_depth(row, multiplier, finegrain=finegrain, min_depth=None, divisible_by=divisible_by)
        filters = (getattr(operation, "filters", None) for operation in operations)
        if all(width in (None, count) for width, count in zip(widths.values(), filters, strict=True)):
            found |= {"depth_multiplier": multiplier, "finegrain_classification_mode": finegrain}
            if divisible_by:
                found["divisible_by"] = divisible_by
            break
    yield found


def _width_in(variables: VariableShapes, scope: str) -> int | None:
    shape = variables.get(f"{scope}/weights") or variables.get(f"{scope}/project/weights")
    return shape[-1] if shape else None


def _net(
    name: str, lay: Any, row: _Row, scope: str, *, roundings: Sequence[int | None] = (None,), slim_name: str = ""
) -> Net:
    return Net(
        name=name,
        lay=lay,
        scope=scope,
        image_size=224,
        preprocessing="inception",
        labels_offset=0,
        anchor="expanded_conv_1/expand/weights",
        read_arguments=partial(_read_arguments, row, roundings),
        slim_name=slim_name,
        refused={**CONV_DEFS_REFUSED, "use_groupnorm": "the published networks normalise with BatchNorm"},
    )


_v2 = partial(_net, row=_V2, scope="MobilenetV2", roundings=(None, 1, 2, 4, 16), slim_name="mobilenet_v2")

NETS = (
    _v2("mobilenet_v2", mobilenet_v2),
    _v2("mobilenet_v2_140", partial(mobilenet_v2, depth_multiplier=1.4)),
    _v2("mobilenet_v2_035", partial(mobilenet_v2, depth_multiplier=0.35, finegrain_classification_mode=True)),
    *(
        _net(name, partial(mobilenet_v3, row), row, "MobilenetV3")
        for name, row in {
            "mobilenet_v3_small": _V3_SMALL,
            "mobilenet_v3_large": _V3_LARGE,
            "mobilenet_v3_small_minimalistic": _minimalistic(_V3_SMALL),
            "mobilenet_v3_large_minimalistic": _minimalistic(_V3_LARGE),
        }.items()
    ),
    _net("mobilenet_edgetpu", partial(mobilenet_v3, _EDGETPU), _EDGETPU, "MobilenetEdgeTPU"),
    _net(
        "mobilenet_edgetpu_075",
        partial(mobilenet_v3, _EDGETPU, depth_multiplier=0.75, finegrain_classification_mode=True),
        _EDGETPU,
        "MobilenetEdgeTPU",
        slim_name="mobilenet_edgetpu",
    ),
)
