"""TensorFlow 1's Momentum and RMSProp as Keras 3 optimizers, on every backend.

Keras' own differ: ``SGD`` folds the learning rate into the accumulator, so that a change of it takes hold late, and
``RMSprop`` starts its mean square at zero. The names of the arguments are those of ``slim2keras.optimizers``, whose
classes are the same for tf_keras. Two of the others Keras has: gradient descent is ``SGD``, and Adam is
``Adam(epsilon=1e-8)``, whose powers of the betas come from the step: 20 steps are TensorFlow 1's to 1e-5.

Sources: tensorflow/core/kernels/training_ops.cc, ``ApplyMomentum``, ``ApplyRMSProp`` and ``ApplyCenteredRMSProp``.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from slim2keras.keras3.registration import registered
from slim2keras.update_rules import MOMENTUM_SLOTS, check_rule, rmsprop_slots


class SlimOptimizer(keras.optimizers.Optimizer):  # type: ignore[misc]
    """What the optimizers share: slots with initial values, and hyperparameters that are saved.

    Args:
        learning_rate: A number, or a schedule of Keras 3.
        hyperparameters: Of the rule.
        kwargs: Those of any optimizer of Keras 3.

    Raises:
        UnsupportedArgumentError: If the rate, or a hyperparameter, cannot be.

    Attributes:
        slots: Slim's slot name to initial value, in the order in which TensorFlow 1 makes them.
    """

    slots: ClassVar[Mapping[str, float]] = {}

    def __init__(self, learning_rate: Any, hyperparameters: Mapping[str, Any], **kwargs: Any) -> None:
        check_rule(learning_rate, hyperparameters)
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.hyperparameters = dict(hyperparameters)

    def initial_slots(self) -> Mapping[str, float]:
        """Slim's slot name to initial value."""
        return self.slots

    def build(self, variables: Sequence[Any]) -> None:
        """Make the slots of the variables."""
        if self.built:
            return
        super().build(variables)
        self._slots_of = {
            slot: [
                self.add_variable_from_reference(item, slot, keras.initializers.Constant(value)) for item in variables
            ]
            for slot, value in self.initial_slots().items()
        }

    def slot(self, variable: Any, name: str) -> Any:
        """The slot ``name`` of a variable."""
        return self._slots_of[name][self._get_variable_index(variable)]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable and its slots."""
        gradient, rate = (ops.cast(item, variable.dtype) for item in (gradient, learning_rate))
        slots = [self.slot(variable, name) for name in self.initial_slots()]
        self.assign_sub(variable, self.step(gradient, rate, slots))

    @abc.abstractmethod
    def step(self, gradient: Any, rate: Any, slots: Sequence[Any]) -> Any:
        """Move the slots; returns what is to be taken off the variable."""

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the optimizer again."""
        return {**super().get_config(), **self.hyperparameters}


@registered
class Momentum(SlimOptimizer):
    """``tf.train.MomentumOptimizer``: ``accumulator = momentum * accumulator + gradient``.

    Examples:
        >>> optimizer = slim2keras.keras3.Momentum(0.01, 0.9)
    """

    slots: ClassVar[Mapping[str, float]] = MOMENTUM_SLOTS

    def __init__(self, learning_rate: Any, momentum: float, *, use_nesterov: bool = False, **kwargs: Any) -> None:
        super().__init__(learning_rate, {"momentum": momentum, "use_nesterov": use_nesterov}, **kwargs)

    def step(self, gradient: Any, rate: Any, slots: Sequence[Any]) -> Any:
        """``rate * accumulator``; with Nesterov ``rate * (gradient + momentum * accumulator)``."""
        (accumulator,), momentum = slots, self.hyperparameters["momentum"]
        accumulated = accumulator * momentum + gradient
        self.assign(accumulator, accumulated)
        if self.hyperparameters["use_nesterov"]:
            return gradient * rate + accumulated * momentum * rate
        return accumulated * rate


@registered
class RMSProp(SlimOptimizer):
    """``tf.train.RMSPropOptimizer``: the mean square starts at one, and epsilon lies inside the root.

    slim's trainer gives ``decay`` 0.9, ``momentum`` 0.9 and ``epsilon`` 1.0.

    Examples:
        >>> optimizer = slim2keras.keras3.RMSProp(0.01, decay=0.9, momentum=0.9, epsilon=1.0)
    """

    def __init__(
        self,
        learning_rate: Any,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        *,
        centered: bool = False,
        **kwargs: Any,
    ) -> None:
        hyperparameters = {"decay": decay, "momentum": momentum, "epsilon": epsilon, "centered": centered}
        super().__init__(learning_rate, hyperparameters, **kwargs)

    def initial_slots(self) -> Mapping[str, float]:
        """Mean square, mean gradient where it is centred, momentum."""
        return rmsprop_slots(centered=self.hyperparameters["centered"])

    def step(self, gradient: Any, rate: Any, slots: Sequence[Any]) -> Any:
        """``momentum * before + rate * gradient / sqrt(mean square - squared mean + epsilon)``."""
        square, *means, momentum = slots
        variance = self._moved(square, ops.square(gradient))
        for mean in means:
            variance = variance - ops.square(self._moved(mean, gradient))
        step = gradient * rate / ops.sqrt(variance + self.hyperparameters["epsilon"])
        step = momentum * self.hyperparameters["momentum"] + step
        self.assign(momentum, step)
        return step

    def _moved(self, average: Any, value: Any) -> Any:
        """A moving average after a step."""
        moved = average + (value - average) * (1.0 - self.hyperparameters["decay"])
        self.assign(average, moved)
        return moved
