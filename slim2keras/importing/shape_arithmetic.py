"""What graphs compute with shapes, done with sizes instead of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from slim2keras.importing.node import Node
from slim2keras.importing.sizes import OpenSize, product
from slim2keras.importing.translation import Known, Translation, Value, translates


@translates("Shape", "ShapeN")
def shape(translation: Translation, node: Node) -> list[Value]:
    """The shape of a tensor."""
    return [sizes_of(translation.value(item).shape) for item in node.inputs]


@translates("Size")
def size(translation: Translation, node: Node) -> Value:
    """The number of values of a tensor."""
    return sizes_of(product(translation.value(node.inputs[0]).shape))


@translates("Rank")
def rank(translation: Translation, node: Node) -> Value:
    """The number of axes of a tensor."""
    return Known(np.asarray(len(translation.value(node.inputs[0]).shape), "int32"))


def sizes_of(sizes: Any) -> Known:
    """Sizes as a tensor; of numbers if all of them are known."""
    items = list(sizes) if isinstance(sizes, tuple | list) else sizes
    array = np.asarray(items, dtype=object)
    return Known(array) if any(isinstance(item, OpenSize) for item in array.ravel()) else Known(array.astype("int32"))


def computed_with_sizes(translation: Translation, node: Node) -> Value | None:
    """The result of an op on values that are known but for open sizes; ``None`` if it cannot be said."""
    values = [translation.value(item) for item in node.inputs]
    compute = _COMPUTED.get(node.op)
    if compute is None or not values or not all(isinstance(value, Known) for value in values):
        return None
    arrays = [value.value for value in values if isinstance(value, Known)]
    try:
        result = compute(node, *arrays) if _is_bounded(node, arrays) else None
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError):
        return None
    return None if result is None else _settled(node, result)


def _settled(node: Node, result: Any) -> Known | None:
    """A result as the op gives it: in its type where no size is open."""
    array = np.asarray(result)
    is_open = array.dtype == object and any(isinstance(item, OpenSize) for item in array.ravel())
    if is_open and any(isinstance(item, int) and abs(item) > _LARGEST_NUMBER for item in array.ravel()):
        return None
    return Known(array if is_open else array.astype(node.dtype("DstT", "T", "Tparams", "Tidx")))


def _objects(array: Any) -> Any:
    return np.asarray(array, dtype=object)


def _pack(node: Node, *values: Any) -> Any:
    axis = node.attr["axis"].i if "axis" in node.attr else 0
    return np.stack([_objects(value) for value in values], axis)


def _concat(node: Node, *values: Any) -> Any:
    *parts, axis = values if node.op == "ConcatV2" else (*values[1:], values[0])
    return np.concatenate([_objects(part) for part in parts], int(axis))


def _cast(node: Node, value: Any) -> Any:
    return value.astype(node.dtype("DstT")) if value.dtype != object else _whole(node, value)


def _whole(node: Node, value: Any) -> Any:
    return value if node.dtype("DstT").startswith("int") else None


def _sliced(node: Node, value: Any, begin: Any, extent: Any) -> Any:
    ends = [None if length == -1 else start + length for start, length in zip(begin, extent, strict=True)]
    return value[tuple(slice(int(start), end) for start, end in zip(begin, ends, strict=True))]


def strided_slice_index(node: Node, begin: Any, end: Any, strides: Any) -> tuple[Any, ...] | None:
    """NumPy's index for a strided slice; ``None`` where a bound is open."""
    masks = {name: node.attr[f"{name}_mask"].i if f"{name}_mask" in node.attr else 0 for name in _MASKS}
    index: list[Any] = []
    for axis, (start, stop, step) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << axis
        if masks["ellipsis"] & bit:
            index.append(Ellipsis)
        elif masks["new_axis"] & bit:
            index.append(None)
        elif masks["shrink_axis"] & bit:
            index.append(int(start))
        else:
            bounds = [None if masks["begin"] & bit else start, None if masks["end"] & bit else stop]
            if any(isinstance(bound, OpenSize) for bound in bounds):
                return None
            index.append(slice(bounds[0], bounds[1], int(step)))
    return tuple(index)


_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


