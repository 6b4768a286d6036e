"""Dropout whose draws are a function of seed, step and layer, so that a run that goes on draws what it would have."""

from __future__ import annotations

import contextlib
import functools
import zlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.overrides import Overrides
from slim2keras.models.variables import all_layers


def dropout_layers(model: tf_keras.Model) -> list[tf_keras.layers.Dropout]:
    """Layers that drop values or paths.

    Raises:
        UnsupportedArgumentError: If another layer draws numbers, from a state that no seed can be given.
    """
    random = [layer for layer in all_layers(model) if isinstance(layer, tf_keras.layers.Dropout.__bases__[0])]
    others = [layer for layer in random if type(layer) is not tf_keras.layers.Dropout]
    if others:
        names = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in others)
        raise UnsupportedArgumentError(
            f"dropout_seed is for layers of class Dropout; others draw random numbers by themselves: {names}. Leave it "
            "out."
        )
    return random


@contextlib.contextmanager
def seeded_dropout(model: tf_keras.Model, seed: int | None, step: Any, micro_batch: Any = 0) -> Iterator[None]:
    """Within it dropout draws by seed, step, micro-batch and name of the layer; without a seed nothing changes.

    Args:
        model: Whose layers drop.
        seed: 0 or greater, or ``None``.
        step: Of the training, a scalar tensor.
        micro_batch: Number within the step.
    """
    with Overrides() as overrides:
        if seed is not None:
            for layer in dropout_layers(model):
                draw = functools.partial(_seed_of, layer.name, seed, step, micro_batch)
                overrides.set(layer, "call", functools.partial(_dropped, layer, draw))
        yield


def _seed_of(name: str, seed: int, step: Any, micro_batch: Any) -> tf.Tensor:
    """(2,) of int32: of one layer at one step on one replica."""
    folded = tf.constant([seed % 2**31, zlib.crc32(name.encode()) % 2**31], tf.int32)
    replica = tf.distribute.get_replica_context()
    number = replica.replica_id_in_sync_group if replica is not None and replica.num_replicas_in_sync > 1 else 0
    for value in (step, micro_batch, number):
        folded = tf.random.experimental.stateless_fold_in(folded, tf.cast(value, tf.int32))
    return folded


def _dropped(layer: tf_keras.layers.Dropout, draw: Any, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
    if not training or (isinstance(layer.rate, (int, float)) and layer.rate == 0.0):
        return tf.identity(inputs)
    sizes = layer.noise_shape
    if sizes is not None:
        whole = tf.shape(inputs)
        sizes = tf.stack([whole[axis] if size is None else size for axis, size in enumerate(sizes)])
    return tf.nn.experimental.stateless_dropout(inputs, layer.rate, draw(), noise_shape=sizes)
