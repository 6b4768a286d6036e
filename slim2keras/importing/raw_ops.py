"""Ops that no stock layer computes, each as a layer ``TensorFlowOp``, and the shapes that they give."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.pure_ops import PURE_OPS
from slim2keras.importing.batch_norms import FUSED
from slim2keras.importing.node import Node
from slim2keras.importing.nodes import LARGEST_CONSTANT
from slim2keras.importing.plain_layers import concatenated, reshaped
from slim2keras.importing.shape_arithmetic import computed_with_sizes
from slim2keras.importing.sizes import Size, broadcast, known, open_size
from slim2keras.importing.translation import Activation, Known, Translation, Value, is_batched

_ELEMENTWISE = frozenset(
    {"Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "FloorDiv", "FloorMod", "Mod", "Maximum", "Minimum"}
    | {"Pow", "SquaredDifference", "Abs", "Neg", "Exp", "Expm1", "Log", "Log1p", "Sqrt", "Rsqrt", "Square"}
    | {"Reciprocal", "Inv", "Sign", "Floor", "Ceil", "Round", "Rint", "Tanh", "Sigmoid", "Softplus", "Softsign"}
    | {"Sin", "Cos", "Tan", "Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Softmax", "LogSoftmax", "AddN", "BiasAdd"}
    | {"Cast", "ClipByValue", "Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual", "LogicalAnd"}
    | {"StopGradient"}
    | {"LogicalOr", "LogicalNot", "SelectV2", "ZerosLike", "OnesLike", "LRN", "Erf", "Erfc"}
)
_RENAMED = {("Squeeze", "squeeze_dims"): "axis"}
"""Attributes that ``tf.raw_ops`` calls otherwise than the graph."""
_TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")
_OVER_ALL = "computes over all images at inference too"
_LARGEST_AT_ONCE = 2**22
"""Numbers of a constant that is computed of constants."""
_REDUCTIONS = frozenset({"Sum", "Mean", "Max", "Min", "Prod", "All", "Any"})


def raw_op(translation: Translation, node: Node) -> Sequence[Value]:
    """A layer that applies an op of TensorFlow.

    Raises:
        UnsupportedGraphError: If the op may do more than compute, or its result has a shape that cannot be told.
    """
    of_sizes = computed_with_sizes(translation, node)
    computed = _computed_at_once(translation, node) if of_sizes is None else [of_sizes]
    if computed is not None:
        return computed
    if node.op not in PURE_OPS:
        raise UnsupportedGraphError(f"{node.name}: {node.op} is not imported with these inputs.")
    values = [translation.value(item) for item in node.inputs]
    operands = [_constant_operand(translation, node, index, value) for index, value in enumerate(values)]
    tensors = [
        _with_open_sizes(translation, item, value) if operand is None else None
        for item, value, operand in zip(node.inputs, values, operands, strict=True)
    ]
    shapes = [value.shape for value in values]
    results = _result_shapes(translation, node, values, shapes)
    config = {"op": node.op, "attributes": _attributes(node), "operands": operands}
    baked = values[0].value if isinstance(values[0], Known) and node.op in _TRANSPOSED else None
    if baked is not None and translation.facts.baked_batch is not None and operands[0] is not None:
        operands[0], tensors[0] = None, _with_own_batch(translation, node, baked)
    inputs = [item for item in tensors if item is not None]
    if not inputs:
        raise UnsupportedGraphError(f"{node.name}: {node.op} takes nothing that depends on the input.")
    outputs = []
    for index, (shape, dtype) in enumerate(results):
        numbered = {**config, "output": index} if index else config
        name = f"{node.name}_{index}" if index else node.name
        outputs.append(translation.add(node, "TensorFlowOp", numbered, inputs, shape, dtype=dtype, name=name))
    return outputs


def _computed_at_once(translation: Translation, node: Node) -> list[Value] | None:
    """What an op gives of constants alone, ``None`` where it takes anything else, or gives much of little."""
    values = [translation.value(item) for item in node.inputs]
    constants = [value for value in values if isinstance(value, Known) and value.is_constant]
    if not values or len(constants) < len(values) or node.op not in PURE_OPS:
        return None
    shapes = [shape for shape, _ in _asked_of_tensorflow(node, values)]
    numbers = [math.prod(size for size in shape if isinstance(size, int)) for shape in shapes]
    if max(numbers) > _LARGEST_AT_ONCE:
        return None
    import tensorflow as tf

    from slim2keras.keras_layers import outputs_of

    tensors = [tf.constant(value.value) for value in constants]
    return [Known(output.numpy()) for output in outputs_of(node.op, _attributes(node), tensors)]


def _constant_operand(translation: Translation, node: Node, index: int, value: Value) -> Any:
    """An input that is written into the layer, ``None`` where it is a tensor."""
    if not isinstance(value, Known):
        return None
    array = value.value
    if not value.is_constant:
        freed = _freed(translation, node, index, value)
        if freed is None:
            return None
        array = freed
    elif node.op == "Reshape" and index == 1:
        array = _target(translation, node, value)
    elif translation.facts.baked_batch is not None:
        array = _without_batch(translation, node, index, array)
    if array.size > LARGEST_CONSTANT and array.dtype.kind == "f":
        return None
    return {"dtype": array.dtype.name, "value": array.tolist()}


def _without_batch(translation: Translation, node: Node, index: int, array: Any) -> Any:
    """The extent of a slice of all images, the number of images left open."""
    first = translation.value(node.inputs[0])
    begins_at_0 = len(node.inputs) > 1 and isinstance(begin := translation.value(node.inputs[1]), Known)
    if node.op != "Slice" or index != 2 or not isinstance(first, Activation) or not begins_at_0:
        return array
    assert isinstance(begin, Known)
    is_all = begin.value[0] == 0 and array[0] == translation.facts.baked_batch and not isinstance(first.shape[0], int)
    return np.asarray([-1, *array[1:]], array.dtype) if is_all else array


def _target(translation: Translation, node: Node, value: Known) -> Any:
    """The target of a reshape, the number of images left open."""
    shape = translation.value(node.inputs[0]).shape
    freed = reshaped(shape, tuple(value.value.ravel()), translation.facts.baked_batch)
    sizes = None if freed is None else [known(size) for size in freed]
    if sizes is None or sizes.count(None) > 1:
        return value.value
    return np.asarray([-1 if size is None else size for size in sizes], "int32")


def _freed(translation: Translation, node: Node, index: int, value: Known) -> Any:
    """Open sizes of a reshape as -1, where one is enough."""
    if node.op != "Reshape" or index != 1:
        return None
    sizes = [known(size) if not isinstance(size, int | np.integer) else int(size) for size in value.value.ravel()]
    return np.asarray([-1 if size is None else size for size in sizes], "int32") if sizes.count(None) == 1 else None


def _with_own_batch(translation: Translation, node: Node, sizes: Any) -> Activation:
    """The output shape of a transposed convolution with the number of images that goes in."""
    x = translation.activation(node.inputs[2])
    names = (f"{node.name}/Shape", f"{node.name}/batch", f"{node.name}/output_shape")
    shape = {"op": "Shape", "attributes": {}, "operands": [None]}
    every = translation.add(Node(names[0], "Shape"), "TensorFlowOp", shape, [x], (len(x.shape),), dtype="int32")
    first: list[Any] = [None, _of_ints([0]), _of_ints([1])]
    slice_config = {"op": "Slice", "attributes": {}, "operands": first}
    batch = translation.add(Node(names[1], "Slice"), "TensorFlowOp", slice_config, [every], (1,))
    joined = {"op": "ConcatV2", "attributes": {}, "operands": [None, _of_ints(sizes[1:]), _of_ints(0)]}
    return translation.add(Node(names[2], "ConcatV2"), "TensorFlowOp", joined, [batch], (len(sizes),))


def _of_ints(values: Any) -> dict[str, Any]:
    return {"dtype": "int32", "value": np.asarray(values, "int32").tolist()}


def _with_open_sizes(translation: Translation, tensor: str, value: Value) -> Activation:
    """A tensor as an activation; one of open sizes is computed by layers, as the graph does it."""
    if not isinstance(value, Known) or value.is_constant:
        return translation.activation(tensor)
    key = translation.nodes.source(tensor)
    made = translation.dynamic.get(key)
    if made is None:
        made = translation.dynamic[key] = _computed_by_layers(translation, tensor, value)
    return made


def _computed_by_layers(translation: Translation, tensor: str, value: Known) -> Activation:
    node = translation.nodes.node(tensor)
    if node is None or node.op not in PURE_OPS:
        raise UnsupportedGraphError(f"{tensor} is a size that is open, and cannot be computed.")
    operands: list[Any] = []
    inputs: list[Activation] = []
    for item in node.inputs:
        of_item = translation.value(item)
        if isinstance(of_item, Known) and of_item.is_constant:
            operands.append({"dtype": of_item.value.dtype.name, "value": of_item.value.tolist()})
        else:
            operands.append(None)
            inputs.append(_with_open_sizes(translation, item, of_item))
    config = {"op": node.op, "attributes": _attributes(node), "operands": operands}
    return translation.add(node, "TensorFlowOp", config, inputs, tuple(value.shape), dtype=value.dtype)


@functools.lru_cache
def _parameters(op: str) -> frozenset[str]:
    import tensorflow as tf

    return frozenset(inspect.signature(getattr(tf.raw_ops, op)).parameters)


def _attributes(node: Node) -> dict[str, Any]:
    """Attributes of a node that the op takes, as plain values."""
    import tensorflow as tf

    renamed = {_RENAMED.get((node.op, name), name): value for name, value in node.attr.items()}
    taken = {name: value for name, value in renamed.items() if name in _parameters(node.op)}
    if node.op == "LeakyRelu" and node.facts is not None:
        return {"alpha": node.facts}
    return {name: _plain(value, tf) for name, value in taken.items()}


def _plain(value: Any, tf: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "type":
        return tf.as_dtype(value.type).base_dtype.name
    if kind == "s":
        return value.s.decode()
    if kind == "shape":
        return [axis.size for axis in value.shape.dim]
    if kind == "list":
        return next((list(items) for items in (value.list.i, value.list.f, value.list.b) if items), [])
    return getattr(value, kind)


def _result_shapes(
    translation: Translation, node: Node, values: Sequence[Value], shapes: list[tuple[Size, ...]]
) -> list[tuple[tuple[Size, ...], str]]:
    """Shape and dtype of each output."""
    dtype = values[0].dtype
    if node.op in ("Select", "SelectV2"):
        dtype = values[1].dtype
    if node.op in _ELEMENTWISE:
        return [(broadcast(shapes), _dtype_of(node, dtype))]
    if node.op in FUSED:
        per_channel: tuple[Size, ...] = (shapes[0][-1],)
        return [(shapes[0], dtype), (per_channel, dtype), (per_channel, dtype)]
    axes = values[1] if len(values) > 1 else None
    if node.op in _REDUCTIONS and isinstance(axes, Known):
        _remark_on_batch(translation, node, values[0], axes)
        return [(_reduced(shapes[0], axes, keep=node.flag("keep_dims")), dtype)]
    known_shape = _SHAPES.get(node.op)
    shape = None if known_shape is None else known_shape(translation, node, values)
    return _asked_of_tensorflow(node, values) if shape is None else [(shape, dtype)]


def _remark_on_batch(translation: Translation, node: Node, value: Value, axes: Known) -> None:
    """Say of the first op that computes over all images that it does."""
    said = any(_OVER_ALL in remark for remark in translation.remarks)
    if is_batched(value) and 0 in np.atleast_1d(axes.value) and not said:
        translation.remarks.append(f"{node.name} {_OVER_ALL}: what the network says of one depends on the others.")


def _dtype_of(node: Node, dtype: str) -> str:
    if node.op == "Cast":
        return node.dtype("DstT")
    compares = ("Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual")
    return "bool" if node.op in compares or node.op.startswith("Logical") else dtype


def _reduced(shape: tuple[Size, ...], axes: Known, *, keep: bool) -> tuple[Size, ...]:
    gone = {int(axis) % len(shape) for axis in np.atleast_1d(axes.value)}
    kept = [1 if axis in gone else size for axis, size in enumerate(shape) if keep or axis not in gone]
    return tuple(kept)


def _resized(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    images, size = values[0].shape, values[1]
    if not isinstance(size, Known):
        return None
    height, width = map(_size, size.value)
    return (images[0], height, width, images[-1])


def _concatenated(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    axis = values[-1]
    if not isinstance(axis, Known):
        return None
    shapes = [value.shape for value in values[:-1]]
    return concatenated(shapes, int(axis.value) % len(shapes[0]))


def _reshaped_to(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    target = values[1]
    if not isinstance(target, Known):
        return None
    return reshaped(values[0].shape, tuple(target.value.ravel()), translation.facts.baked_batch)


def _padded(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    amounts = values[1]
    if not isinstance(amounts, Known):
        return None
    rows = amounts.value.tolist()
    return tuple(size + before + after for size, (before, after) in zip(values[0].shape, rows, strict=True))


def _depth_to_space(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...]:
    batch, height, width, channels = values[0].shape
    block = node.attr["block_size"].i
    if node.op == "DepthToSpace":
        return batch, height * block, width * block, channels // (block * block)
    return batch, height // block, width // block, channels * (block * block)


def _transposed(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    order = values[1]
    return tuple(values[0].shape[int(axis)] for axis in order.value) if isinstance(order, Known) else None


def _matrix_product(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...]:
    one, other = (value.shape for value in values)
    flips = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
    rows = one[-1] if node.flag(flips[0]) else one[-2]
    columns = other[-2] if node.flag(flips[1]) else other[-1]
    return (*broadcast([one[:-2], other[:-2]]), rows, columns)


def _transposed_convolution(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    """The sizes are those asked for; images and filters are known from what goes in."""
    asked, weights, x = values
    if not isinstance(asked, Known):
        return None
    return (x.shape[0], *(_size(item) for item in asked.value[1:-1]), weights.shape[-2])


def _size(item: Any) -> Size:
    return int(item) if isinstance(item, int | np.integer) else item


def _tiled(translation: Translation, node: Node, values: Sequence[Value]) -> tuple[Size, ...] | None:
    times = values[1]
    if not isinstance(times, Known):
        return None
    return tuple(size * item for size, item in zip(values[0].shape, times.value.tolist(), strict=True))


_SHAPES: Mapping[str, Callable[..., tuple[Size, ...] | None]] = {
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea"), _resized),
    "ConcatV2": _concatenated,
    "Reshape": _reshaped_to,
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _padded),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _depth_to_space),
    "Transpose": _transposed,
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2"), _matrix_product),
    "Tile": _tiled,
    **dict.fromkeys(_TRANSPOSED, _transposed_convolution),
}


def _asked_of_tensorflow(node: Node, values: Sequence[Value]) -> list[tuple[tuple[Size, ...], str]]:
    """Shapes and dtypes as TensorFlow infers them; what stays open there is open, the batch of the first the batch."""
    import tensorflow as tf

    from slim2keras.keras_layers import outputs_of

    with tf.Graph().as_default():
        try:
            several = outputs_of(node.op, _attributes(node), [_stand_in(value, tf) for value in values])
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise UnsupportedGraphError(f"{node.name}: {node.op} cannot be applied: {error}") from error
    return [(_sizes(node, index, item, values), item.dtype.name) for index, item in enumerate(several)]


_KEEP_BATCH = frozenset(
    {"Conv2D", "Conv3D", "DepthwiseConv2dNative", "MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D", "MaxPoolWithArgmax"}
    | {"Split", "SplitV", "Unpack", "ArgMax", "ArgMin", "Cumsum", "Cumprod", "OneHot", "TopKV2", "Dilation2D", "Einsum"}
    | {"ExtractImagePatches", "ExpandDims", "Squeeze", "Select", "Reverse", "ReverseV2", "MatMul", "GatherV2", "Pack"}
)
"""Ops whose first axis is that of the images if it stays open."""


def _stand_in(value: Value, tf: Any) -> Any:
    if isinstance(value, Known) and value.is_constant:
        return tf.constant(value.value)
    shape = [known(size) for size in value.shape]
    return tf.compat.v1.placeholder(value.dtype, shape)


def _sizes(node: Node, index: int, result: Any, values: Sequence[Value]) -> tuple[Size, ...]:
    if result.shape.rank is None:
        raise UnsupportedGraphError(f"{node.name}: the shape of what {node.op} gives cannot be told.")
    first = next((value.shape for value in values if isinstance(value, Activation)), ())
    sizes: list[Size] = []
    for axis, size in enumerate(result.shape.as_list()):
        if size is not None:
            sizes.append(size)
        else:
            sizes.append(
                first[0] if axis == 0 and first and node.op in _KEEP_BATCH else open_size(node.name, index, axis)
            )
    return tuple(sizes)
