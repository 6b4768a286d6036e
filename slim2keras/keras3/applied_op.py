"""An op of TensorFlow with its constants, and with the sizes that are computed for it, on any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from slim2keras.keras3 import elementwise_ops, network_ops, shape_ops
from slim2keras.keras3.op_table import OPS, NotOnEveryBackendError
from slim2keras.keras3.sizes import OF_NUMBERS

Operand = Mapping[str, Any] | None
"""``None`` for the next tensor, a constant ``{"dtype": "int32", "value": [0, -1]}``, or an op that computes a size."""

_OF_32_BITS = {"int64": "int32"}
"""JAX has whole numbers of 32 bits, and those of a network fit into them."""
_TABLE_OF = (elementwise_ops, network_ops, shape_ops)
"""Modules that fill the table of ops when they are imported."""


@dataclass(frozen=True, eq=False)
class AppliedOp:
    """An op with what it is applied to.

    Attributes:
        op: Name in ``tf.raw_ops``.
        attributes: Of the op, plain values.
        operands: In the op's order: ``None`` for the next tensor, else a constant or an op of sizes.
        output: Which output of the op is the result.
    """

    op: str
    attributes: Mapping[str, Any]
    operands: tuple[np.ndarray[Any, Any] | AppliedOp | None, ...]
    output: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AppliedOp:
        """Of plain values.

        Raises:
            NotOnEveryBackendError: If ``keras.ops`` has no equal of an op.
        """
        if config["op"] not in OPS:
            raise NotOnEveryBackendError("keras.ops has no equal of it")
        operands = tuple(map(_operand, config["operands"]))
        attributes = {name: _OF_32_BITS.get(str(value), value) for name, value in config["attributes"].items()}
        return cls(config["op"], attributes, operands, int(config.get("output", 0)))

    def to_config(self) -> dict[str, Any]:
        """The reverse."""
        operands = [item.to_config() if isinstance(item, AppliedOp) else _plain(item) for item in self.operands]
        return {"op": self.op, "attributes": dict(self.attributes), "operands": operands, "output": self.output}

    def to(self, tensors: Sequence[Any]) -> Any:
        """The result on tensors, of which ops of sizes among the operands take theirs in order."""
        return self.computed_from(iter(tensors))

    def computed_from(self, left: Iterator[Any]) -> Any:
        """The result on the next tensors of those that are left."""
        given = [next(left) if item is None else item for item in self._with_sizes(left)]
        if self.op == "Shape":
            return _shape_of(given[0])
        if self.op in OF_NUMBERS and all(isinstance(item, np.ndarray) for item in given):
            return OF_NUMBERS[self.op](self.attributes, *given)
        dtype = next((item.dtype for item in given if ops.is_tensor(item) and _is_float(item)), None)
        found = OPS[self.op](self.attributes, *(_in_dtype(item, dtype) for item in given))
        return found[self.output] if isinstance(found, list) else found

    def _with_sizes(self, left: Iterator[Any]) -> Iterator[Any]:
        for item in self.operands:
            yield item.computed_from(left) if isinstance(item, AppliedOp) else item

    def result_in_tensorflow(self, tensors: Sequence[Any], outputs_of: Callable[..., list[Any]]) -> Any:
        """The result as TensorFlow's own ops give it.

        Args:
            outputs_of: ``keras_layers.outputs_of``.
        """
        left = iter(tensors)

        def computed(applied: AppliedOp) -> Any:
            given = [
                computed(item) if isinstance(item, AppliedOp) else next(left) if item is None else item
                for item in applied.operands
            ]
            return outputs_of(applied.op, applied.attributes, given)[applied.output]

        return computed(self)


def _operand(config: Operand) -> Any:
    if config is None:
        return None
    if "op" in config:
        return AppliedOp.from_config(config)
    value = np.asarray(config["value"], config["dtype"])
    if value.dtype.name not in _OF_32_BITS:
        return value
    # A slice that goes to the end may say so by the largest number that there is.
    return value.clip(np.iinfo("int32").min, np.iinfo("int32").max).astype("int32")


def _plain(constant: np.ndarray[Any, Any] | None) -> Operand:
    return None if constant is None else {"dtype": constant.dtype.name, "value": constant.tolist()}


def _shape_of(tensor: Any) -> Any:
    """As plain numbers, unless TensorFlow compiles for any size."""
    shape = ops.shape(tensor)
    return np.asarray(shape, "int32") if all(isinstance(size, int) for size in shape) else ops.stack(shape)


def _is_float(item: Any) -> bool:
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(item.dtype)))


def _in_dtype(operand: Any, dtype: Any) -> Any:
    """A constant of floats as a tensor in the dtype of the others; whole numbers, which may be sizes, as they are."""
    if ops.is_tensor(operand) or operand.dtype.kind != "f":
        return operand
    return ops.convert_to_tensor(operand, dtype)
