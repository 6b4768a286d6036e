"""A network of one's own, which no zoo has: ``python examples/own_network.py``.

slim trains it on scikit-learn's digits and saves a checkpoint, beside which it writes the graph, a ``.meta``. From
these two files alone, and not from the code below, the command line makes a Keras model and compares it with the graph
op by op. Then Keras goes on training it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from digits import load_digits
from terminal import console, run_command

import slim2keras
from slim2keras.slim.runtime import import_tf_slim, slim_graph

SIZE, CLASSES = 16, 10
BATCH, STEPS, EPOCHS = 32, 100, 3
DECAY = 0.96


def network(images: Any, is_training: bool) -> Any:
    """Branches that see near and far, BatchNorm, dropout; images (batch, SIZE, SIZE, 3), logits (batch, CLASSES)."""
    slim = import_tf_slim()
    import tensorflow as tf

    norm = {"decay": DECAY, "is_training": is_training}
    convolutions = slim.arg_scope(
        [slim.conv2d],
        normalizer_fn=slim.batch_norm,
        normalizer_params=norm,
        weights_regularizer=slim.l2_regularizer(1e-4),
    )
    with convolutions, tf.compat.v1.variable_scope("Digits"):
        x = slim.max_pool2d(slim.conv2d(images, 16, 3, scope="conv1"), 2, scope="pool1")
        near = slim.conv2d(x, 16, 3, scope="near")
        far = slim.conv2d(x, 16, 3, rate=2, scope="far")
        x = slim.conv2d(tf.concat([near, far], 3), 32, 3, stride=2, scope="conv2")
        x = slim.dropout(tf.reduce_mean(x, [1, 2]), 0.8, is_training=is_training, scope="dropout")
        return slim.fully_connected(x, CLASSES, activation_fn=None, scope="logits")


def train_with_slim(images: np.ndarray, labels: np.ndarray, directory: Path) -> Path:
    """Train with ``slim.learning.create_train_op`` and save with a ``Saver``; returns the checkpoint's prefix."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    with slim_graph() as graph, v1.Session(graph=graph) as session:
        v1.set_random_seed(0)
        batch = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), name="pictures")
        target = v1.placeholder(tf.int64, (None,), name="numbers")
        v1.losses.sparse_softmax_cross_entropy(target, network(batch, is_training=True))
        train_op = slim.learning.create_train_op(v1.losses.get_total_loss(), v1.train.MomentumOptimizer(0.02, 0.9))
        session.run(v1.global_variables_initializer())
        random = np.random.RandomState(0)
        for step in range(1, STEPS + 1):
            chosen = random.choice(len(images), BATCH, replace=False)
            loss = session.run(train_op, {batch: images[chosen], target: labels[chosen]})
            if step % 50 == 0:
                console.print(f"  step {step:3}   loss {loss:.3f}", highlight=False)
        return Path(v1.train.Saver().save(session, str(directory / "own.ckpt"), global_step=STEPS))


def fine_tune(model: Any, data: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """Train a model on as slim would; accuracies on held-out images before and after."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    images, labels, held_out, held_out_labels = data
    tuned = slim2keras.finetune(model, batch_norm="update")
    tuned.compile(
        slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy(), metrics=["accuracy"]
    )
    _, before = tuned.evaluate(held_out, held_out_labels, verbose=0)
    tuned.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    _, after = tuned.evaluate(held_out, held_out_labels, verbose=0)
    return before, after


def main() -> None:
    data = load_digits(SIZE)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        console.print(f"[bold]slim trains a network of our own for {STEPS} steps on {len(data[0])} digits[/]")
        checkpoint = train_with_slim(data[0], data[1], directory)
        model_file = directory / "own.keras"
        run_command("convert", str(checkpoint), "-o", str(model_file), "--graph", f"{checkpoint}.meta")
        run_command("verify", str(checkpoint), str(model_file))
        console.print(f"\n[bold]Keras trains it on for {EPOCHS} epochs[/]")
        before, after = fine_tune(slim2keras.load_model(model_file), data)
        console.print(f"accuracy on {len(data[3])} held-out images: {before:.2%} as slim left it, {after:.2%} now")


if __name__ == "__main__":
    main()
