"""Inference and training step of a converted ResNet-50 against the same network in slim, alternating in one process.

Prints the ratios of medians and of fastest rounds, ours over slim's; 1.0 means as fast.
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from slim2keras.models.building import build
from slim2keras.slim.runtime import import_tf_slim, slim_graph

NET = "resnet_v1_50"
SIZE, BATCH, CLASSES = 160, 8, 10
ROUNDS = 16


def slim_steps(images: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[], object]]:
    """slim's own inference and ``train_op``, each in a session with TensorFlow's default settings."""
    slim = import_tf_slim()
    import tensorflow as tf
    from tf_slim.nets import resnet_v1

    v1 = tf.compat.v1
    steps: dict[str, Callable[[], object]] = {}
    for name in ("inference", "training"):
        with slim_graph() as graph:
            holder = v1.placeholder(tf.float32, images.shape)
            with slim.arg_scope(resnet_v1.resnet_arg_scope()):
                logits, _ = resnet_v1.resnet_v1_50(holder, CLASSES, is_training=name == "training")
            fetch = logits
            if name == "training":
                v1.losses.sparse_softmax_cross_entropy(labels, tf.squeeze(logits, [1, 2]))
                fetch = slim.learning.create_train_op(
                    v1.losses.get_total_loss(), v1.train.MomentumOptimizer(0.001, 0.9)
                )
            session = v1.Session(graph=graph)
            session.run(v1.global_variables_initializer())
            steps[name] = lambda session=session, fetch=fetch, holder=holder: session.run(fetch, {holder: images})
    return steps


def keras_steps(images: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[], object]]:
    import tensorflow as tf
    import tf_keras

    model = build(NET, num_classes=CLASSES, input_shape=images.shape[1:])
    model.compile(
        optimizer=tf_keras.optimizers.SGD(0.001, momentum=0.9),
        loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    infer = tf.function(functools.partial(model, training=False))
    train = tf.function(model.train_step)
    batch = (tf.constant(images), tf.constant(labels))
    return {
        "inference": lambda: infer(images).numpy(),
        # train_on_batch hands a NumPy batch over through a data set's iterator; the step itself does not need one.
        "train_on_batch": lambda: model.train_on_batch(images, labels),
        "train_step": lambda: train(batch)["loss"].numpy(),  # noqa: PLW0108  (the call is what is measured)
    }


def seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> int:
    images = np.random.RandomState(0).uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype("float32")
    labels = np.random.RandomState(1).randint(0, CLASSES, BATCH)
    theirs, ours = slim_steps(images, labels), keras_steps(images, labels)
    print(f"{NET}, batch {BATCH} of {SIZE}x{SIZE}, {ROUNDS} alternating rounds")
    baseline = {name: theirs["inference" if name == "inference" else "training"] for name in ours}
    for name in ours:
        for step in (baseline[name], ours[name]):
            step()
            step()
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(ROUNDS):
            # Who comes first changes, because the second finds the caches warm.
            pair = [("ours", ours[name]), ("theirs", baseline[name])]
            for who, step in pair[:: 1 if number % 2 else -1]:
                times[who].append(seconds(step))
        for kind, reduce in (("median", statistics.median), ("fastest", min)):
            mine, slims = reduce(times["ours"]), reduce(times["theirs"])
            numbers = f"slim2keras {mine * 1e3:7.1f} ms   slim {slims * 1e3:7.1f} ms   ratio {mine / slims:.2f}"
            print(f"{name:>14}, {kind:>7}: {numbers}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
