"""How many steps there are, and the optimizer with its learning rate at each.

Source: research/slim/train_image_classifier.py, ``_configure_learning_rate`` and ``_configure_optimizer``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slim2keras.files.reports import plural
from slim2keras.trainer.request import CONSTANTS, OptimizerOptions, ScheduleOptions, TrainingRequest


@dataclass(frozen=True)
class Steps:
    """How many steps there are.

    Attributes:
        images: That are trained on.
        batch_size: Images a step, all micro-batches together.
        per_epoch: Steps an epoch.
        total: Steps of the whole training.
    """

    images: int
    batch_size: int
    per_epoch: int
    total: int

    @classmethod
    def of(cls, request: TrainingRequest, images: int) -> Steps:
        """Those of a request on so many images."""
        batch_size = request.images.batch_size * request.step.accumulate
        per_epoch = max(1, round(images / batch_size))
        total = request.loop.max_number_of_steps or per_epoch * request.loop.epochs
        return cls(images, batch_size, per_epoch, total)

    def epochs_after(self, step: int) -> int:
        """Epochs to come after a step, of which the last one may be cut short."""
        return math.ceil(max(0, self.total - step) / self.per_epoch)

    def of_epoch(self, begun_at: int) -> int:
        """Steps of an epoch that begins after so many."""
        return min(self.per_epoch, self.total - begun_at)


def make_schedule(options: ScheduleOptions, steps: Steps) -> Any:
    """The learning rate: a number, or a schedule of tf_keras."""
    from slim2keras import optimizers

    rate, end, kind = options.learning_rate, options.end_learning_rate, options.learning_rate_decay_type
    warmup = options.warmup_epochs * steps.images / steps.batch_size
    if kind == "cosine":
        return optimizers.cosine_decay(rate, steps=steps.total, end_learning_rate=end, warmup_steps=round(warmup))
    decay_steps = _decay_steps(options, steps)
    schedule = None
    if kind == "exponential":
        schedule = optimizers.exponential_decay(
            rate, steps=decay_steps, decay_factor=options.learning_rate_decay_factor
        )
    elif kind == "polynomial":
        schedule = optimizers.polynomial_decay(rate, steps=decay_steps, end_learning_rate=end)
    if warmup:
        return optimizers.WarmUp(rate, warmup, schedule)
    return rate if schedule is None else schedule


def _decay_steps(options: ScheduleOptions, steps: Steps) -> int:
    """Steps of ``num_epochs_per_decay``, one at least."""
    from slim2keras import optimizers

    return max(1, optimizers.decay_steps(steps.images, steps.batch_size, options.num_epochs_per_decay))


def learning_rate_at(options: ScheduleOptions, steps: Steps, step: int) -> float:
    """Of a step, counted from 0."""
    schedule = make_schedule(options, steps)
    # NumPy's number: TensorFlow keeps a tensor of each of Python's that it has ever seen.
    return float(schedule(np.int64(step)) if callable(schedule) else schedule)


def describe_schedule(options: ScheduleOptions, steps: Steps) -> str:
    """The learning rate in words."""
    rate, end = f"{options.learning_rate:g}", f"{options.end_learning_rate:g}"
    decay_steps = plural(_decay_steps(options, steps), "step")
    kinds = {
        "fixed": rate,
        "exponential": f"{rate}, times {options.learning_rate_decay_factor:g} each {decay_steps}",
        "polynomial": f"{rate}, falling to {end} within {decay_steps}, and {end} from there on",
        "cosine": f"{rate}, falling to {end} by half a cosine over all steps",
    }
    warm = f", after a warm-up of {options.warmup_epochs:g} epochs" if options.warmup_epochs else ""
    return f"{options.learning_rate_decay_type}: {kinds[options.learning_rate_decay_type]}{warm}"


def make_optimizer(options: OptimizerOptions, learning_rate: Any) -> Any:
    """The optimizer of slim, with slim's constants."""
    from slim2keras import optimizers

    kinds: dict[str, Callable[..., Any]] = {
        "adadelta": optimizers.Adadelta,
        "adagrad": optimizers.Adagrad,
        "adam": optimizers.Adam,
        "ftrl": optimizers.Ftrl,
        "momentum": optimizers.Momentum,
        "sgd": optimizers.GradientDescent,
        "rmsprop": optimizers.RMSProp,
    }
    constants = {name: getattr(options, option) for option, name in CONSTANTS[options.optimizer].items()}
    return kinds[options.optimizer](learning_rate, **constants)


def describe_optimizer(options: OptimizerOptions) -> str:
    """The optimizer in words."""
    constants = [f"{name} {getattr(options, name):g}" for name in CONSTANTS[options.optimizer]]
    return ", ".join([options.optimizer, *constants])
