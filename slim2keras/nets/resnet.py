"""ResNet v1 and v2 with bottleneck units.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition (arXiv:1512.03385); Identity Mappings in
Deep Residual Networks (arXiv:1603.05027). ImageNet top-1 / top-5 of the published checkpoints: v1 50 75.2/92.2,
101 76.4/92.9, 152 76.8/93.2; v2 50 75.6/92.8, 101 77.0/93.7, 152 77.8/94.1.

Slim differs from the papers' reference code: the stride sits in the *last* unit of a block, and strided convolutions
pad symmetrically by hand (``conv2d_same``).

Output: logits (batch, num_classes), or features (batch, 1, 1, 2048) without classes.

Source: research/slim/nets/resnet_v1.py, resnet_v2.py, resnet_utils.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Annotated, Any

from slim2keras.graphs import activations, arithmetic, layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import variance_scaling
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.parts.output_stride import OutputStride
from slim2keras.nets.registry import Net, VariableShapes, classes_in, read_depths
from slim2keras.nets.slim_function import SlimFunction
from slim2keras.scopes import join

_BASE_DEPTHS = (64, 128, 256, 512)
_BLOCK_STRIDES = (2, 2, 2, 1)

Unit = Callable[..., Tensor]


@dataclass(frozen=True)
class _Row:
    """Number of bottleneck units in each of the four blocks."""

    units: tuple[int, int, int, int]


CONFIGS = {
    "50": _Row(units=(3, 4, 6, 3)),
    "101": _Row(units=(3, 4, 23, 3)),
    "152": _Row(units=(3, 8, 36, 3)),
    "200": _Row(units=(3, 24, 36, 3)),
}


def conv2d_same(
    x: Tensor, filters: int, kernel_size: int, stride: int, *, rate: int = 1, name: str, **options: Any
) -> Tensor:
    """Convolve with stride, padded symmetrically, as slim's ResNets do.

    Keras' ``padding="same"`` puts the odd pixel at the bottom right, which shifts the sampling grid by one for even
    inputs; slim pads by hand and convolves VALID.

    Args:
        x: Feature map, (height, width, channels).
        rate: Dilation in pixels; with ``rate > 1`` the stride must be 1.
        name: Slim scope of the convolution, e.g. ``"resnet_v1_50/conv1"``.
        options: Further arguments of ``layers.conv2d``.

    Returns:
        (ceil(height / stride), ceil(width / stride), filters).

    Source: research/slim/nets/resnet_utils.py, ``conv2d_same``.
    """
    if stride == 1:
        return layers.conv2d(x, filters, kernel_size, rate=rate, name=name, **options)
    assert rate == 1, "the units either stride or dilate"
    padding = kernel_size - 1
    before = padding // 2
    x = shapes.pad2d(x, before, padding - before, name=join(name.rpartition("/")[0], "Pad"))
    return layers.conv2d(x, filters, kernel_size, stride=stride, padding="VALID", name=name, **options)


@dataclass(frozen=True)
class _ArgScope:
    """``resnet_arg_scope``: what all convolutions of a network share."""

    conv_options: dict[str, Any]
    batch_norm: BatchNorm

    @classmethod
    def make(cls, weight_decay: float, decay: float, epsilon: float, *, scale: bool, use_batch_norm: bool) -> _ArgScope:
        batch_norm = BatchNorm(decay=decay, epsilon=epsilon, scale=scale)
        options: dict[str, Any] = {
            "weight_decay": weight_decay,
            "weights_initializer": variance_scaling(),
            "batch_norm": batch_norm if use_batch_norm else None,
        }
        return cls(options, batch_norm)

    def conv(self, x: Tensor, filters: int, kernel_size: int, *, name: str, **options: Any) -> Tensor:
        return layers.conv2d(x, filters, kernel_size, name=name, **{**self.conv_options, **options})

    def linear(self, x: Tensor, filters: int, *, name: str, **options: Any) -> Tensor:
        """1x1 convolution with biases, neither normalised nor activated."""
        return self.conv(x, filters, 1, name=name, batch_norm=None, activation=None, **options)


def _base_depths(depth_multiplier: float, min_base_depth: int) -> tuple[int, ...]:
    return tuple(max(int(depth * depth_multiplier), min_base_depth) for depth in _BASE_DEPTHS)


def _bottleneck_v1(
    x: Tensor, base_depth: int, stride: int, rate: int, *, scope: str, arg_scope: _ArgScope, ends: dict[str, Tensor]
) -> Tensor:
    """Bottleneck unit, normalised after each convolution."""
    depth = 4 * base_depth
    scope = f"{scope}/bottleneck_v1"
    if depth == x.channels:
        shortcut = _subsample(x, stride, name=f"{scope}/shortcut")
    else:
        name = f"{scope}/shortcut"
        shortcut = ends[name] = arg_scope.conv(x, depth, 1, stride=stride, activation=None, name=name)
    residual = ends[f"{scope}/conv1"] = arg_scope.conv(x, base_depth, 1, name=f"{scope}/conv1")
    residual = ends[f"{scope}/conv2"] = conv2d_same(
        residual, base_depth, 3, stride, rate=rate, name=f"{scope}/conv2", **arg_scope.conv_options
    )
    residual = ends[f"{scope}/conv3"] = arg_scope.conv(residual, depth, 1, activation=None, name=f"{scope}/conv3")
    total = arithmetic.add([shortcut, residual], name=f"{scope}/add")
    ends[scope] = activations.relu(total, name=f"{scope}/Relu")
    return ends[scope]


def _bottleneck_v2(
    x: Tensor, base_depth: int, stride: int, rate: int, *, scope: str, arg_scope: _ArgScope, ends: dict[str, Tensor]
) -> Tensor:
    """Bottleneck unit, normalised before each convolution ("full preactivation")."""
    depth = 4 * base_depth
    scope = f"{scope}/bottleneck_v2"
    preact = layers.batch_norm(x, arg_scope.batch_norm, activation="relu", name=f"{scope}/preact")
    if depth == x.channels:
        shortcut = _subsample(x, stride, name=f"{scope}/shortcut")
    else:
        name = f"{scope}/shortcut"
        shortcut = ends[name] = arg_scope.linear(preact, depth, stride=stride, name=name)
    residual = ends[f"{scope}/conv1"] = arg_scope.conv(preact, base_depth, 1, name=f"{scope}/conv1")
    residual = ends[f"{scope}/conv2"] = conv2d_same(
        residual, base_depth, 3, stride, rate=rate, name=f"{scope}/conv2", **arg_scope.conv_options
    )
    residual = ends[f"{scope}/conv3"] = arg_scope.linear(residual, depth, name=f"{scope}/conv3")
    ends[scope] = arithmetic.add([shortcut, residual], name=f"{scope}/add")
    return ends[scope]


def _subsample(x: Tensor, factor: int, *, name: str) -> Tensor:
    return x if factor == 1 else layers.max_pool2d(x, 1, stride=factor, padding="SAME", name=name)


def _stack_blocks_dense(
    x: Tensor,
    row: _Row,
    unit: Unit,
    *,
    scope: str,
    base_depths: tuple[int, ...],
    output_stride: int | None,
    store_non_strided_activations: bool,
) -> Tensor:
    """Stack the blocks; once ``output_stride`` is reached, dilate instead of striding.

    Source: research/slim/nets/resnet_utils.py, ``stack_blocks_dense``.
    """
    ends = x.graph.end_points
    # The root block has made a stride of 4.
    strides = OutputStride(None if output_stride is None else output_stride // 4)
    for block, (units, base_depth, block_stride) in enumerate(
        zip(row.units, base_depths, _BLOCK_STRIDES, strict=True), start=1
    ):
        for index in range(1, units + 1):
            in_unit = index == units and not store_non_strided_activations
            stride, dilation = strides.pass_through(block_stride if in_unit else 1)
            x = unit(x, base_depth, stride, dilation, scope=f"{scope}/block{block}/unit_{index}", ends=ends)
        ends[f"{scope}/block{block}"] = x
        if store_non_strided_activations:
            stride, _ = strides.pass_through(block_stride)
            x = _subsample(x, stride, name=f"{scope}/block{block}/subsample")
    return x


def _head(
    x: Tensor, arg_scope: _ArgScope, *, scope: str, num_classes: int | None, global_pool: bool, spatial_squeeze: bool
) -> list[Tensor]:
    ends = x.graph.end_points
    if global_pool:
        x = ends["global_pool"] = layers.global_avg_pool(x, name=f"{scope}/pool5")
    if num_classes:
        x = ends[f"{scope}/logits"] = arg_scope.linear(x, num_classes, name=f"{scope}/logits")
        if spatial_squeeze:
            x = ends[f"{scope}/spatial_squeeze"] = shapes.spatial_squeeze(x, name=f"{scope}/spatial_squeeze")
        ends["predictions"] = layers.softmax(x, name=f"{scope}/predictions")
    return [x]


def _root_block(x: Tensor, *, scope: str, **conv_options: Any) -> Tensor:
    x = x.graph.end_points[f"{scope}/conv1"] = conv2d_same(x, 64, 7, 2, name=f"{scope}/conv1", **conv_options)
    return layers.max_pool2d(x, 3, stride=2, padding="SAME", name=f"{scope}/pool1")


_OutputStride = Annotated[int | None, arguments.OneOf((4, 8, 16, 32, None))]
_GlobalPool = Annotated[
    arguments.ShownSwitch, arguments.ChangesOnly("global_pool|.*/logits|.*/spatial_squeeze|predictions")
]


def resnet_v1(
    row: _Row,
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = None,
    global_pool: _GlobalPool = True,
    output_stride: _OutputStride = None,
    spatial_squeeze: arguments.ShownSwitch = True,
    store_non_strided_activations: arguments.ShownSwitch = False,
    min_base_depth: int = 8,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    scope: str,
    weight_decay: arguments.WeightDecay = 0.0001,
    batch_norm_decay: arguments.BatchNormDecay = 0.997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 1e-5,
    batch_norm_scale: bool = True,
    use_batch_norm: bool = True,
) -> list[Tensor]:
    """Lay a ResNet v1.

    Source: research/slim/nets/resnet_v1.py, ``resnet_v1_50`` and its siblings.
    """
    arg_scope = _ArgScope.make(
        weight_decay, batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale, use_batch_norm=use_batch_norm
    )
    x = _root_block(x, scope=scope, **arg_scope.conv_options)
    x = _stack_blocks_dense(
        x,
        row,
        partial(_bottleneck_v1, arg_scope=arg_scope),
        scope=scope,
        base_depths=_base_depths(depth_multiplier, min_base_depth),
        output_stride=output_stride,
        store_non_strided_activations=store_non_strided_activations,
    )
    return _head(
        x, arg_scope, scope=scope, num_classes=num_classes, global_pool=global_pool, spatial_squeeze=spatial_squeeze
    )


def resnet_v2(
    row: _Row,
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = None,
    global_pool: _GlobalPool = True,
    output_stride: _OutputStride = None,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    weight_decay: arguments.WeightDecay = 0.0001,
    batch_norm_decay: arguments.BatchNormDecay = 0.997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 1e-5,
    batch_norm_scale: bool = True,
    use_batch_norm: bool = True,
) -> list[Tensor]:
    """Lay a ResNet v2; the first convolution has biases, the first unit normalises.

    Source: research/slim/nets/resnet_v2.py, ``resnet_v2_50`` and its siblings.
    """
    arg_scope = _ArgScope.make(
        weight_decay, batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale, use_batch_norm=use_batch_norm
    )
    root_options = {**arg_scope.conv_options, "batch_norm": None, "activation": None}
    x = _root_block(x, scope=scope, **root_options)
    x = _stack_blocks_dense(
        x,
        row,
        partial(_bottleneck_v2, arg_scope=arg_scope),
        scope=scope,
        base_depths=_BASE_DEPTHS,
        output_stride=output_stride,
        store_non_strided_activations=False,
    )
    x = layers.batch_norm(x, arg_scope.batch_norm, activation="relu", name=f"{scope}/postnorm")
    return _head(
        x, arg_scope, scope=scope, num_classes=num_classes, global_pool=global_pool, spatial_squeeze=spatial_squeeze
    )


def _read_arguments_v1(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    widths = {f"block{block}/unit_1/bottleneck_v1/conv1": depth for block, depth in enumerate(_BASE_DEPTHS, start=1)}
    for depths in read_depths(variables, widths, "min_base_depth", "block.*/conv1"):
        yield {
            **depths,
            "num_classes": classes_in(variables, "logits"),
            "use_batch_norm": "conv1/BatchNorm/beta" in variables,
            "batch_norm_scale": "conv1/BatchNorm/gamma" in variables or "conv1/BatchNorm/beta" not in variables,
        }


def _read_arguments_v2(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {
        "num_classes": classes_in(variables, "logits"),
        "use_batch_norm": "block1/unit_1/bottleneck_v2/conv1/BatchNorm/beta" in variables,
        "batch_norm_scale": "postnorm/gamma" in variables,
    }


def _slim_blocks(
    version: str, row: _Row, module: ModuleType, given: Mapping[str, Any]
) -> tuple[list[Any], frozenset[str]]:
    """The blocks that slim's generator takes for depths that its named functions may lack.

    ``spatial_squeeze`` it may lack too: a comparison sees through pixels of size one.
    """
    depths = _base_depths(given.get("depth_multiplier", 1.0), given.get("min_base_depth", 8))
    block = getattr(module, f"{version}_block")
    blocks = [
        block(f"block{index}", base_depth=depth, num_units=units, stride=stride)
        for index, (depth, units, stride) in enumerate(zip(depths, row.units, _BLOCK_STRIDES, strict=True), start=1)
    ]
    return blocks, frozenset({"depth_multiplier", "min_base_depth", "spatial_squeeze"})


def _in_slim(version: str, row: _Row) -> SlimFunction:
    return SlimFunction(
        module=version,
        name=version,
        arg_scope="resnet_arg_scope",
        parameter="blocks",
        make=partial(_slim_blocks, version, row),
        ends_in_features=True,
    )


_REFUSED = {"include_root_block": "a network begins with its images"}


def rows(configs: Mapping[str, _Row]) -> Iterator[Net]:
    """Both versions of each depth."""
    for depth, row in configs.items():
        yield Net(
            name=f"resnet_v1_{depth}",
            lay=partial(resnet_v1, row),
            scope=f"resnet_v1_{depth}",
            image_size=224,
            preprocessing="vgg",
            labels_offset=1,
            anchor="block1/unit_1/bottleneck_v1/conv1/weights",
            read_arguments=_read_arguments_v1,
            slim=_in_slim("resnet_v1", row),
            refused=_REFUSED,
        )
        yield Net(
            name=f"resnet_v2_{depth}",
            lay=partial(resnet_v2, row),
            scope=f"resnet_v2_{depth}",
            image_size=224,
            # slim's factory says vgg; its README and the published checkpoints say inception, at 299 pixels.
            preprocessing="inception",
            labels_offset=0,
            anchor="block1/unit_1/bottleneck_v2/conv1/weights",
            read_arguments=_read_arguments_v2,
            slim=_in_slim("resnet_v2", row),
            refused=_REFUSED,
        )


NETS = tuple(rows(CONFIGS))
