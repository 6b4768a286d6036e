"""TensorFlow 1's optimizers as ``tf_keras`` ones, with their update rules, slots and defaults; and schedules.

The updates are TensorFlow's own kernels, those that ``tf.compat.v1.train`` calls, so a step has the same bits. The
optimizers of the same names in tf_keras differ: SGD folds the learning rate into the accumulator, RMSprop starts its
mean square at zero and keeps epsilon outside of the root, Adam and Adadelta have other epsilons.

Sources: tensorflow/python/training/*.py; the schedules: research/slim/train_image_classifier.py.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import tensorflow as tf
import tf_keras

from slim2keras.update_rules import MOMENTUM_SLOTS, check_rule, rmsprop_slots

LearningRate: TypeAlias = Any
"""A number, or a ``tf_keras`` schedule."""


class SlimOptimizer(tf_keras.optimizers.Optimizer):  # type: ignore[misc]
    """What the optimizers share: slots under slim's names, and hyperparameters that are saved.

    Attributes:
        slots: Slim's slot name to initial value, in the order in which TensorFlow 1 makes them.
        rule: slim's name, where a constant has bounds that it has not in others.
    """

    slots: ClassVar[Mapping[str, float]] = {}
    rule: ClassVar[str] = ""

    def __init__(
        self, learning_rate: LearningRate, name: str, hyperparameters: Mapping[str, Any], **kwargs: Any
    ) -> None:
        """Keep the hyperparameters; ``kwargs`` are those of any tf_keras optimizer.

        Raises:
            UnsupportedArgumentError: If one cannot be.
        """
        check_rule(learning_rate, hyperparameters, self.rule)
        # Keras' default of 0 for the decay of weights would still read and write each of them in every step.
        super().__init__(name=name, **{"jit_compile": False, "weight_decay": None, **kwargs})
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.hyperparameters = dict(hyperparameters)

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Make the slots of the variables."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self.slot_variables = {
            slot: [self._new_slot(variable, slot, value) for variable in var_list]
            for slot, value in self.initial_slots().items()
        }
        self._built = True

    def initial_slots(self) -> Mapping[str, float]:
        """Slim's slot name to initial value."""
        return self.slots

    def _new_slot(self, variable: tf.Variable, slot: str, value: float) -> tf.Variable:
        initial = tf.fill(variable.shape, tf.cast(value, variable.dtype))
        return self.add_variable_from_reference(model_variable=variable, variable_name=slot, initial_value=initial)

    def slot(self, variable: tf.Variable, name: str) -> tf.Variable:
        """The slot ``name`` of a variable."""
        return self.slot_variables[name][self._index_dict[self._var_key(variable)]]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Move one variable and its slots."""
        slots = [self.slot(variable, name).handle for name in self.initial_slots()]
        learning_rate = tf.cast(self.learning_rate, variable.dtype)
        self.apply(variable.handle, slots, learning_rate, tf.convert_to_tensor(gradient))

    @abc.abstractmethod
    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call TensorFlow's kernel on the resources of a variable and its slots."""

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the optimizer again."""
        learning_rate = self._serialize_hyperparameter(self._learning_rate)
        return {**super().get_config(), "learning_rate": learning_rate, **self.hyperparameters}


def _registered(optimizer: type) -> type:
    return tf_keras.utils.register_keras_serializable(package="slim2keras")(optimizer)  # type: ignore[no-any-return]


@_registered
class GradientDescent(SlimOptimizer):
    """``tf.train.GradientDescentOptimizer``: ``variable -= learning_rate * gradient``.

    Examples:
        >>> optimizer = slim2keras.optimizers.GradientDescent(0.01)
    """

    def __init__(self, learning_rate: LearningRate, name: str = "GradientDescent", **kwargs: Any) -> None:
        super().__init__(learning_rate, name, {}, **kwargs)

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        assert not slots
        tf.raw_ops.ResourceApplyGradientDescent(var=variable, alpha=learning_rate, delta=gradient)


@_registered
class Momentum(SlimOptimizer):
    """``tf.train.MomentumOptimizer``: ``accumulator = momentum * accumulator + gradient``.

    The learning rate stays out of the accumulator, so a change of it takes hold at once.

    Examples:
        >>> schedule = slim2keras.optimizers.exponential_decay(0.01, steps=1000)
        >>> optimizer = slim2keras.optimizers.Momentum(schedule, 0.9)
    """

    slots: ClassVar[Mapping[str, float]] = MOMENTUM_SLOTS

    def __init__(
        self,
        learning_rate: LearningRate,
        momentum: float,
        *,
        use_nesterov: bool = False,
        name: str = "Momentum",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, name, {"momentum": momentum, "use_nesterov": use_nesterov}, **kwargs)

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        tf.raw_ops.ResourceApplyMomentum(
            var=variable, accum=slots[0], lr=learning_rate, grad=gradient, **self.hyperparameters
        )


@_registered
class RMSProp(SlimOptimizer):
    """``tf.train.RMSPropOptimizer``: the mean square starts at one, and epsilon lies inside the root.

    slim's trainer gives ``decay`` 0.9, ``momentum`` 0.9 and ``epsilon`` 1.0.

    Examples:
        >>> optimizer = slim2keras.optimizers.RMSProp(0.01, decay=0.9, momentum=0.9, epsilon=1.0)
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        *,
        centered: bool = False,
        name: str = "RMSProp",
        **kwargs: Any,
    ) -> None:
        hyperparameters = {"decay": decay, "momentum": momentum, "epsilon": epsilon, "centered": centered}
        super().__init__(learning_rate, name, hyperparameters, **kwargs)

    def initial_slots(self) -> Mapping[str, float]:
        """Mean square, mean gradient where it is centred, momentum."""
        return rmsprop_slots(centered=self.hyperparameters["centered"])

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        values = {name: self.hyperparameters[name] for name in ("momentum", "epsilon")}
        values |= {"var": variable, "lr": learning_rate, "rho": self.hyperparameters["decay"], "grad": gradient}
        if self.hyperparameters["centered"]:
            square, mean, momentum = slots
            tf.raw_ops.ResourceApplyCenteredRMSProp(ms=square, mg=mean, mom=momentum, **values)
        else:
            tf.raw_ops.ResourceApplyRMSProp(ms=slots[0], mom=slots[1], **values)


