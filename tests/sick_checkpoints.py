"""Checkpoints of a shallow ResNet that slim itself trains on real images: one healthy, one for each sickness."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import SlimNetwork, open_judge
from slim2keras.slim.runtime import import_tf_slim
from tests.reference import SHALLOW_NET

NET, LAYERS = SHALLOW_NET, 17
SIZE, CLASSES, STEPS, BATCH = 32, 10, 200, 32
ARGUMENTS = {"num_classes": CLASSES, "depth_multiplier": 0.125}
POISONED = f"{NET}/block2/unit_1/bottleneck_v1/conv2/BatchNorm"


def spec(decay: float) -> NetSpec:
    return NetSpec.make(NET, (SIZE, SIZE, 3), {**ARGUMENTS, "batch_norm_decay": decay})


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and held-out images of scikit-learn's digits, each with labels."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    grey = (loaded.images / 8.0 - 1.0).astype("float32")
    images = np.repeat(np.kron(grey, np.ones((1, SIZE // 8, SIZE // 8), "float32"))[..., None], 3, axis=-1)
    return images[:1400], loaded.target[:1400], images[1400:], loaded.target[1400:]


@contextlib.contextmanager
def session_of(decay: float, *, is_training: bool, batch: int) -> Iterator[tuple[SlimNetwork, Any]]:
    """slim's network and a session, its variables as slim draws them."""
    import tensorflow as tf

    with open_judge() as judge:
        network = judge.build(spec(decay), (batch, SIZE, SIZE, 3), is_training=is_training)
    v1 = tf.compat.v1
    one_thread = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)  # the same every time
    with network.graph.as_default(), v1.Session(graph=network.graph, config=one_thread) as session:
        v1.set_random_seed(0)
        yield network, session


def train(prefix: Path, *, decay: float, run_update_ops: bool = True) -> Path:
    """Train as slim's users do: with ``create_train_op``, or with ``minimize`` and without the update ops."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    images, labels, _, _ = digits()
    with session_of(decay, is_training=True, batch=BATCH) as (network, session):
        target = v1.placeholder(tf.int64, (BATCH,))
        v1.losses.sparse_softmax_cross_entropy(target, tf.reshape(network.end_points["output"], (BATCH, CLASSES)))
        loss, step = v1.losses.get_total_loss(), v1.train.get_or_create_global_step()
        optimizer = v1.train.MomentumOptimizer(v1.train.piecewise_constant(step, [150], [0.02, 0.002]), 0.9)
        if run_update_ops:
            train_op = slim.learning.create_train_op(loss, optimizer)
        else:
            train_op = optimizer.minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        random = np.random.RandomState(0)
        for _ in range(STEPS):
            chosen = random.choice(len(images), BATCH, replace=False)
            session.run(train_op, {network.images: images[chosen], target: labels[chosen]})
        return Path(v1.train.Saver().save(session, str(prefix), global_step=STEPS))


def spoil(healthy: Path, directory: Path) -> None:
    """Save it with NaN in the statistics of one layer, and as ``Saver(tf.trainable_variables())`` restores it."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with session_of(0.9, is_training=True, batch=BATCH) as (network, session):
        v1.train.get_or_create_global_step()
        saver = v1.train.Saver()
        saver.restore(session, str(healthy))
        variable = network.variables[f"{POISONED}/moving_variance"]
        session.run(variable.initializer, {variable.initial_value: np.full(variable.shape, np.nan, "float32")})
        saver.save(session, str(directory / "poisoned.ckpt"))
        session.run(v1.global_variables_initializer())
        v1.train.Saver(v1.trainable_variables()).restore(session, str(healthy))
        saver.save(session, str(directory / "not_restored.ckpt"))


def accuracy_of_slim(checkpoint: Path, images: np.ndarray | None = None, labels: np.ndarray | None = None) -> float:
    """Of slim with ``is_training=False``, on the held-out images if no others are given."""
    import tensorflow as tf

    if images is None:
        _, _, images, labels = digits()
    with session_of(0.9, is_training=False, batch=len(images)) as (network, session):
        tf.compat.v1.train.Saver(list(network.variables.values())).restore(session, str(checkpoint))
        logits = session.run(network.end_points["output"], {network.images: images})
    return float(np.mean(logits.reshape(len(images), -1).argmax(1) == labels))


PREFIXES = {
    "healthy": f"healthy.ckpt-{STEPS}",
    "pit one": f"pit_one.ckpt-{STEPS}",
    "pit two": f"pit_two.ckpt-{STEPS}",
    "not restored": "not_restored.ckpt",
    "poisoned": "poisoned.ckpt",
}
"""Sickness to the name of its checkpoint."""


def make_all(directory: Path) -> None:
    """Train and spoil."""
    healthy = train(directory / "healthy.ckpt", decay=0.9)
    train(directory / "pit_one.ckpt", decay=0.9, run_update_ops=False)
    train(directory / "pit_two.ckpt", decay=0.9997)
    spoil(healthy, directory)
