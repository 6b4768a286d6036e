"""Graphs of a few ops, saved with values as a trainer saves them: a checkpoint and the ``.meta`` beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.compat import v1

from slim2keras.slim.runtime import import_tf_slim, slim_graph
from tests.importing.wild_networks import values_of_variables

slim = import_tf_slim()


def save_graph(lay: Callable[[], Any], directory: Path) -> Path:
    """What a function lays, never trivial; returns the prefix of the checkpoint."""
    v1.disable_control_flow_v2()
    try:
        with slim_graph():
            lay()
            with v1.Session() as session:
                values = values_of_variables()
                session.run(
                    [item.initializer for item in values], {item.initial_value: values[item] for item in values}
                )
                return Path(v1.train.Saver().save(session, str(directory / "model.ckpt-1")))
    finally:
        v1.enable_control_flow_v2()


def image_placeholder(size: int = 8) -> Any:
    return v1.placeholder(tf.float32, (None, size, size, 3), name="x")


def norm_params(is_training: Any, **more: Any) -> dict[str, Any]:
    """Arguments of ``slim.conv2d`` with BatchNorm."""
    params = {"is_training": is_training, "decay": 0.9, **more}
    return {"normalizer_fn": slim.batch_norm, "normalizer_params": params}


def by_hand() -> Any:
    """BatchNorm whose statistics are called ``pop_mean`` and ``pop_variance``, by a placeholder; three classes."""
    is_training = v1.placeholder(tf.bool, (), name="is_training")
    x = slim.conv2d(image_placeholder(), 4, 3, biases_initializer=None, activation_fn=None, scope="conv")
    with v1.variable_scope("bn"):
        gamma, beta = (v1.get_variable(name, (4,)) for name in ("gamma", "beta"))
        pop_mean, pop_variance = (v1.get_variable(name, (4,), trainable=False) for name in ("pop_mean", "pop_variance"))
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    for moving, batch in ((pop_mean, mean), (pop_variance, variance)):
        v1.assign(moving, moving * 0.9 + batch * 0.1)
    choices = ((mean, variance), (pop_mean, pop_variance))
    mean, variance = v1.cond(is_training, *(lambda pair=pair: tuple(map(tf.identity, pair)) for pair in choices))
    x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
    return slim.fully_connected(tf.reduce_mean(x, [1, 2]), 3, activation_fn=None, scope="fc")
