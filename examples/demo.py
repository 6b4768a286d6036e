"""The main job on real images, in two acts: a network of slim's zoo, and one that is in no zoo.

slim itself trains a ``resnet_v1_50`` for a few steps on scikit-learn's handwritten digits, enlarged, and saves a
checkpoint as slim does. The command line converts it into a Keras file and compares the two. Then slim and Keras
classify digits that neither has seen. The second act is that of ``own_network.py``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import own_network
from digits import load_digits
from rich.table import Table
from terminal import console, run_command

SIZE = 48
CLASSES = 10
STEPS = 120
BATCH = 32
# The networks' own decay, 0.997, would leave 70 % of the starting statistics in place after so few steps.
DECAY = 0.9


def train_with_slim(images: np.ndarray, labels: np.ndarray, directory: Path) -> Path:
    """Train with ``slim.learning.create_train_op`` and save with slim's ``Saver``; returns the checkpoint's prefix."""
    from slim2keras.slim.runtime import import_tf_slim, slim_graph

    slim = import_tf_slim()
    import tensorflow as tf
    from tf_slim.nets import resnet_v1

    v1 = tf.compat.v1
    with slim_graph() as graph:
        v1.set_random_seed(0)
        batch = v1.placeholder(tf.float32, (BATCH, SIZE, SIZE, 3))
        target = v1.placeholder(tf.int64, (BATCH,))
        with slim.arg_scope(resnet_v1.resnet_arg_scope(batch_norm_decay=DECAY)):
            logits, _ = resnet_v1.resnet_v1_50(batch, CLASSES, is_training=True)
        v1.losses.sparse_softmax_cross_entropy(target, tf.squeeze(logits, [1, 2]))
        optimizer = v1.train.MomentumOptimizer(0.003, 0.9)
        train_op = slim.learning.create_train_op(v1.losses.get_total_loss(), optimizer)
        random = np.random.RandomState(0)
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            for step in range(1, STEPS + 1):
                chosen = random.choice(len(images), BATCH, replace=False)
                loss = session.run(train_op, {batch: images[chosen], target: labels[chosen]})
                if step % 20 == 0:
                    console.print(f"  step {step:3}   loss {loss:.3f}", highlight=False)
            return Path(v1.train.Saver().save(session, str(directory / "model.ckpt"), global_step=STEPS))


def classify_with_slim(checkpoint: Path, images: np.ndarray) -> np.ndarray:
    """Logits of slim's own network, restored from the checkpoint, with ``is_training=False``."""
    from slim2keras.slim.runtime import import_tf_slim, slim_graph

    slim = import_tf_slim()
    import tensorflow as tf
    from tf_slim.nets import resnet_v1

    v1 = tf.compat.v1
    with slim_graph() as graph:
        batch = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3))
        with slim.arg_scope(resnet_v1.resnet_arg_scope(batch_norm_decay=DECAY)):
            logits, _ = resnet_v1.resnet_v1_50(batch, CLASSES, is_training=False)
        with v1.Session(graph=graph) as session:
            v1.train.Saver(slim.get_model_variables()).restore(session, str(checkpoint))
            return np.squeeze(session.run(logits, {batch: images}), (1, 2))


def show(labels: np.ndarray, theirs: np.ndarray, ours: np.ndarray) -> None:
    table = Table("image", "label", "slim", "Keras", "slim's logit", "Keras' logit", box=None)
    for index in range(8):
        mine, slims = int(ours[index].argmax()), int(theirs[index].argmax())
        numbers = (f"{theirs[index].max():.5f}", f"{ours[index].max():.5f}")
        table.add_row(str(index), str(labels[index]), str(slims), str(mine), *numbers)
    console.print(table)
    accuracies = [float(np.mean(logits.argmax(axis=1) == labels)) for logits in (theirs, ours)]
    largest = float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))
    console.print(f"accuracy on {len(labels)} held-out images: slim {accuracies[0]:.2%}, Keras {accuracies[1]:.2%}")
    same = int(np.sum(ours.argmax(axis=1) == theirs.argmax(axis=1)))
    console.print(f"same prediction on {same} of {len(labels)}; largest relative difference of a logit {largest:.1e}")


def first_act() -> None:
    train, train_labels, held_out, held_out_labels = load_digits(SIZE)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        console.print(f"[bold]slim trains resnet_v1_50 for {STEPS} steps on {len(train)} digits[/]")
        checkpoint = train_with_slim(train, train_labels, directory)
        model_file = directory / "digits.keras"
        run_command("inspect", str(checkpoint))
        settings = ("--input-shape", f"{SIZE},{SIZE},3", "--set", f"batch_norm_decay={DECAY}")
        run_command("convert", str(checkpoint), "-o", str(model_file), *settings)
        run_command("verify", str(checkpoint), str(model_file))

        import tf_keras

        console.print("\n[bold]slim (is_training=False) and Keras on digits that neither has seen[/]")
        theirs = classify_with_slim(checkpoint, held_out)
        ours = tf_keras.models.load_model(model_file, compile=False).predict(held_out, verbose=0)
        show(held_out_labels, theirs, ours)


def main() -> None:
    console.rule("First act: a network of slim's zoo")
    first_act()
    console.print()
    console.rule("Second act: a network that is in no zoo")
    own_network.main()


if __name__ == "__main__":
    main()
