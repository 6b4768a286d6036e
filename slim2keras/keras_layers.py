"""Layers of our own, for what no composition of stock Keras layers computes.

A model with such a layer needs this module to be importable where it is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.graphs.pure_ops import FLOAT32_OPS, LIST_LENGTHS, LIST_OPERANDS, MOST_IN_LIST, PURE_OPS

_CONSTANT_DTYPES = ("bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint16", "uint8")
_MOST_AXES = 8


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class LocalResponseNormalization(tf_keras.layers.Layer):  # type: ignore[misc]
    """``tf.nn.lrn``: divide by ``(bias + alpha * sum of squares over near channels) ** beta``. CifarNet needs it.

    Stock layers add, multiply, divide by norms and take exponentials; none takes a logarithm or a power, so the
    exponent 0.75 is out of their reach.

    Args:
        depth_radius: Channels to each side that belong to the sum.

    Source: A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, section 3.3.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.constants = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise (batch, height, width, channels)."""
        # There is no kernel in bfloat16, and on GPUs none in float16.
        return tf.cast(tf.nn.lrn(tf.cast(inputs, tf.float32), **self.constants), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), **self.constants}


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class TensorFlowOp(tf_keras.layers.Layer):  # type: ignore[misc]
    """One op of TensorFlow that only computes, with constants among its operands. Imported graphs need it.

    Unlike ``TFOpLambda`` it takes no function's name but one of the list ``PURE_OPS``, and operands in the order of the
    op. Called on the tensors that are no constants: one, or a list of them. They need not be batches, nor of floats.

    Args:
        op: Name in ``tf.raw_ops``.
        attributes: Of the op, plain values; dtypes by name. Those that follow from the operands are left out.
        operands: In the op's order: ``None`` for the next tensor that the layer is called on, else a constant,
            ``{"dtype": "int32", "value": [0, -1]}``. Constants of floats take the dtype of the tensors.
        output: Which output of the op is the layer's.

    Raises:
        UnsupportedArgumentError: If the op is not in the list, or does not take these operands and attributes.

    Examples:
        >>> from slim2keras.keras_layers import TensorFlowOp
        >>> rows = TensorFlowOp("Reshape", {}, [None, {"dtype": "int32", "value": [-1, 8]}])
        >>> rows(tf.zeros((4, 4))).shape
        TensorShape([2, 8])
    """

    def __init__(
        self,
        op: str,
        attributes: Mapping[str, Any],
        operands: Sequence[Mapping[str, Any] | None],
        output: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._applied = _AppliedOp.make(op, attributes, operands, output)

    def call(self, inputs: Any) -> tf.Tensor:
        """Apply the op to a tensor, or to a list of them, of any shapes."""
        # There is no Python in it that depends on values, and AutoGraph takes its time.
        apply = tf.autograph.experimental.do_not_convert(self._applied.to)
        return apply(list(inputs) if isinstance(inputs, list | tuple) else [inputs])

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), **self._applied.to_config()}


@dataclass(frozen=True, eq=False)
class _AppliedOp:
    """An op with its constants; arguments as in ``TensorFlowOp``."""

    op: str
    attributes: Mapping[str, Any]
    operands: tuple[np.ndarray[Any, Any] | None, ...]
    output: int

    @classmethod
    def make(cls, op: Any, attributes: Any, operands: Any, output: Any) -> _AppliedOp:
        """Check arguments, which may come from anybody's file."""
        if not isinstance(op, str) or op not in PURE_OPS:
            raise UnsupportedArgumentError(
                f"op must be one of the ops that only compute, see graphs.pure_ops. Received: op={op!r}."
                f"{did_you_mean(str(op), PURE_OPS)}"
            )
        if not isinstance(operands, list | tuple) or None not in operands:
            raise UnsupportedArgumentError(f"operands of {op} must be a list with a None. Received: {operands!r:.200}")
        if type(output) is not int or output < 0:
            raise UnsupportedArgumentError(f"output of {op} must be 0 or greater. Received: output={output!r}")
        made = cls(op, _plain_attributes(op, attributes), tuple(map(_constant, operands)), output)
        made._check_names()
        return made

    def _check_names(self) -> None:
        operands, attributes = self._names
        missing = [name for name in attributes if name not in self.attributes and not self._has_default(name)]
        if missing or not {*self.attributes} <= {*attributes}:
            raise UnsupportedArgumentError(
                f"{self.op} takes the operands {', '.join(operands)} and the attributes {', '.join(attributes)}. "
                f"Received: {len(self.operands)} operands, attributes={dict(self.attributes)!r:.200}"
            )

    def _has_default(self, name: str) -> bool:
        return inspect.signature(getattr(tf.raw_ops, self.op)).parameters[name].default is not inspect.Parameter.empty

    @property
    def _names(self) -> tuple[list[str], list[str]]:
        """Names of operands and of attributes, in this order in the signature of the op."""
        names = [name for name in inspect.signature(getattr(tf.raw_ops, self.op)).parameters if name != "name"]
        count = len(self.grouped(self.operands))
        return names[:count], names[count:]

    def grouped(self, operands: Sequence[Any]) -> list[Any]:
        """Operands as ``tf.raw_ops`` takes them, those that are of a list in one."""
        if self.op not in LIST_OPERANDS:
            return list(operands)
        before, after = LIST_OPERANDS[self.op]
        end = len(operands) - after
        return [*operands[:before], list(operands[before:end]), *operands[end:]]

    def to(self, tensors: list[Any]) -> tf.Tensor:
        """The output of the op on tensors."""
        outputs = self.all_outputs(tensors)
        if self.output >= len(outputs):
            raise UnsupportedArgumentError(f"{self.op} has {len(outputs)} outputs. Received: output={self.output}")
        return outputs[self.output]

    def all_outputs(self, tensors: list[Any]) -> list[tf.Tensor]:
        """All outputs of the op."""
        wanted = sum(item is None for item in self.operands)
        if len(tensors) != wanted:
            raise UnsupportedArgumentError(f"{self.op} takes {wanted} tensors. Received: {len(tensors)}")
        dtype = next((tensor.dtype for tensor in tensors if tensor.dtype.is_floating), None)
        computed = tf.float32 if self.op in FLOAT32_OPS else dtype
        given = iter(tensors)
        operands = [_in_dtype(next(given) if item is None else tf.constant(item), computed) for item in self.operands]
        arguments = dict(zip(self._names[0], self.grouped(operands), strict=True)) | dict(self.attributes)
        found = getattr(tf.raw_ops, self.op)(**arguments)
        outputs = found if isinstance(found, list | tuple) else [found]
        return [_in_dtype(output, dtype if self.op in FLOAT32_OPS else None) for output in outputs]

    def to_config(self) -> dict[str, Any]:
        """As plain values."""
        constants = [
            None if item is None else {"dtype": item.dtype.name, "value": item.tolist()} for item in self.operands
        ]
        return {"op": self.op, "attributes": dict(self.attributes), "operands": constants, "output": self.output}


