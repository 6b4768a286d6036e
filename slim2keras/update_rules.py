"""The rules of TensorFlow 1's optimizers as far as no Keras matters: slots, and what their constants can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeAlias

from slim2keras.errors import UnsupportedArgumentError

MOMENTUM_SLOTS: Mapping[str, float] = {"Momentum": 0.0}
"""Slim's slot name to initial value, in the order in which TensorFlow 1 makes them."""

_Bounds: TypeAlias = tuple[str, Callable[[float], bool]]
_AMOUNT: _Bounds = "0 or greater", lambda value: value >= 0.0
_FRACTION: _Bounds = "from 0 to 1", lambda value: 0.0 <= value <= 1.0
_BOUNDS: Mapping[str, _Bounds] = {
    **dict.fromkeys(("momentum", "decay", "rho", "beta2"), _FRACTION),
    # Adam divides by 1 - beta1.
    "beta1": ("from 0 to less than 1", lambda value: 0.0 <= value < 1.0),
    "learning_rate_power": ("0 or less", lambda value: value <= 0.0),
}
_FLAGS = ("use_nesterov", "centered")


def rmsprop_slots(*, centered: bool) -> Mapping[str, float]:
    """Mean square, mean gradient where it is centred, momentum; as ``MOMENTUM_SLOTS``."""
    return {"RMSProp": 1.0, "RMSProp_1": 0.0, **({"RMSProp_2": 0.0} if centered else {})}


def check_rule(learning_rate: Any, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse constants with which a rule makes NaN, or none of the numbers of TensorFlow 1.

    Args:
        learning_rate: Anything but a number, such as a schedule, passes.
        hyperparameters: By TensorFlow's names.

    Raises:
        UnsupportedArgumentError: With the name of the first that cannot be.
    """
    rate = {} if _is_no_number(learning_rate) else {"learning_rate": learning_rate}
    for name, value in {**rate, **hyperparameters}.items():
        if name in _FLAGS:
            _refuse(name, value, "True or False", is_right=isinstance(value, bool))
            continue
        bounds, are_kept = _BOUNDS.get(name, _AMOUNT)
        is_right = isinstance(value, Real) and math.isfinite(value) and are_kept(float(value))
        _refuse(name, value, f"a number, {bounds}", is_right=is_right)


def _is_no_number(learning_rate: Any) -> bool:
    return not isinstance(learning_rate, (Real, str)) and learning_rate is not None


def _refuse(name: str, value: Any, wanted: str, *, is_right: bool) -> None:
    if not is_right:
        raise UnsupportedArgumentError(f"{name} must be {wanted}. Received: {name}={value!r}")
