"""The rules of TensorFlow 1's optimizers as far as no Keras matters: slots, and what their constants can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from slim2keras.errors import UnsupportedArgumentError

MOMENTUM_SLOTS: Mapping[str, float] = {"Momentum": 0.0}
"""Slim's slot name to initial value, in the order in which TensorFlow 1 makes them."""

_Bounds: TypeAlias = tuple[str, Callable[[float], bool]]
_AMOUNT: _Bounds = "0 or greater", lambda value: value >= 0.0
_DIVISOR: _Bounds = "greater than 0", lambda value: value > 0.0
_FRACTION: _Bounds = "from 0 to 1", lambda value: 0.0 <= value <= 1.0
_BOUNDS: Mapping[str, _Bounds] = {
    **dict.fromkeys(("momentum", "decay", "rho", "beta2"), _FRACTION),
    # Adam divides by 1 - beta1.
    "beta1": ("from 0 to less than 1", lambda value: 0.0 <= value < 1.0),
    # Nothing else is left to divide by where gradients are 0, or so small that their squares are.
    **dict.fromkeys(("epsilon", "adagrad.initial_accumulator_value"), _DIVISOR),
    "learning_rate_power": ("0 or less", lambda value: value <= 0.0),
}
_FLAGS = ("use_nesterov", "centered")


def rmsprop_slots(*, centered: bool) -> Mapping[str, float]:
    """Mean square, mean gradient where it is centred, momentum; as ``MOMENTUM_SLOTS``."""
    return {"RMSProp": 1.0, "RMSProp_1": 0.0, **({"RMSProp_2": 0.0} if centered else {})}


def check_rule(learning_rate: Any, hyperparameters: Mapping[str, Any], rule: str = "") -> None:
    """Refuse constants with which a rule makes NaN, or none of the numbers of TensorFlow 1.

    Args:
        learning_rate: Anything but a number, such as a schedule, passes.
        hyperparameters: By TensorFlow's names.
        rule: slim's name of the optimizer, where one of its constants has bounds of its own.

    Raises:
        UnsupportedArgumentError: With the name of the first that cannot be.
    """
    rate = {} if _is_no_number(learning_rate) else {"learning_rate": learning_rate}
    for name, value in {**rate, **hyperparameters}.items():
        check_constant(rule, name, value)


def check_constant(rule: str, name: str, value: Any, option: str | None = None) -> None:
    """Refuse a constant that cannot be, rounded to float32 as the kernels take it.

    Args:
        rule: slim's name of the optimizer.
        name: TensorFlow's.
        value: To be checked.
        option: What it is called where it was given, if that is another name.

    Raises:
        UnsupportedArgumentError: With that name.
    """
    if name in _FLAGS:
        wanted, is_right = "True or False", isinstance(value, bool)
    else:
        bounds, are_kept = _BOUNDS.get(f"{rule}.{name}", _BOUNDS.get(name, _AMOUNT))
        wanted, is_right = f"a number, {bounds}", _is_number(value) and are_kept(_rounded(value))
    if not is_right:
        raise UnsupportedArgumentError(f"{option or name} must be {wanted}. Received: {option or name}={value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(_rounded(value))


def _rounded(value: Real) -> float:
    try:
        with np.errstate(over="ignore"):
            return float(np.float32(value))
    except OverflowError:  # an integer that no float is near
        return math.inf


def _is_no_number(learning_rate: Any) -> bool:
    return not isinstance(learning_rate, (Real, str)) and learning_rate is not None
