"""What computes an op of TensorFlow on any backend: a table that the modules beside it fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from slim2keras.errors import UnsupportedGraphError

Attributes = Mapping[str, Any]
Computes = Callable[..., Any]
"""Attributes, then the operands in the op's order; one output, or a list of them."""

OPS: dict[str, Computes] = {}


class NotOnEveryBackendError(UnsupportedGraphError):
    """An op, or a way of calling it, that ``keras.ops`` has no equal of."""


def computes(*names: str) -> Callable[[Computes], Computes]:
    """Register what computes some ops, by the names of ``tf.raw_ops``."""

    def register(function: Computes) -> Computes:
        OPS.update(dict.fromkeys(names, function))
        return function

    return register


def refuse_unless(condition: object, what: str) -> None:
    """Refuse a way of calling an op.

    Raises:
        NotOnEveryBackendError: If the condition is false.
    """
    if not condition:
        raise NotOnEveryBackendError(what)


def channels_last(attributes: Attributes) -> None:
    """Refuse the other order."""
    order = attributes.get("data_format", "NHWC")
    refuse_unless(not str(order).startswith("NC"), f"data_format {order} is not supported")


def numbers(value: Any) -> list[int]:
    """Sizes, axes or positions as plain numbers.

    Raises:
        NotOnEveryBackendError: If they are known only when the network runs.
    """
    if isinstance(value, int):
        return [value]
    if isinstance(value, list | tuple):
        return [number(item) for item in value]
    refuse_unless(isinstance(value, np.ndarray), "its sizes are computed when the network runs")
    return [int(item) for item in value.ravel()]


def number(value: Any) -> int:
    """A single one."""
    refuse_unless(isinstance(value, int | np.integer | np.ndarray), "its sizes are computed when the network runs")
    return int(value)


def sizes(value: Any) -> Any:
    """Sizes as plain numbers where they are known, else as the tensor that they are."""
    return value if ops.is_tensor(value) else tuple(numbers(value))


def inner(values: Any) -> Any:
    """Of numbers, one an axis, those of height and width."""
    return values[1:-1] if ops.is_tensor(values) else tuple(values[1:-1])
