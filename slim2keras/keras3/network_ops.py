"""Convolutions, pools, products of matrices, and what resizes images."""

from __future__ import annotations

from typing import Any

from keras import ops

from slim2keras.keras3.op_table import Attributes, channels_last, computes, inner, refuse_unless, sizes
from slim2keras.keras3.pooling import same_average_pool


@computes("Conv2D", "Conv3D")
def _convolution(attributes: Attributes, x: Any, kernel: Any) -> Any:
    channels_last(attributes)
    x, padding = _padded(attributes, x)
    strides, rates = _steps(attributes)
    return ops.conv(x, kernel, strides, padding, "channels_last", rates)


@computes("DepthwiseConv2dNative")
def _depthwise(attributes: Attributes, x: Any, kernel: Any) -> Any:
    channels_last(attributes)
    x, padding = _padded(attributes, x)
    strides, rates = _steps(attributes)
    return ops.depthwise_conv(x, kernel, strides, padding, "channels_last", rates)


def _steps(attributes: Attributes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and rates."""
    strides = inner(attributes["strides"])
    rates = inner(attributes["dilations"]) if attributes.get("dilations") else (1,) * len(strides)
    refuse_unless(max(strides) == 1 or max(rates) == 1, f"strides {strides} together with dilations {rates}")
    return strides, rates


def _padded(attributes: Attributes, x: Any, value: float = 0.0) -> tuple[Any, str]:
    """The image with the borders that a graph writes out, and how it is padded besides."""
    if attributes["padding"] != "EXPLICIT":
        return x, attributes["padding"].lower()
    amounts = attributes["explicit_paddings"]
    return ops.pad(x, list(zip(amounts[::2], amounts[1::2], strict=True)), constant_values=value), "valid"


@computes("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def _transposed_convolution(attributes: Attributes, shape: Any, kernel: Any, x: Any) -> Any:
    """Of the whole that every pixel's kernel lies in, the part that a convolution would not have padded."""
    channels_last(attributes)
    refuse_unless(attributes["padding"] != "EXPLICIT", "explicit padding is not supported")
    refuse_unless({*(attributes.get("dilations") or [1])} == {1}, "dilations are not supported")
    strides = inner(attributes["strides"])
    whole = ops.conv_transpose(x, kernel, strides, "valid", data_format="channels_last")
    steps, asked = ops.shape(x)[1:-1], inner(sizes(shape))
    for axis, stride in enumerate(strides):
        covered = (steps[axis] - 1) * stride + kernel.shape[axis]
        before = _larger(covered - asked[axis], 0) // 2 if attributes["padding"] == "SAME" else 0
        whole = _part(whole, axis + 1, before, asked[axis], at_most=stride)
    return whole


def _larger(one: Any, other: int) -> Any:
    return ops.maximum(one, other) if ops.is_tensor(one) else max(one, other)


def _part(x: Any, axis: int, before: Any, size: Any, at_most: int) -> Any:
    """``size`` pixels of an axis; where it ends, ``at_most`` so many zeros follow."""
    x = ops.pad(x, [(0, at_most if place == axis else 0) for place in range(len(x.shape))])
    return x[(*(slice(None),) * axis, slice(before, before + size))]


@computes("MaxPool", "MaxPool3D")
def _max_pool(attributes: Attributes, x: Any) -> Any:
    channels_last(attributes)
    x, padding = _padded(attributes, x, float("-inf"))
    return ops.max_pool(x, inner(attributes["ksize"]), inner(attributes["strides"]), padding, "channels_last")


@computes("AvgPool", "AvgPool3D")
def _average_pool(attributes: Attributes, x: Any) -> Any:
    channels_last(attributes)
    windows, strides = inner(attributes["ksize"]), inner(attributes["strides"])
    if attributes["padding"] == "SAME":
        return same_average_pool(x, windows, strides)
    return ops.average_pool(x, windows, strides, "valid", "channels_last")


@computes("MatMul")
def _matrix_product(attributes: Attributes, x: Any, y: Any) -> Any:
    return ops.matmul(*_flipped(x, y, attributes.get("transpose_a"), attributes.get("transpose_b")))


@computes("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _matrix_products(attributes: Attributes, x: Any, y: Any) -> Any:
    return ops.matmul(*_flipped(x, y, attributes.get("adj_x"), attributes.get("adj_y")))


def _flipped(x: Any, y: Any, *flips: Any) -> list[Any]:
    return [ops.swapaxes(item, -1, -2) if flip else item for item, flip in zip((x, y), flips, strict=True)]


@computes("Einsum")
def _einsum(attributes: Attributes, *tensors: Any) -> Any:
    return ops.einsum(attributes["equation"], *tensors)


@computes("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _batch_norm(attributes: Attributes, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
    channels_last(attributes)
    if attributes.get("is_training", True):
        mean, variance = ops.moments(x, axes=tuple(range(len(x.shape) - 1)))
    factor = ops.rsqrt(variance + attributes.get("epsilon", 1e-4)) * scale
    return [(x - mean) * factor + offset, mean, variance]


@computes("LRN")
def local_response_normalization(attributes: Attributes, x: Any) -> Any:
    """Divide by a power of the sum of squares over near channels."""
    radius, channels = attributes.get("depth_radius", 5), x.shape[-1]
    squares = ops.pad(ops.square(x), [(0, 0)] * (len(x.shape) - 1) + [(radius, radius)])
    total = sum(squares[..., start : start + channels] for start in range(2 * radius + 1))
    bias, alpha, beta = (attributes.get(*item) for item in (("bias", 1.0), ("alpha", 1.0), ("beta", 0.5)))
    return x / ops.power(bias + alpha * total, beta)


@computes("ResizeBilinear")
def _resize_bilinear(attributes: Attributes, images: Any, size: Any) -> Any:
    x, wanted = ops.cast(images, "float32"), sizes(size)
    # TensorFlow goes along the rows first.
    for axis in (2, 1):
        extent = ops.shape(x)[axis]
        places = _places(attributes, extent, wanted[axis - 1])
        low = ops.floor(places)
        above, below = (_taken(x, item, axis) for item in (low, ops.ceil(places)))
        share = ops.reshape(places - low, [-1 if place == axis else 1 for place in range(4)])
        x = above + (below - above) * share
    return x


@computes("ResizeNearestNeighbor")
def _resize_nearest(attributes: Attributes, images: Any, size: Any) -> Any:
    x, wanted = images, sizes(size)
    # The pixel that a centre falls into, which is half a pixel further than where its value is taken to lie.
    shift = 0.5 if attributes.get("half_pixel_centers") or attributes.get("align_corners") else 0.0
    for axis in (2, 1):
        places = _places(attributes, ops.shape(x)[axis], wanted[axis - 1])
        x = _taken(x, ops.floor(places + shift), axis)
    return x


def _taken(x: Any, places: Any, axis: int) -> Any:
    """Pixels along an axis, the last one where a place is further out."""
    last = ops.cast(ops.shape(x)[axis] - 1, "float32")
    return ops.take(x, ops.cast(ops.minimum(ops.maximum(places, 0.0), last), "int32"), axis=axis)


def _places(attributes: Attributes, size: Any, wanted: Any) -> Any:
    """Where in the image the pixels of the result lie, float32 as TensorFlow computes them."""
    steps = ops.cast(ops.arange(wanted), "float32")
    if attributes.get("align_corners") and (ops.is_tensor(wanted) or wanted > 1):
        return steps * (_float(size - 1) / _float(wanted - 1))
    scale = _float(size) / _float(wanted)
    if attributes.get("half_pixel_centers"):
        return (steps + 0.5) * scale - 0.5
    return steps * scale


def _float(size: Any) -> Any:
    return ops.cast(size, "float32")
