"""ExponentialMovingAverage shadows of a model that trains."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.models.variables import slim_variables
from slim2keras.scopes import ema_name


def add_shadows(model: tf_keras.Model) -> list[Any]:
    """Give a model a shadow of each of its variables, in their order, with their values."""
    return [_new_shadow(model, name, variable) for name, variable in slim_variables(model).items()]


def _new_shadow(model: tf_keras.Model, name: str, variable: Any) -> Any:
    # Of several replicas the first one's, as slim averages its first clone.
    shadow = model.add_weight(
        name=ema_name(name),
        shape=variable.shape,
        dtype=variable.dtype,
        initializer="zeros",
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    shadow.assign(variable)
    return shadow


def move_shadows(model: tf_keras.Model, shadows: list[Any], ema_decay: float) -> None:
    """Move the averages of a model after a step, slower at first.

    Source: tensorflow/python/training/moving_averages.py, ``ExponentialMovingAverage.apply`` with ``num_updates``.
    """
    step = tf.cast(model.optimizer.iterations, tf.float32)
    decay = tf.minimum(tf.constant(ema_decay, tf.float32), (1.0 + step) / (10.0 + step))
    for variable, shadow in zip(slim_variables(model).values(), shadows, strict=True):
        shadow.assign_sub((shadow - variable) * (1.0 - decay))
