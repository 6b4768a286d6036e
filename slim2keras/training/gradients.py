"""Gradients as the optimizer is to have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.variables import slim_variables


def scales_loss(model: tf_keras.Model) -> bool:
    """Whether the optimizer scales the loss, so that gradients in half precision do not vanish."""
    return hasattr(model.optimizer, "get_scaled_loss")


def transformed_gradients(
    model: tf_keras.Model, gradients: Sequence[Any], variables: Sequence[Any]
) -> dict[str, tf.Tensor]:
    """Gradients of a fine-tuned model: unscaled, of all replicas, multiplied, clipped one by one.

    Returns:
        By name of the variable; those that the loss does not depend on are left out.

    Source: tf_slim/training/training.py, ``multiply_gradients``, ``clip_gradient_norms``.
    """
    if scales_loss(model):
        gradients = model.optimizer.get_unscaled_gradients(gradients)
    names = {id(variable): name for name, variable in slim_variables(model).items()}
    found = {names[id(v)]: item for v, item in zip(variables, gradients, strict=True) if item is not None}
    multipliers, norm = model.plan.multipliers, model.options.clip_gradient_norm
    without = [name for name in multipliers if name not in found]
    if without or not found:
        raise UnsupportedArgumentError(f"No gradient reaches {', '.join(without) or 'any variable that learns'}.")
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        # Clipping the sum is what one device would do with the whole batch.
        found = context.all_reduce(tf.distribute.ReduceOp.SUM, found)
    found = {name: item * multipliers[name] if name in multipliers else item for name, item in found.items()}
    return {name: tf.clip_by_norm(item, norm) for name, item in found.items()} if norm else found
