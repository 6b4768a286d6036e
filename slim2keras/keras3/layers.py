"""Keras 3 layers of our own, for what no composition of its stock layers computes; on every backend.

A model with such a layer needs ``import slim2keras.keras3`` before it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from slim2keras.errors import UnsupportedGraphError
from slim2keras.keras3 import elementwise_ops, network_ops, shape_ops  # noqa: F401  they fill the table
from slim2keras.keras3 import elementwise_ops, network_ops, shape_ops
from slim2keras.keras3.naming import to_slim_name
from slim2keras.keras3.op_table import OPS, NotOnEveryBackendError
from slim2keras.keras3.registration import registered

_TABLE_OF = (elementwise_ops, network_ops, shape_ops)
"""Modules that fill the table of ops when they are imported."""


@registered
class LocalResponseNormalization(keras.layers.Layer):  # type: ignore[misc]
    """``tf.nn.lrn``: divide by ``(bias + alpha * sum of squares over near channels) ** beta``.

    Args:
        depth_radius: Channels to each side that belong to the sum.

    Source: A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, section 3.3.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.constants = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}

    def call(self, inputs: Any) -> Any:
        """Normalise (batch, height, width, channels)."""
        return apply_op("LRN", self.constants, [inputs])[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As that of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), **self.constants}


@registered
class LooseVariable(keras.layers.Layer):  # type: ignore[misc]
    """A variable that belongs to no layer: a scale, a table of positions. Imported graphs need it.

    Args:
        shape: Of the variable.
        initializer: As in ``add_weight``.
        regularizer: As in ``add_weight``.
    """

    def __init__(
        self, shape: Sequence[int], initializer: Any = "zeros", regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.sizes = tuple(shape)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape: Any) -> None:  # noqa: ARG002  as Keras calls it
        """Make the variable."""
        self.variable = self.add_weight(
            shape=self.sizes, initializer=self.initializer, regularizer=self.regularizer, name="variable"
        )

    def call(self, inputs: Any) -> Any:  # noqa: ARG002
        """The variable, of ``shape``, whatever the inputs are."""
        return ops.cast(self.variable, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int, ...]:  # noqa: ARG002
        """As that of the variable."""
        return self.sizes

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {
            **super().get_config(),
            "shape": list(self.sizes),
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }


@registered
class TensorFlowOp(keras.layers.Layer):  # type: ignore[misc]
    """One op of TensorFlow that only computes, written with ``keras.ops``. Imported graphs need it.

    Called on the tensors that are no constants: one, or a list of them. They need not be batches, nor of floats.

    Args:
        op: Name in ``tf.raw_ops``.
        attributes: Of the op, plain values.
        operands: In the op's order: ``None`` for the next tensor that the layer is called on, else a constant,
            ``{"dtype": "int32", "value": [0, -1]}``.
        output: Which output of the op is the layer's.

    Raises:
        UnsupportedGraphError: If ``keras.ops`` has no equal of the op.
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
        self.op, self.output_number = op, output
        # Past Keras, which would track them as state.
        vars(self)["_given"] = (dict(attributes), [_constant(item) for item in operands])

    def call(self, inputs: Any) -> Any:
        """Apply the op to a tensor, or to a list of them, of any shapes."""
        tensors = iter(inputs if isinstance(inputs, list | tuple) else [inputs])
        attributes, operands = vars(self)["_given"]
        given = [next(tensors) if item is None else item for item in operands]
        dtype = next((item.dtype for item in given if ops.is_tensor(item) and _is_float(item)), None)
        try:
            return apply_op(self.op, attributes, [_in_dtype(item, dtype) for item in given])[self.output_number]
        except NotOnEveryBackendError as error:
            raise UnsupportedGraphError(
                f"{to_slim_name(self.name)}: {self.op} is not possible in Keras 3: {error}."
            ) from error

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        attributes, operands = vars(self)["_given"]
        constants = [None if item is None else {"dtype": item.dtype.name, "value": item.tolist()} for item in operands]
        given = {"op": self.op, "attributes": attributes, "operands": constants, "output": self.output_number}
        return {**super().get_config(), **given}


def apply_op(op: str, attributes: Mapping[str, Any], operands: Sequence[Any]) -> list[Any]:
    """All outputs of an op."""
    if op not in OPS:
        raise NotOnEveryBackendError("keras.ops has no equal of it")
    found = OPS[op](attributes, *operands)
    return found if isinstance(found, list) else [found]


def _constant(operand: Mapping[str, Any] | None) -> Any:
    return None if operand is None else np.asarray(operand["value"], operand["dtype"])


def _is_float(item: Any) -> bool:
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(item.dtype)))


def _in_dtype(operand: Any, dtype: Any) -> Any:
    """A constant of floats as a tensor in the dtype of the others; whole numbers, which may be sizes, as they are."""
    if ops.is_tensor(operand) or operand.dtype.kind != "f":
        return operand
    return ops.convert_to_tensor(operand, dtype)
