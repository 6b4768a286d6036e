"""What a user asks of fine-tuning, and what follows from it for a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from slim2keras.batch_norm.decay import check_decay
from slim2keras.batch_norm.modes import BatchNormMode, ModeArgument, batch_norm_layers, plan_modes
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.variables import all_layers, layer_variables
from slim2keras.scopes import first_matches

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class LearningOptions:
    """What moves and what learns: those arguments of ``finetune`` that every Keras has."""

    batch_norm: ModeArgument | None
    decay: float | str | None = None
    train_only: Sequence[str] | None = None
    exclude_from_training: Sequence[str] | None = None
    aux_weight: float = 0.4

    def __post_init__(self) -> None:
        check_decay(self.decay, auto=True)
        for name in ("train_only", "exclude_from_training"):
            if isinstance(getattr(self, name), str):
                raise UnsupportedArgumentError(f"{name} must be a list of scopes. Received: {getattr(self, name)!r}")
        if self.train_only is not None and not self.train_only:
            raise UnsupportedArgumentError(
                "train_only is an empty list, so nothing would learn; None means everything."
            )
        check_amount("aux_weight", self.aux_weight)

    def choose(self, learnable: Iterable[str], model_name: str) -> frozenset[str]:
        """Choose the variables that learn.

        Args:
            learnable: Names of those that ``trainable`` flags let learn.
            model_name: For the message.

        Raises:
            UnsupportedArgumentError: If a pattern matches nothing, or nothing would learn.
        """
        learnable = chosen = list(learnable)
        if self.train_only is not None:
            chosen = list(first_matches(self.train_only, chosen, "train_only"))
        if self.exclude_from_training:
            excluded = first_matches(self.exclude_from_training, learnable, "exclude_from_training")
            chosen = [name for name in chosen if name not in excluded]
        if not chosen:
            raise UnsupportedArgumentError(
                "Nothing would learn: train_only, exclude_from_training and the trainable flags of the layers leave no "
                f"variable of {model_name}."
            )
        return frozenset(chosen)


@dataclass(frozen=True)
class FineTuningOptions(LearningOptions):
    """Arguments of ``finetune``, which describes them."""

    clip_gradient_norm: float = 0.0
    gradient_multipliers: Mapping[str, float] = field(default_factory=dict)
    ema_decay: float | None = None
    accumulate: int = 1
    dropout_seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_amount("clip_gradient_norm", self.clip_gradient_norm)
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise UnsupportedArgumentError(
                f"ema_decay must lie between 0 and 1. Received: ema_decay={self.ema_decay!r}"
            )
        for name, least in (("accumulate", 1), ("dropout_seed", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise UnsupportedArgumentError(
                    f"{name} must be a whole number, {least} or greater. Received: {name}={value!r}"
                )


@dataclass(frozen=True)
class FineTuningPlan:
    """What follows from the options of ``finetune`` for a network.

    Attributes:
        modes: BatchNorm layer to mode.
        chosen: Names of the variables that learn, as far as ``trainable`` flags let them.
        multipliers: Variable to factor.
    """

    modes: Mapping[str, BatchNormMode]
    chosen: frozenset[str]
    multipliers: Mapping[str, float]


def check_amount(name: str, value: float) -> None:
    """Refuse what is no finite number, 0 or greater.

    Raises:
        UnsupportedArgumentError: With the argument's name.
    """
    if not (isinstance(value, Real) and 0.0 <= value < float("inf")):
        raise UnsupportedArgumentError(f"{name} must be a number, 0 or greater. Received: {value!r}")


def plan_fine_tuning(model: tf_keras.Model, options: FineTuningOptions) -> FineTuningPlan:
    """Choose mode, learning and multiplier of everything in a network.

    Raises:
        UnsupportedArgumentError: If a pattern matches nothing, nothing would learn, or a flag contradicts a mode.
    """
    modes = plan_modes(batch_norm_layers(model), options.batch_norm)
    chosen = options.choose(learnable_variables(model), model.name)
    factors = options.gradient_multipliers
    matches = first_matches(factors, sorted(chosen), "gradient_multipliers")
    multipliers = {name: float(factors[pattern]) for name, pattern in matches.items()}
    return FineTuningPlan(modes, chosen, multipliers)


def learnable_variables(model: tf_keras.Model) -> dict[str, Any]:
    """Variables that the ``trainable`` flags of the layers let learn, by slim name."""
    found: dict[str, Any] = {}
    for layer in all_layers(model):
        learnable = {id(variable) for variable in layer.trainable_weights}
        found |= {name: variable for name, variable in layer_variables(layer).items() if id(variable) in learnable}
    return found
