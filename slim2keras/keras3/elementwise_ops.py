"""Ops that compute a number of numbers, and those that reduce axes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from slim2keras.keras3.op_table import (
    OPS,
    Attributes,
    Computes,
    channels_last,
    computes,
    number,
    numbers,
    refuse_unless,
)

_OF_ONE = {
    "Abs": ops.abs,
    "Acos": ops.arccos,
    "Asin": ops.arcsin,
    "Atan": ops.arctan,
    "Ceil": ops.ceil,
    "Cos": ops.cos,
    "Cosh": ops.cosh,
    "Elu": ops.elu,
    "Erf": ops.erf,
    "Erfc": lambda x: 1.0 - ops.erf(x),
    "Exp": ops.exp,
    "Expm1": ops.expm1,
    "Floor": ops.floor,
    "Identity": ops.copy,
    "Inv": ops.reciprocal,
    "L2Loss": lambda x: ops.sum(ops.square(x)) / 2.0,
    "Log": ops.log,
    "Log1p": ops.log1p,
    "LogSoftmax": ops.log_softmax,
    "LogicalNot": ops.logical_not,
    "Neg": ops.negative,
    "OnesLike": ops.ones_like,
    "Reciprocal": ops.reciprocal,
    "Relu": ops.relu,
    "Relu6": ops.relu6,
    "Rint": ops.round,
    "Round": ops.round,
    "Rsqrt": ops.rsqrt,
    "Selu": ops.selu,
    "Sigmoid": ops.sigmoid,
    "Sign": ops.sign,
    "Sin": ops.sin,
    "Sinh": ops.sinh,
    "Softmax": ops.softmax,
    "Softplus": ops.softplus,
    "Softsign": ops.softsign,
    "Sqrt": ops.sqrt,
    "Square": ops.square,
    "StopGradient": ops.stop_gradient,
    "Tan": ops.tan,
    "Tanh": ops.tanh,
    "ZerosLike": ops.zeros_like,
}
_OF_TWO = {
    "Add": ops.add,
    "AddV2": ops.add,
    "Atan2": ops.arctan2,
    "DivNoNan": ops.divide_no_nan,
    "Equal": ops.equal,
    "FloorDiv": ops.floor_divide,
    "FloorMod": ops.mod,
    "Greater": ops.greater,
    "GreaterEqual": ops.greater_equal,
    "Less": ops.less,
    "LessEqual": ops.less_equal,
    "LogicalAnd": ops.logical_and,
    "LogicalOr": ops.logical_or,
    "Maximum": ops.maximum,
    "Minimum": ops.minimum,
    "Mul": ops.multiply,
    "NotEqual": ops.not_equal,
    "Pow": ops.power,
    "RealDiv": ops.true_divide,
    "SquaredDifference": lambda x, y: ops.square(ops.subtract(x, y)),
    "Sub": ops.subtract,
}


def _mean(x: Any, **options: Any) -> Any:
    """Of whole numbers TensorFlow's op gives a whole one."""
    _refuse_whole(x)
    return ops.mean(x, **options)


_REDUCTIONS = {
    "All": ops.all,
    "Any": ops.any,
    "Max": ops.max,
    "Mean": _mean,
    "Min": ops.min,
    "Prod": ops.prod,
    "Sum": ops.sum,
}


def _plain(function: Any) -> Computes:
    return lambda _, *operands: function(*operands)


def _reduction(function: Any) -> Computes:
    def reduce(attributes: Attributes, x: Any, axes: Any) -> Any:
        # NumPy reduces everything where there are no axes, TensorFlow nothing.
        axis = tuple(numbers(axes))
        return function(x, axis=axis, keepdims=bool(attributes.get("keep_dims"))) if axis else x

    return reduce


OPS.update({name: _plain(function) for name, function in (_OF_ONE | _OF_TWO).items()})
OPS.update({name: _reduction(function) for name, function in _REDUCTIONS.items()})


@computes("AddN")
def _sum_of(_: Attributes, *tensors: Any) -> Any:
    total, *others = tensors
    for other in others:
        total = ops.add(total, other)
    return total


@computes("BiasAdd")
def _bias_add(attributes: Attributes, x: Any, bias: Any) -> Any:
    channels_last(attributes)
    return ops.add(x, bias)


@computes("Cast")
def _cast(attributes: Attributes, x: Any) -> Any:
    return ops.cast(x, attributes["DstT"])


@computes("ClipByValue")
def _clip(_: Attributes, x: Any, low: Any, high: Any) -> Any:
    return ops.minimum(ops.maximum(x, low), high)


@computes("Div")
def _divide(_: Attributes, x: Any, y: Any) -> Any:
    """Of whole numbers TensorFlow's op drops the fraction, and Python's goes down."""
    _refuse_whole(x)
    return ops.true_divide(x, y)


def _refuse_whole(x: Any) -> None:
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
    refuse_unless(is_float, "whole numbers are divided")


@computes("LeakyRelu")
def _leaky_relu(attributes: Attributes, x: Any) -> Any:
    return ops.leaky_relu(x, attributes.get("alpha", 0.2))


@computes("SelectV2")
def _select(_: Attributes, condition: Any, x: Any, y: Any) -> Any:
    return ops.where(condition, x, y)


@computes("Select")
def _select_along_batch(attributes: Attributes, condition: Any, x: Any, y: Any) -> Any:
    """A condition with one axis is one of images, where NumPy takes it along the channels."""
    if len(condition.shape) == 1:
        condition = ops.reshape(condition, (-1, *(1,) * (len(x.shape) - 1)))
    return _select(attributes, condition, x, y)


@computes("ArgMax")
def _arg_max(_: Attributes, x: Any, axis: Any) -> Any:
    return ops.cast(ops.argmax(x, axis=number(axis)), "int32")


@computes("ArgMin")
def _arg_min(_: Attributes, x: Any, axis: Any) -> Any:
    return ops.cast(ops.argmin(x, axis=number(axis)), "int32")


@computes("Cumsum")
def _cumulated_sum(attributes: Attributes, x: Any, axis: Any) -> Any:
    along = number(axis)
    given = ops.flip(x, along) if attributes.get("reverse") else x
    total = ops.cumsum(given, along)
    total = total - given if attributes.get("exclusive") else total
    return ops.flip(total, along) if attributes.get("reverse") else total


@computes("TopKV2")
def _top_k(attributes: Attributes, x: Any, k: Any) -> Any:
    return list(ops.top_k(x, number(k), sorted=bool(attributes.get("sorted", True))))


@computes("OneHot")
def _one_hot(attributes: Attributes, indices: Any, depth: Any, on: Any, off: Any) -> Any:
    hot = ops.one_hot(
        indices, number(depth), axis=attributes.get("axis", -1), dtype=keras.backend.standardize_dtype(on.dtype)
    )
    return hot * (on - off) + off