def _strided(node: Node, value: Any, begin: Any, end: Any, strides: Any) -> Any:
    index = strided_slice_index(node, begin, end, strides)
    return None if index is None else value[index]


def _gathered(node: Node, value: Any, indices: Any, axis: Any = 0) -> Any:
    if value.size // max(1, value.shape[int(axis)]) * indices.size > max(_LARGEST, value.size):
        return None
    return np.take(value, np.asarray(indices, "int64"), int(axis))


def _prod(node: Node, value: Any, axes: Any) -> Any:
    keep = node.flag("keep_dims")
    return np.prod(_objects(value), axis=tuple(np.atleast_1d(axes).astype(int)), keepdims=keep)


def _quotient(node: Node, one: Any, other: Any) -> Any:
    is_float = np.dtype(one.dtype).kind == "f" or np.dtype(other.dtype).kind == "f"
    return one / other if is_float else one // other


_COMPUTED: dict[str, Callable[..., Any]] = {
    "Pack": _pack,
    "Concat": _concat,
    "ConcatV2": _concat,
    "Cast": _cast,
    "Slice": _sliced,
    "StridedSlice": _strided,
    "Gather": _gathered,
    "GatherV2": _gathered,
    "Prod": _prod,
    "Add": lambda _, a, b: a + b,
    "AddV2": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Neg": lambda _, a: -a,
    "FloorDiv": lambda _, a, b: a // b,
    "Div": _quotient,
    "RealDiv": lambda _, a, b: a / b,
    "TruncateDiv": lambda _, a, b: a // b,
    "FloorMod": lambda _, a, b: a % b,
    "Mod": lambda _, a, b: a % b,
    "Maximum": lambda _, a, b: np.maximum(a, b),
    "Minimum": lambda _, a, b: np.minimum(a, b),
    "Squeeze": lambda node, a: np.squeeze(a, node.ints("squeeze_dims") or None),
    "ExpandDims": lambda _, a, axis: np.expand_dims(a, int(axis)),
    "Reshape": lambda _, a, to: np.reshape(a, np.asarray(to, int)),
    "Transpose": lambda _, a, axes: np.transpose(a, np.asarray(axes, int)),
    "Range": lambda _, start, stop, step: _range(int(start), int(stop), int(step)),
    "Tile": lambda _, a, times: np.tile(a, np.asarray(times, int)) if _is_small([a.size, *times]) else None,
    "Fill": lambda _, to, value: np.full(tuple(map(int, to)), value) if _is_small(to) else None,
    "ReverseV2": lambda _, a, axes: np.flip(a, tuple(np.atleast_1d(axes).astype(int))),
    "ZerosLike": lambda _, a: np.zeros(a.shape, "int32" if a.dtype == object else a.dtype),
    "OnesLike": lambda _, a: np.ones(a.shape, "int32" if a.dtype == object else a.dtype),
}


_LARGEST = 2**20
_LARGEST_OPEN = 2**12
_LARGEST_NUMBER = 2**63
_JOINS = ("Pack", "Concat", "ConcatV2")
_BY_ELEMENT = frozenset(
    {"Add", "AddV2", "Sub", "Mul", "FloorDiv", "Div", "RealDiv", "TruncateDiv", "FloorMod", "Mod", "Maximum", "Minimum"}
)


def _is_bounded(node: Node, arrays: Sequence[Any]) -> bool:
    """Whether what an op gives of arrays does not fill the memory, by many steps of a little each."""
    sizes = [array.size for array in arrays]
    limit = _LARGEST_OPEN if any(array.dtype == object for array in arrays) else max(_LARGEST, *sizes)
    if node.op in _BY_ELEMENT:
        return math.prod(np.broadcast_shapes(*(array.shape for array in arrays))) <= limit
    return node.op not in _JOINS or sum(sizes) <= limit


def _range(start: int, stop: int, step: int) -> Any:
    return np.arange(start, stop, step, dtype="int32") if _is_small([(stop - start) // step]) else None


def _is_small(sizes: Any) -> bool:
    """Whether a tensor of such sizes is made here: a graph may ask for one that fills the memory."""
    are_known = all(isinstance(item, int | np.integer) for item in sizes)
    return are_known and float(np.prod(np.asarray(sizes, float))) < _LARGEST
