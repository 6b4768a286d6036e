"""Activations, pools, and what changes shapes, as stock Keras layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.graph import Tensor
from slim2keras.importing.batch_norms import rounded
from slim2keras.importing.dropouts import Dropped
from slim2keras.importing.node import Node
from slim2keras.importing.shape_arithmetic import strided_slice_index
from slim2keras.importing.sizes import OpenSize, Size, broadcast, known, product
from slim2keras.importing.spellings import window_of
from slim2keras.importing.translation import Activation, Known, Translation, Value, is_batched, translates
from slim2keras.importing.weighted_layers import is_channels_last, moved

_ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Elu": "elu",
    "Selu": "selu",
    "Exp": "exponential",
    "LogSoftmax": "log_softmax",
}
_LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Relu": ("ReLU", {}),
    "Relu6": ("ReLU", {"max_value": 6.0}),
    "Softmax": ("Softmax", {}),
}
_MERGES = {"Add": "Add", "AddV2": "Add", "Sub": "Subtract", "Mul": "Multiply", "Maximum": "Maximum"}
_MERGES |= {"Minimum": "Minimum"}
_LEAK = 0.2
"""Of the op where the graph does not say."""
_GLOBAL_POOLS = {"Mean": "GlobalAveragePooling", "Max": "GlobalMaxPooling"}
_LARGEST_VECTOR = 64


def _only(translation: Translation, node: Node) -> Activation | None:
    value = translation.value(node.inputs[0])
    return value if isinstance(value, Activation) and is_batched(value) and value.dtype == "float32" else None


@translates("Relu", "Relu6", "LeakyRelu", "Softmax", *_ACTIVATIONS)
def activation(translation: Translation, node: Node) -> Value | None:
    """``ReLU``, ``LeakyReLU``, ``Softmax`` and ``Activation``."""
    x = _only(translation, node)
    if x is None:
        return None
    if node.op == "LeakyRelu":
        return _leaky(translation, node, x)
    kind, config = _LAYERS.get(node.op) or ("Activation", {"activation": _ACTIVATIONS[node.op]})
    return translation.add(node, kind, config, [x], x.shape)


def _leaky(translation: Translation, node: Node, x: Activation) -> Activation:
    """``LeakyReLU``; of a sum the larger of two, by which the numbers are the same.

    With oneDNN TensorFlow makes a convolution, its biases, a sum and a leaky ReLU one kernel in a ``tf.function``, and
    its alpha is 0.2, whatever that of the op was (TensorFlow 2.21).
    """
    written = rounded(node.attr["alpha"].f) if "alpha" in node.attr else _LEAK
    alpha = written if node.facts is None else node.facts
    if not _is_sum(x.tensor) or np.float32(alpha) == np.float32(_LEAK):
        return translation.add(node, "LeakyReLU", {"alpha": alpha}, [x], x.shape)
    name = f"{node.name}/Rescaling"
    scaled = translation.add(node, "Rescaling", {"scale": alpha}, [x], x.shape, name=name)
    return translation.add(node, "Maximum" if alpha <= 1.0 else "Minimum", {}, [x, scaled], x.shape)


def _is_sum(x: Tensor) -> bool:
    """Whether it is one for inference."""
    layer = x.graph.layers[x.layer_name]
    return layer.kind == "Add" or (layer.kind == "Dropout" and _is_sum(layer.inputs[0]))


@translates("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D")
def pool(translation: Translation, node: Node) -> Value | None:
    """``MaxPooling2D``, ``AveragePooling2D``, and those of videos."""
    x, window, extent = _only(translation, node), window_of(node), node.ints("ksize")
    is_spatial = extent[:1] + extent[-1:] == (1, 1)
    if x is None or not is_channels_last(node) or not is_spatial or window.padding not in ("SAME", "VALID"):
        return None
    sizes = zip(x.shape[1:-1], extent[1:-1], window.strides, strict=True)
    shape = (x.shape[0], *(moved(size, side, stride, window.padding) for size, side, stride in sizes), x.shape[-1])
    config = {"pool_size": extent[1:-1], "strides": window.strides, "padding": window.padding.lower()}
    name = "MaxPooling" if node.op.startswith("Max") else "AveragePooling"
    return translation.add(node, f"{name}{len(extent) - 2}D", config, [x], shape)


@translates(*_GLOBAL_POOLS)
def global_pool(translation: Translation, node: Node) -> Value | None:
    """``GlobalAveragePooling2D`` and the like, over all axes but images and channels."""
    x, axes = _only(translation, node), translation.value(node.inputs[1])
    if x is None or not isinstance(axes, Known) or not 3 <= len(x.shape) <= 5:
        return None
    rank, keep = len(x.shape), node.flag("keep_dims")
    if sorted(int(axis) % rank for axis in np.atleast_1d(axes.value)) != list(range(1, rank - 1)):
        return None
    shape = (x.shape[0], *((1,) * (rank - 2) if keep else ()), x.shape[-1])
    return translation.add(node, f"{_GLOBAL_POOLS[node.op]}{rank - 2}D", {"keepdims": keep}, [x], shape)


@translates(*_MERGES)
def arithmetic(translation: Translation, node: Node) -> Value | None:
    """``Add``, ``Multiply``, ... of activations, ``Rescaling`` by constants."""
    values = [translation.value(item) for item in node.inputs]
    if all(is_batched(value) for value in values):
        return _merged(translation, node, [value for value in values if isinstance(value, Activation)])
    for is_first, (x, other) in ((True, values), (False, reversed(values))):
        if isinstance(x, Activation) and is_batched(x) and isinstance(other, Known) and x.dtype == "float32":
            return _rescaled(translation, node, x, other, is_first=is_first)
    return None


def _merged(translation: Translation, node: Node, inputs: list[Activation]) -> Value | None:
    ranks, dtypes = {len(item.shape) for item in inputs}, {item.dtype for item in inputs}
    if len(ranks) > 1 or dtypes != {"float32"} or len({item.tensor.layer_name for item in inputs}) < len(inputs):
        return None
    return translation.add(node, _MERGES[node.op], {}, inputs, broadcast(item.shape for item in inputs))


def _rescaled(translation: Translation, node: Node, x: Activation, other: Known, *, is_first: bool) -> Value | None:
    """A product with, or a sum of, a constant: one number, or few numbers along the channels."""
    value = other.value
    if not other.is_constant or value.dtype.kind != "f" or not _along_channels(value, x):
        return None
    numbers: Any = float(value.ravel()[0]) if value.size == 1 else value.ravel().tolist()
    signed = -value.ravel()
    negative: Any = float(signed[0]) if value.size == 1 else signed.tolist()
    config = {
        "Mul": {"scale": numbers},
        "Add": {"scale": 1.0, "offset": numbers},
        "AddV2": {"scale": 1.0, "offset": numbers},
        "Sub": {"scale": 1.0, "offset": negative} if is_first else {"scale": -1.0, "offset": numbers},
    }.get(node.op)
    return None if config is None else translation.add(node, "Rescaling", config, [x], x.shape)


def _along_channels(value: Any, x: Activation) -> bool:
    if value.ndim > len(x.shape):
        return False
    return bool(value.size == 1 or (value.size <= _LARGEST_VECTOR and value.shape[-1] == value.size == x.shape[-1]))


@translates("ConcatV2", "Concat")
def concat(translation: Translation, node: Node) -> Value | None:
    """``Concatenate``."""
    tensors, at = (node.inputs[:-1], node.inputs[-1]) if node.op == "ConcatV2" else (node.inputs[1:], node.inputs[0])
    values, axis = [translation.value(item) for item in tensors], translation.value(at)
    activations = [value for value in values if isinstance(value, Activation) and is_batched(value)]
    ranks = {len(value.shape) for value in activations}
    if len(activations) < len(values) or len(ranks) > 1 or not isinstance(axis, Known) or len(values) < 2:
        return None
    rank = ranks.pop()
    where = int(axis.value) % rank
    if where == 0 or len({item.dtype for item in activations}) > 1:
        return None
    return translation.add(
        node,
        "Concatenate",
        {"axis": -1 if where == rank - 1 else where},
        activations,
        concatenated([item.shape for item in activations], where),
    )


def concatenated(shapes: list[tuple[Size, ...]], axis: int) -> tuple[Size, ...]:
    """Shape of tensors joined along an axis."""
    total: Size = 0
    for shape in shapes:
        total = shape[axis] + total
    for place, sizes in enumerate(zip(*shapes, strict=True)):
        if place != axis:
            broadcast((size,) for size in sizes)
    merged = [next((size for size in sizes if isinstance(size, int)), sizes[0]) for sizes in zip(*shapes, strict=True)]
    return (*merged[:axis], total, *merged[axis + 1 :])


@translates("Pad", "PadV2")
def pad(translation: Translation, node: Node) -> Value | None:
    """``ZeroPadding2D`` and the like; of images and channels nothing is padded."""
    x, paddings = _only(translation, node), translation.value(node.inputs[1])
    filled = translation.value(node.inputs[2]) if len(node.inputs) > 2 else None
    if x is None or not isinstance(paddings, Known) or not paddings.is_constant or not 3 <= len(x.shape) <= 5:
        return None
    if filled is not None and not (isinstance(filled, Known) and not np.any(filled.value)):
        return None
    amounts = [tuple(map(int, row)) for row in paddings.value]
    if any(amounts[0]) or any(amounts[-1]):
        return None
    shape = tuple(size + before + after for size, (before, after) in zip(x.shape, amounts, strict=True))
    inner = amounts[1] if len(amounts) == 3 else tuple(amounts[1:-1])
    return translation.add(node, f"ZeroPadding{len(amounts) - 2}D", {"padding": inner}, [x], shape)


@translates("Squeeze")
def squeeze(translation: Translation, node: Node) -> Value | None:
    """``Reshape`` without axes of size one."""
    x = _only(translation, node)
    if x is None:
        return None
    axes = [axis % len(x.shape) for axis in node.ints("squeeze_dims")]
    axes = axes or [axis for axis, size in enumerate(x.shape) if size == 1]
    if any(known(x.shape[axis]) not in (1, None) for axis in axes):
        return None
    return _kept_batch(translation, node, x, tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


@translates("ExpandDims")
def expand_dims(translation: Translation, node: Node) -> Value | None:
    """``Reshape`` with one more axis."""
    x, axis = _only(translation, node), translation.value(node.inputs[1])
    if x is None or not isinstance(axis, Known):
        return None
    where = int(axis.value) % (len(x.shape) + 1)
    return _kept_batch(translation, node, x, (*x.shape[:where], 1, *x.shape[where:]))


@translates("Reshape")
def reshape(translation: Translation, node: Node) -> Value | None:
    """``Flatten`` and ``Reshape``; the number of images is left open where the graph has it written in."""
    x, target = _only(translation, node), translation.value(node.inputs[1])
    if x is None or not isinstance(target, Known):
        return None
    shape = reshaped(x.shape, tuple(target.value.ravel()), translation.facts.baked_batch)
    return None if shape is None else _kept_batch(translation, node, x, shape)


def _kept_batch(translation: Translation, node: Node, x: Activation, shape: tuple[Size, ...]) -> Value | None:
    if not shape or shape[0] != x.shape[0] or sum(known(size) is None for size in shape[1:]) > 1:
        return None
    if node.op == "Reshape" and len(shape) == 2 and len(x.shape) > 2 and known(shape[1]) is not None:
        return translation.add(node, "Flatten", {}, [x], shape)
    if shape == x.shape:
        return x
    target = tuple(-1 if (size := known(item)) is None else size for item in shape[1:])
    return translation.add(node, "Reshape", {"target_shape": target}, [x], shape)


def reshaped(shape: tuple[Size, ...], target: tuple[Any, ...], batch: int | None) -> tuple[Size, ...] | None:
    """Shape that a reshape gives, ``None`` if it cannot be told.

    Args:
        target: As the graph has it: one size may be -1, and the number of images may be written in.
        batch: That number.
    """
    sizes: list[Size] = [item if isinstance(item, OpenSize) else int(item) for item in target]
    for candidate in _with_batch(sizes, shape, batch):
        settled = _with_rest(candidate, product(shape))
        if settled is not None:
            return settled
    return None


def _with_batch(sizes: list[Size], shape: tuple[Size, ...], batch: int | None) -> list[list[Size]]:
    """The sizes of a target, and where the number of images may be written in, with it left open."""
    if batch is None or not shape or isinstance(shape[0], int):
        return [sizes]
    freed = [
        (index, [*sizes[:index], shape[0] * (size // batch), *sizes[index + 1 :]])
        for index, size in enumerate(sizes)
        if isinstance(size, int) and size > 0 and size % batch == 0
    ]
    first = [candidate for index, candidate in freed if index == 0]
    return [*first, sizes, *(candidate for index, candidate in freed if index > 0)]


def _with_rest(sizes: list[Size], total: Size) -> tuple[Size, ...] | None:
    rest = [index for index, size in enumerate(sizes) if isinstance(size, int) and size == -1]
    given = product(size for index, size in enumerate(sizes) if index not in rest)
    if not rest:
        return tuple(sizes) if given == total else None
    quotient = _divided(total, given)
    return None if quotient is None else tuple(quotient if index in rest else size for index, size in enumerate(sizes))


def _divided(total: Size, given: Size) -> Size | None:
    if isinstance(total, OpenSize):
        return total.divided(given)
    return total // given if isinstance(given, int) and given and total % given == 0 else None


@translates("Transpose")
def transpose(translation: Translation, node: Node) -> Value | None:
    """``Permute`` where the images stay first."""
    x, order = _only(translation, node), translation.value(node.inputs[1])
    if x is None or not isinstance(order, Known):
        return None
    axes = tuple(map(int, order.value))
    if axes[0] != 0 or sorted(axes) != list(range(len(x.shape))):
        return None
    return translation.add(node, "Permute", {"dims": axes[1:]}, [x], tuple(x.shape[axis] for axis in axes))


@translates("StridedSlice")
def crop(translation: Translation, node: Node) -> Value | None:
    """``Cropping2D`` where a slice leaves out pixels at the borders."""
    x, bounds = _only(translation, node), [translation.value(item) for item in node.inputs[1:]]
    if x is None or len(x.shape) != 4 or not all(isinstance(bound, Known) for bound in bounds):
        return None
    index = strided_slice_index(node, *(bound.value for bound in bounds if isinstance(bound, Known)))
    if index is None or not 2 <= len(index) <= 4 or not all(isinstance(item, slice) for item in index):
        return None
    whole = slice(None, None, 1)
    if any(item != whole for axis, item in enumerate(index) if axis in (0, 3) and not _is_whole(item, x.shape[axis])):
        return None
    cropped = [_cropping(item, size) for item, size in zip((*index, whole)[1:3], x.shape[1:3], strict=True)]
    amounts = [item for item in cropped if item is not None]
    if len(amounts) < 2:
        return None
    sizes = [size - before - after for size, (before, after) in zip(x.shape[1:3], amounts, strict=True)]
    return translation.add(node, "Cropping2D", {"cropping": tuple(amounts)}, [x], (x.shape[0], *sizes, x.shape[3]))


def _is_whole(index: slice, size: Size) -> bool:
    return index.start in (None, 0) and index.stop in (None, size, 0x7FFFFFFF) and index.step in (None, 1)


def _cropping(index: slice, size: Size) -> tuple[int, int] | None:
    """Pixels left out before and behind."""
    start, stop = int(index.start or 0), index.stop
    if start < 0 or index.step not in (None, 1):
        return None
    if stop is None or (isinstance(size, int) and stop >= size):
        return start, 0
    if stop < 0:
        return start, -int(stop)
    return (start, size - int(stop)) if isinstance(size, int) else None


@translates("ResizeNearestNeighbor")
def upsampling(translation: Translation, node: Node) -> Value | None:
    """``UpSampling2D`` where every pixel is repeated a whole number of times."""
    x, asked = _only(translation, node), translation.value(node.inputs[1])
    if x is None or not isinstance(asked, Known) or node.flag("align_corners") or node.flag("half_pixel_centers"):
        return None
    times = [_divided_exactly(wanted, size) for wanted, size in zip(asked.value, x.shape[1:3], strict=True)]
    factors = tuple(item for item in times if isinstance(item, int))
    if len(factors) < 2:
        return None
    shape = (x.shape[0], *(size * factor for size, factor in zip(x.shape[1:3], factors, strict=True)), x.shape[-1])
    return translation.add(node, "UpSampling2D", {"size": factors}, [x], shape)


def _divided_exactly(wanted: Any, size: Size) -> Size | None:
    return _divided(wanted if isinstance(wanted, OpenSize) else int(wanted), size)


@translates("LRN")
def local_response_normalization(translation: Translation, node: Node) -> Value | None:
    """The layer that cifarnet has."""
    x = _only(translation, node)
    if x is None:
        return None
    config = {name: node.attr[name].f if name in node.attr else default for name, default in _LRN.items()}
    radius = node.attr["depth_radius"].i if "depth_radius" in node.attr else 5
    constants = {name: rounded(value) for name, value in config.items()}
    return translation.add(node, "LocalResponseNormalization", {"depth_radius": radius, **constants}, [x], x.shape)


_LRN = {"bias": 1.0, "alpha": 1.0, "beta": 0.5}


@translates("Dropout")
def dropout(translation: Translation, node: Node) -> Value | None:
    """``Dropout``, its noise of the shape that the graph draws.

    Raises:
        UnsupportedGraphError: If the rate depends on a placeholder whose value is not given.
    """
    dropped: Dropped = node.facts
    x = translation.activation(node.inputs[0])
    if dropped.rate is None:
        name = dropped.keep_tensor or "of its rate"
        raise UnsupportedGraphError(
            f"The share of values that the dropout {node.name} keeps comes from the placeholder {name}: give it, "
            f"placeholder_values={{{name!r}: 0.8}} (command line: --placeholder {name}=0.8). At inference nothing is "
            "dropped, whatever it is."
        )
    if not 0.0 <= dropped.rate < 1.0:
        raise UnsupportedGraphError(f"The dropout {node.name} has a rate of {dropped.rate}.")
    if math.isclose(dropped.rate, 0.0, abs_tol=1e-7):
        return x
    noise = translation.value(node.inputs[1])
    config: dict[str, Any] = {"rate": dropped.rate}
    shape = _noise_shape(noise, x)
    if shape is not None:
        config["noise_shape"] = shape
    return translation.add(node, "Dropout", config, [x], x.shape)


def _noise_shape(noise: Value | None, x: Activation) -> tuple[int | None, ...] | None:
    """Where one number stands for several values."""
    if not isinstance(noise, Known) or len(noise.value) != len(x.shape):
        return None
    ones = [size == 1 and mine != 1 for size, mine in zip(noise.value, x.shape, strict=True)]
    return (None, *(1 if one else None for one in ones[1:])) if any(ones[1:]) else None