def outputs_of(op: str, attributes: Mapping[str, Any], tensors: list[Any]) -> list[tf.Tensor]:
    """All outputs of an op on tensors, as ``TensorFlowOp`` applies it.

    Raises:
        UnsupportedArgumentError: As ``TensorFlowOp``.
    """
    return _AppliedOp.make(op, attributes, [None] * len(tensors), 0).all_outputs(tensors)


def _plain_attributes(op: str, attributes: Any) -> dict[str, Any]:
    """Attributes with lists for tuples; numbers, strings, and lists of them."""
    plain = (bool, int, float, str)
    if not isinstance(attributes, Mapping):
        raise UnsupportedArgumentError(f"attributes of {op} must be a mapping. Received: {attributes!r:.200}")
    for name, value in attributes.items():
        if not all(isinstance(item, plain) for item in (value if isinstance(value, list | tuple) else [value])):
            raise UnsupportedArgumentError(f"attribute {name!r} of {op} must be plain. Received: {value!r:.200}")
        if isinstance(value, list | tuple) and any(type(item) is int and abs(item) >= 2**31 for item in value):
            raise UnsupportedArgumentError(f"{name} of {op} must be of 32 bits. Received: {name}={value!r:.200}")
        if name in LIST_LENGTHS and isinstance(value, int) and value > MOST_IN_LIST:
            raise UnsupportedArgumentError(f"{name} of {op} must be {MOST_IN_LIST} or less. Received: {name}={value}")
    return {str(name): list(value) if isinstance(value, list | tuple) else value for name, value in attributes.items()}


def _constant(operand: Any) -> np.ndarray[Any, Any] | None:
    if operand is None:
        return None
    try:
        dtype, value = operand["dtype"], operand["value"]
        if dtype not in _CONSTANT_DTYPES:
            raise TypeError(f"dtype {dtype!r}")
        return np.asarray(value, dtype)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UnsupportedArgumentError(
            f'an operand must be None or {{"dtype": "int32", "value": [0, 1]}}: {error}. Received: {operand!r:.200}'
        ) from error


def _in_dtype(tensor: tf.Tensor, dtype: tf.DType | None) -> tf.Tensor:
    """A tensor of floats in a dtype of floats; any other as it is."""
    return tf.cast(tensor, dtype) if dtype is not None and tensor.dtype.is_floating else tensor


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class LooseVariable(tf_keras.layers.Layer):  # type: ignore[misc]
    """A variable that belongs to no layer: a scale, a table of positions. Imported graphs need it.

    Stock layers have variables only beside the arithmetic that they are for. It is called on any tensor, which is
    ignored: a functional model has nothing that depends on no input.

    Args:
        shape: Of the variable.
        initializer: As in ``add_weight``.
        regularizer: As in ``add_weight``.

    Raises:
        UnsupportedArgumentError: If the shape is none.
    """

    def __init__(
        self, shape: Sequence[int], initializer: Any = "zeros", regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        sizes = tuple(shape) if isinstance(shape, list | tuple) else None
        if sizes is None or len(sizes) > _MOST_AXES or not all(type(size) is int and size >= 0 for size in sizes):
            raise UnsupportedArgumentError(
                f"shape must be a list of at most {_MOST_AXES} sizes, 0 or greater. Received: shape={shape!r:.200}"
            )
        self.shape = sizes
        self.initializer = tf_keras.initializers.get(initializer)
        self.regularizer = tf_keras.regularizers.get(regularizer)

    def build(self, input_shape: Any) -> None:
        """Make the variable."""
        self.variable = self.add_weight(
            "variable", self.shape, initializer=self.initializer, regularizer=self.regularizer
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> tf.Tensor:  # noqa: ARG002
        """The variable, of ``shape``, whatever the inputs are."""
        return tf.cast(tf.convert_to_tensor(self.variable), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {
            **super().get_config(),
            "shape": list(self.shape),
            "initializer": tf_keras.initializers.serialize(self.initializer),
            "regularizer": tf_keras.regularizers.serialize(self.regularizer),
        }
