"""Ops that move numbers, and compute none."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from slim2keras.keras3.op_table import Attributes, channels_last, computes, number, numbers, refuse_unless, sizes


@computes("BroadcastTo")
def _broadcast_to(_: Attributes, x: Any, shape: Any) -> Any:
    return ops.broadcast_to(x, sizes(shape))


@computes("ConcatV2")
def _concat(_: Attributes, *operands: Any) -> Any:
    *tensors, axis = operands
    return ops.concatenate(tensors, axis=number(axis))


@computes("Concat")
def _concat_by_first(attributes: Attributes, *operands: Any) -> Any:
    axis, *tensors = operands
    return _concat(attributes, *tensors, axis)


@computes("ExpandDims")
def _expand_dims(_: Attributes, x: Any, axis: Any) -> Any:
    return ops.expand_dims(x, number(axis))


@computes("Fill")
def _fill(_: Attributes, shape: Any, value: Any) -> Any:
    return ops.broadcast_to(value, sizes(shape))


@computes("Gather", "GatherV2")
def _gather(attributes: Attributes, x: Any, indices: Any, axis: Any = 0) -> Any:
    refuse_unless(not attributes.get("batch_dims"), "batch_dims is not supported")
    return ops.take(x, indices, axis=number(axis))


@computes("MirrorPad")
def _mirror_pad(attributes: Attributes, x: Any, padding: Any) -> Any:
    """By hand: of ``ops.pad`` symmetric padding repeats the border on PyTorch."""
    skipped = 1 if attributes["mode"] == "REFLECT" else 0
    for axis, (before, behind) in enumerate(_pairs(padding)):
        first, last = slice(skipped, skipped + before), slice(-skipped - behind, -skipped or None)
        ends = [(first, before), (last, behind)]
        above, below = ([ops.flip(_part(x, axis, part), axis)] if amount else [] for part, amount in ends)
        x = ops.concatenate([*above, x, *below], axis=axis) if above or below else x
    return x


def _part(x: Any, axis: int, part: slice) -> Any:
    return x[(*(slice(None),) * axis, part)]


def _flip(x: Any, axes: Iterable[int]) -> Any:
    """One axis after the other: Keras 3.12 takes one alone on TensorFlow."""
    return functools.reduce(ops.flip, axes, x)


@computes("Pack")
def _stack(attributes: Attributes, *tensors: Any) -> Any:
    return ops.stack(tensors, axis=attributes.get("axis", 0))


@computes("Pad", "PadV2")
def _pad(_: Attributes, x: Any, padding: Any, value: Any = 0) -> Any:
    return ops.pad(x, _pairs(padding), constant_values=value)


@computes("Rank")
def _rank(_: Attributes, x: Any) -> Any:
    return ops.convert_to_tensor(len(x.shape), "int32")


@computes("Reshape")
def _reshape(_: Attributes, x: Any, shape: Any) -> Any:
    return ops.reshape(x, sizes(shape))


@computes("ReverseV2")
def _reverse(_: Attributes, x: Any, axes: Any) -> Any:
    return _flip(x, numbers(axes))


@computes("Roll")
def _roll(_: Attributes, x: Any, shift: Any, axis: Any) -> Any:
    return ops.roll(x, tuple(numbers(shift)), tuple(numbers(axis)))


@computes("Shape")
def _shape(_: Attributes, x: Any) -> Any:
    return ops.stack(ops.shape(x))


@computes("Size")
def _size(_: Attributes, x: Any) -> Any:
    return ops.size(x)


@computes("Slice")
def _slice(_: Attributes, x: Any, begin: Any, size: Any) -> Any:
    starts = numbers(begin)
    stops = [None if extent < 0 else start + extent for start, extent in zip(starts, numbers(size), strict=True)]
    return x[tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))]


@computes("Split")
def _split(attributes: Attributes, axis: Any, x: Any) -> Any:
    return list(ops.split(x, attributes["num_split"], axis=number(axis)))


@computes("SplitV")
def _split_by_sizes(_: Attributes, x: Any, extents: Any, axis: Any) -> Any:
    along = number(axis)
    given = numbers(extents)
    rest = x.shape[along] - sum(given) - 1 if -1 in given else 0
    known = [rest if extent < 0 else extent for extent in given]
    return list(ops.split(x, np.cumsum(known)[:-1].tolist(), axis=along))


@computes("Squeeze")
def _squeeze(attributes: Attributes, x: Any) -> Any:
    axes = tuple(attributes.get("axis") or (axis for axis, size in enumerate(x.shape) if size == 1))
    return ops.squeeze(x, axes)


@computes("StridedSlice")
def _strided_slice(attributes: Attributes, x: Any, begin: Any, end: Any, strides: Any) -> Any:
    index = strided_index(attributes, begin, end, strides)
    # PyTorch takes no negative step.
    backwards = [item for item in index if isinstance(item, slice) and (item.step or 1) < 0]
    refuse_unless(all(item == slice(None, None, -1) for item in backwards), "it goes backwards through a part")
    refuse_unless(not backwards or not {None, Ellipsis} & {*map(_kind, index)}, "it goes backwards and adds an axis")
    flipped = tuple(axis for axis, item in enumerate(index) if isinstance(item, slice) and item in backwards)
    forwards = tuple(slice(None) if axis in flipped else item for axis, item in enumerate(index))
    return _flip(x, flipped)[forwards]


def _kind(item: Any) -> Any:
    return item if item in (None, Ellipsis) else type(item)


def strided_index(attributes: Attributes, begin: Any, end: Any, strides: Any) -> tuple[Any, ...]:
    """A slice of ``StridedSlice`` as Python indexes."""
    return tuple(_index(attributes, numbers(begin), numbers(end), numbers(strides)))


def _index(attributes: Attributes, begin: Sequence[int], end: Sequence[int], strides: Sequence[int]) -> Iterator[Any]:
    for axis, (start, stop, step) in enumerate(zip(begin, end, strides, strict=True)):
        if _has(attributes, "ellipsis_mask", axis):
            yield Ellipsis
        elif _has(attributes, "new_axis_mask", axis):
            yield None
        elif _has(attributes, "shrink_axis_mask", axis):
            yield start
        else:
            first = None if _has(attributes, "begin_mask", axis) else start
            yield slice(first, None if _has(attributes, "end_mask", axis) else stop, step)


def _has(attributes: Attributes, mask: str, axis: int) -> bool:
    return bool(attributes.get(mask, 0) >> axis & 1)


@computes("Tile")
def _tile(_: Attributes, x: Any, times: Any) -> Any:
    return ops.tile(x, sizes(times))


@computes("Transpose")
def _transpose(_: Attributes, x: Any, order: Any) -> Any:
    return ops.transpose(x, tuple(numbers(order)))


@computes("Unpack")
def _unstack(attributes: Attributes, x: Any) -> Any:
    return list(ops.unstack(x, attributes["num"], axis=attributes.get("axis", 0)))


@computes("SpaceToDepth")
def _space_to_depth(attributes: Attributes, x: Any) -> Any:
    channels_last(attributes)
    block, (_, height, width, channels) = attributes["block_size"], ops.shape(x)
    x = ops.reshape(x, (-1, height // block, block, width // block, block, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height // block, width // block, channels * block**2))


@computes("DepthToSpace")
def _depth_to_space(attributes: Attributes, x: Any) -> Any:
    channels_last(attributes)
    block, (_, height, width, channels) = attributes["block_size"], ops.shape(x)
    x = ops.reshape(x, (-1, height, width, block, block, channels // block**2))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height * block, width * block, channels // block**2))


@computes("SpaceToBatchND")
def _space_to_batch(_: Attributes, x: Any, block: Any, padding: Any) -> Any:
    blocks = numbers(block)
    behind = len(x.shape) - 1 - len(blocks)
    x = ops.pad(x, [(0, 0), *_pairs(padding), *[(0, 0)] * behind])
    batch, *extents = ops.shape(x)
    moved = zip(extents, blocks, strict=False)
    rest = extents[len(blocks) :]
    x = ops.reshape(x, (batch, *(item for size, side in moved for item in (size // side, side)), *rest))
    rank = len(blocks)
    sides, places = range(2, 2 * rank + 2, 2), range(1, 2 * rank + 1, 2)
    x = ops.transpose(x, (*sides, 0, *places, *range(2 * rank + 1, 2 * rank + 1 + behind)))
    inner = (size // side for size, side in zip(extents, blocks, strict=False))
    return ops.reshape(x, (batch * int(np.prod(blocks)), *inner, *rest))


@computes("BatchToSpaceND")
def _batch_to_space(_: Attributes, x: Any, block: Any, crops: Any) -> Any:
    blocks, amounts = numbers(block), _pairs(crops)
    batch, *extents = ops.shape(x)
    rank, rest = len(blocks), extents[len(blocks) :]
    images = batch // int(np.prod(blocks))
    x = ops.reshape(x, (*blocks, images, *extents))
    places = (item for axis in range(rank) for item in (rank + 1 + axis, axis))
    x = ops.transpose(x, (rank, *places, *range(2 * rank + 1, 2 * rank + 1 + len(rest))))
    grown = [size * side for size, side in zip(extents, blocks, strict=False)]
    x = ops.reshape(x, (images, *grown, *rest))
    cropped = [slice(before, size - behind) for size, (before, behind) in zip(grown, amounts, strict=True)]
    return x[(slice(None), *cropped)]


def _pairs(amounts: Any) -> list[tuple[Any, Any]]:
    """Amounts before and behind of each axis."""
    if ops.is_tensor(amounts):
        return [(amounts[axis, 0], amounts[axis, 1]) for axis in range(amounts.shape[0])]
    flat = numbers(amounts)
    return list(zip(flat[::2], flat[1::2], strict=True))