@_registered
class Adam(SlimOptimizer):
    """``tf.train.AdamOptimizer``; the powers of the betas are variables, as in a slim checkpoint.

    Examples:
        >>> optimizer = slim2keras.optimizers.Adam(0.001, epsilon=1e-8)
    """

    slots: ClassVar[Mapping[str, float]] = {"Adam": 0.0, "Adam_1": 0.0}

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "Adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, name, {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}, **kwargs)

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Make the slots, and the powers of the betas."""
        if not getattr(self, "_built", False):
            self.powers = {
                f"{beta}_power": self.add_variable(
                    (), initializer=tf_keras.initializers.Constant(self.hyperparameters[beta]), name=f"{beta}_power"
                )
                for beta in ("beta1", "beta2")
            }
        super().build(var_list)

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        powers = {name: tf.cast(power, gradient.dtype) for name, power in self.powers.items()}
        mean, variance = slots
        tf.raw_ops.ResourceApplyAdam(
            var=variable, m=mean, v=variance, lr=learning_rate, grad=gradient, **powers, **self.hyperparameters
        )

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]], *args: Any, **kwargs: Any
    ) -> Any:
        """Move the variables, then the powers, once a step."""
        iterations = super().apply_gradients(grads_and_vars, *args, **kwargs)
        for name, power in self.powers.items():
            power.assign(power * self.hyperparameters[name.removesuffix("_power")])
        return iterations


@_registered
class Adagrad(SlimOptimizer):
    """``tf.train.AdagradOptimizer``: no epsilon, the accumulator starts at 0.1.

    Examples:
        >>> optimizer = slim2keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.1)
    """

    rule: ClassVar[str] = "adagrad"

    def __init__(
        self,
        learning_rate: LearningRate,
        initial_accumulator_value: float = 0.1,
        name: str = "Adagrad",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, name, {"initial_accumulator_value": initial_accumulator_value}, **kwargs)

    def initial_slots(self) -> Mapping[str, float]:
        """The accumulator."""
        return {"Adagrad": self.hyperparameters["initial_accumulator_value"]}

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        tf.raw_ops.ResourceApplyAdagrad(var=variable, accum=slots[0], lr=learning_rate, grad=gradient)


@_registered
class Adadelta(SlimOptimizer):
    """``tf.train.AdadeltaOptimizer``; slim's trainer gives ``epsilon`` 1.0.

    Examples:
        >>> optimizer = slim2keras.optimizers.Adadelta(0.01, rho=0.95, epsilon=1.0)
    """

    slots: ClassVar[Mapping[str, float]] = {"Adadelta": 0.0, "Adadelta_1": 0.0}

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-8,
        name: str = "Adadelta",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, name, {"rho": rho, "epsilon": epsilon}, **kwargs)

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        accumulated, updates = slots
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable,
            accum=accumulated,
            accum_update=updates,
            lr=learning_rate,
            grad=gradient,
            **self.hyperparameters,
        )


@_registered
class Ftrl(SlimOptimizer):
    """``tf.train.FtrlOptimizer``: the accumulator starts at 0.1, the linear slot at zero.

    Examples:
        >>> optimizer = slim2keras.optimizers.Ftrl(0.01, l2_regularization_strength=0.001)
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        name: str = "Ftrl",
        **kwargs: Any,
    ) -> None:
        hyperparameters = {
            "learning_rate_power": learning_rate_power,
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
        }
        super().__init__(learning_rate, name, hyperparameters, **kwargs)

    def initial_slots(self) -> Mapping[str, float]:
        """Accumulator and linear slot."""
        return {"Ftrl": self.hyperparameters["initial_accumulator_value"], "Ftrl_1": 0.0}

    def apply(self, variable: tf.Tensor, slots: list[tf.Tensor], learning_rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Call the kernel."""
        accumulator, linear = slots
        values = {name: self.hyperparameters[f"{name}_regularization_strength"] for name in ("l1", "l2")}
        tf.raw_ops.ResourceApplyFtrl(
            var=variable,
            accum=accumulator,
            linear=linear,
            grad=gradient,
            lr=learning_rate,
            lr_power=self.hyperparameters["learning_rate_power"],
            **values,
        )


def decay_steps(num_samples: int, batch_size: int, num_epochs_per_decay: float = 2.0) -> int:
    """Steps of slim's schedules between two decays.

    Examples:
        >>> slim2keras.optimizers.decay_steps(num_samples=3320, batch_size=32)
        207

    Source: research/slim/train_image_classifier.py, ``_configure_learning_rate``.
    """
    return int(num_samples * num_epochs_per_decay / batch_size)


def exponential_decay(
    learning_rate: float = 0.01, *, steps: int, decay_factor: float = 0.94
) -> tf_keras.optimizers.schedules.ExponentialDecay:
    """Slim's default schedule: the rate falls to ``decay_factor`` of itself each ``steps`` steps, in a staircase.

    Examples:
        >>> schedule = slim2keras.optimizers.exponential_decay(0.01, steps=207)
        >>> [round(float(schedule(step)), 4) for step in (0, 206, 207)]
        [0.01, 0.01, 0.0094]
    """
    return tf_keras.optimizers.schedules.ExponentialDecay(learning_rate, steps, decay_factor, staircase=True)


def polynomial_decay(
    learning_rate: float = 0.01, *, steps: int, end_learning_rate: float = 0.0001
) -> tf_keras.optimizers.schedules.PolynomialDecay:
    """Slim's linear schedule: the rate falls to ``end_learning_rate`` within ``steps`` steps and stays there.

    Examples:
        >>> schedule = slim2keras.optimizers.polynomial_decay(0.01, steps=100)
        >>> [round(float(schedule(step)), 5) for step in (0, 50, 100, 200)]
        [0.01, 0.00505, 0.0001, 0.0001]
    """
    return tf_keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, end_learning_rate, power=1.0)


def cosine_decay(
    learning_rate: float = 0.01, *, steps: int, end_learning_rate: float = 0.0, warmup_steps: int = 0
) -> tf_keras.optimizers.schedules.CosineDecay:
    """Half a cosine, which slim does not have: the rate falls to ``end_learning_rate`` at the last of ``steps`` steps.

    Args:
        learning_rate: At the top.
        steps: Of the training, those of the warm-up included.
        end_learning_rate: At the end.
        warmup_steps: Over which the rate grows from 0 to the top, linearly.

    Examples:
        >>> schedule = slim2keras.optimizers.cosine_decay(0.01, steps=110, warmup_steps=10)
        >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 60, 110)]
        [0.0, 0.005, 0.01, 0.005, 0.0]
    """
    warm: dict[str, Any] = {"warmup_target": learning_rate, "warmup_steps": warmup_steps} if warmup_steps else {}
    return tf_keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else learning_rate,
        max(1, steps - warmup_steps),
        alpha=end_learning_rate / learning_rate,
        **warm,
    )


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class WarmUp(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """slim's warm-up: the smaller of ``learning_rate * step / warmup_steps`` and what the schedule gives.

    Args:
        learning_rate: To grow to.
        warmup_steps: Within which it does, which need not be whole.
        schedule: Of the steps after them; it counts from the first step too. The rate itself if left out.

    Examples:
        >>> schedule = slim2keras.optimizers.WarmUp(0.01, warmup_steps=100)
        >>> [round(float(schedule(step)), 4) for step in (0, 50, 100, 500)]
        [0.0, 0.005, 0.01, 0.01]

    Source: research/slim/train_image_classifier.py, ``_configure_learning_rate``.
    """

    def __init__(self, learning_rate: float, warmup_steps: float, schedule: Any = None) -> None:
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.schedule = schedule

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate of a step, float32."""
        warm = self.learning_rate * tf.cast(step, tf.float32) / self.warmup_steps
        return tf.minimum(warm, self.learning_rate if self.schedule is None else self.schedule(step))

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the schedule again."""
        schedule = self.schedule
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "schedule": None if schedule is None else tf_keras.saving.serialize_keras_object(schedule),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """Make the schedule again."""
        schedule = config["schedule"]
        if isinstance(schedule, dict):
            schedule = tf_keras.saving.deserialize_keras_object(schedule)
        return cls(**{**config, "schedule": schedule})
