"""The only place where names are translated between slim and Keras.

A Keras layer is named after its slim scope, so a network needs no mapping table: what remains is the leaf,
the last part of a variable's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from slim2keras.errors import UnsupportedArgumentError, did_you_mean

_SLIM_LEAF = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}

EMA_LEAF = "ExponentialMovingAverage"
"""Last part of the name of the shadow that ``tf.train.ExponentialMovingAverage`` keeps of a variable."""

_POWER_LEAVES = frozenset({"beta1_power", "beta2_power"})
# The published checkpoints of VGG and ResNet v1 hold the colour that slim's VGG preprocessing subtracts.
_MEAN_RGB = ("mean_rgb", (3,))


class VariableKind(Enum):
    """What a variable of a slim checkpoint is for."""

    MODEL = "model"
    SLOT = "optimizer slot"
    POWER = "power accumulator"
    EMA = "EMA shadow"
    STEP = "step counter"
    ZERO_DEBIAS = "zero-debias state"
    PREPROCESSING = "preprocessing constant"
    QUANTIZATION = "range of fake quantization"


_QUANTIZER = re.compile(r"_quant(_\d+)?$")
_SLOTS = ("Momentum", "RMSProp", "Adam", "Adagrad", "AdagradDA", "Adadelta", "Ftrl", "ProximalAdagrad")
# What training keeps below a variable's own name. tf.compat.v1's zero-debiased moving averages (slim's
# ``zero_debias_moving_mean``) keep ``biased`` and ``local_step`` beside the statistic.
_KEPT_BELOW = {
    EMA_LEAF: VariableKind.EMA,
    **dict.fromkeys(_SLOTS, VariableKind.SLOT),
    **dict.fromkeys(("biased", "local_step"), VariableKind.ZERO_DEBIAS),
}


@dataclass(frozen=True)
class VariableInfo:
    """Shape and dtype of a checkpoint variable; ``dtype`` is NumPy's name of it, e.g. ``"float32"``."""

    shape: tuple[int, ...]
    dtype: str


def join(*parts: str) -> str:
    """Join scopes with ``/``, leaving out empty ones: NASNet has no root scope."""
    return "/".join(part for part in parts if part)


def slim_variable_name(layer_name: str, keras_leaf: str) -> str:
    """Name in slim of a layer's variable: ``("LeNet/conv1", "kernel")`` gives ``"LeNet/conv1/weights"``."""
    return f"{layer_name}/{_SLIM_LEAF.get(keras_leaf, keras_leaf)}"


def ema_name(variable_name: str) -> str:
    """Name of the ExponentialMovingAverage shadow of a variable."""
    return f"{variable_name}/{EMA_LEAF}"


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Key to sort names by as people do: ``Conv2d_2`` before ``Conv2d_10``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def in_scope(name: str, scope: str) -> bool:
    """Whether ``name`` is ``scope`` or lies below it; every name lies below the empty scope."""
    return not scope or name == scope or name.startswith(scope + "/")


def in_any_scope(name: str, scopes: Iterable[str]) -> bool:
    """Whether ``name`` lies in one of ``scopes``."""
    return any(in_scope(name, scope) for scope in scopes)


def first_matches(patterns: Iterable[str], names: Iterable[str], argument: str) -> dict[str, str]:
    """Match names with regular expressions of whole scopes: ``block1`` is not ``block10``.

    Args:
        patterns: Each matches the names that are such a scope or lie below one.
        argument: What the user calls the patterns, for messages.

    Returns:
        Name to the first pattern that matches it; names that match none are left out.

    Raises:
        UnsupportedArgumentError: If a pattern matches nothing, or is no regular expression.
    """
    names, patterns = list(names), list(patterns)
    matched: dict[str, list[str]] = {}
    for pattern in patterns:
        try:
            compiled = re.compile(rf"(?:{pattern})(?:/|$)")
        except re.error as error:
            raise UnsupportedArgumentError(f"{argument}: {pattern!r} is no regular expression: {error}.") from error
        matched[pattern] = [name for name in names if compiled.match(name)]
        if not matched[pattern]:
            raise UnsupportedArgumentError(
                f"{argument}: {pattern!r} matches none of {len(names)} names."
                f"{did_you_mean(pattern, scopes_of(names))} A pattern is a scope, whole parts between slashes."
            )
    return {name: pattern for pattern in reversed(patterns) for name in matched[pattern]}


def scopes_of(names: Iterable[str]) -> set[str]:
    """Every scope that contains one of ``names``, and the names themselves."""
    found: set[str] = set()
    for name in names:
        parts = name.split("/")
        found.update("/".join(parts[: end + 1]) for end in range(len(parts)))
    return found


def _base_and_leaf(name: str) -> tuple[str, str]:
    """Split off the last part of a name, without the ``_1`` by which TensorFlow tells a second one apart."""
    base, _, leaf = name.rpartition("/")
    stem, _, number = leaf.rpartition("_")
    return base, stem if stem and number.isdigit() else leaf


def _is_quantization_range(name: str) -> bool:
    """Whether training for quantization added the variable: ``.../weights_quant/min``, ``.../act_quant/max/biased``.

    Source: tf.contrib.quantize, quant_ops.py.
    """
    parts = name.split("/")
    return not {"min", "max"}.isdisjoint(parts) and any(_QUANTIZER.search(part) for part in parts)


def classify_variables(variables: Mapping[str, VariableInfo]) -> dict[str, VariableKind]:
    """Tell a checkpoint's model variables from what training added to them.

    Slots, shadows and zero-debias state are recognised by their last name part *and* by lying below a variable of the
    same checkpoint, so that a layer that somebody called ``Adam`` stays a layer. A counter is a scalar integer:
    some training loops call it ``Variable`` instead of ``global_step``.

    Args:
        variables: Name to shape and dtype of every variable of the checkpoint.

    Returns:
        Name to kind, in the order given.
    """

    def below_a_variable(base: str) -> bool:
        # An optimizer made inside a variable scope puts that scope in front of the variable's own name.
        parts = base.split("/")
        return any("/".join(parts[start:]) in variables for start in range(len(parts)))

    def kind_of(name: str, info: VariableInfo) -> VariableKind:
        base, leaf = _base_and_leaf(name)
        if _is_quantization_range(name):
            return VariableKind.QUANTIZATION
        if leaf in _KEPT_BELOW and below_a_variable(base):
            return _KEPT_BELOW[leaf]
        if (leaf, info.shape) == _MEAN_RGB:
            return VariableKind.PREPROCESSING
        if not info.shape and leaf in _POWER_LEAVES:
            return VariableKind.POWER
        if not info.shape and (leaf == "global_step" or info.dtype.startswith(("int", "uint"))):
            return VariableKind.STEP
        return VariableKind.MODEL

    return {name: kind_of(name, info) for name, info in variables.items()}


def global_step_name(kinds: Mapping[str, VariableKind]) -> str | None:
    """Name of the variable that counts training steps, ``global_step`` before any other counter."""
    steps = [name for name, kind in kinds.items() if kind is VariableKind.STEP]
    named = [name for name in steps if name.rpartition("/")[2] == "global_step"]
    return min(named or steps, key=len, default=None)
