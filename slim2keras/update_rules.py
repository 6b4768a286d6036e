"""The rules of TensorFlow 1's optimizers as far as no Keras matters: slots, and what their constants can be."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from slim2keras.errors import UnsupportedArgumentError

MOMENTUM_SLOTS: Mapping[str, float] = {"Momentum": 0.0}
"""Slim's slot name to initial value, in the order in which TensorFlow 1 makes them."""

_FRACTIONS = ("momentum", "decay", "rho", "beta1", "beta2")
_FLAGS = ("use_nesterov", "centered")
_UPPER_BOUNDS = {**dict.fromkeys(_FRACTIONS, 1.0), "learning_rate_power": 0.0}
_INFINITE = float("inf")


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
        most = _UPPER_BOUNDS.get(name, _INFINITE)
        least = -_INFINITE if most == 0.0 else 0.0
        bounds = "0 or less" if most == 0.0 else f"from 0 to {most:g}" if most < _INFINITE else "0 or greater"
        is_right = isinstance(value, Real) and least <= float(value) <= most and abs(float(value)) < _INFINITE
        _refuse(name, value, f"a number, {bounds}", is_right=is_right)


def _is_no_number(learning_rate: Any) -> bool:
    return not isinstance(learning_rate, (Real, str)) and learning_rate is not None


def _refuse(name: str, value: Any, wanted: str, *, is_right: bool) -> None:
    if not is_right:
        raise UnsupportedArgumentError(f"{name} must be {wanted}. Received: {name}={value!r}")
