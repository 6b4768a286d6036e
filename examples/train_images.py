"""From images to a network that is well with ``is_training=False``: ``python examples/train_images.py [DIRECTORY]``.

scikit-learn's digits become image files, a folder a class, and a checkpoint in pit one stands for what slim's users
have: the update ops of its BatchNorm were never run. Everything else is done by the command line. The doctor says what
is wrong, ``finetune`` goes on from there, and ``evaluate`` and ``predict`` use what came of it. DIRECTORY gets the
images, the run with its curves, the confusion matrix, and a sheet of the worst mistakes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from digits import load_digits
from terminal import console, run_command

import slim2keras
from slim2keras.errors import ExitStatus

NET, SIZE, CLASSES = "mobilenet_v1_025", 48, 10
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_classes(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Images in [-1, 1] as PNG files, in a folder for each class."""
    import tensorflow as tf

    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / f"{label}_{NAMES[label]}" / f"{place:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(np.rint(127.5 * (image + 1)).astype("uint8")).numpy())


def train_in_pit_one(images: np.ndarray, labels: np.ndarray, prefix: Path) -> Path:
    """A slim checkpoint of a network whose moving statistics never moved; returns its prefix."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model = slim2keras.build(NET, num_classes=CLASSES, input_shape=(SIZE, SIZE, 3))
    tuned = slim2keras.finetune(model, batch_norm="batch")
    tuned.compile(slim2keras.optimizers.Adam(3e-3), slim2keras.losses.SoftmaxCrossEntropy(), ["accuracy"])
    history = tuned.fit(images, labels, batch_size=32, epochs=5, verbose=0).history
    console.print(f"accuracy in training mode: {history['accuracy'][-1]:.1%}", highlight=False)
    return slim2keras.export_checkpoint(tuned, f"{prefix}-{int(tuned.optimizer.iterations)}").prefix


def main() -> None:
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "digits")
    if directory.exists():
        sys.exit(f"{directory} is there already: give another DIRECTORY, or delete it.")
    images, labels, held_out, held_out_labels = load_digits(SIZE)
    data, run = directory / "images", directory / "run"
    write_classes(data / "train", images, labels)
    write_classes(data / "validation", held_out, held_out_labels)
    console.print(f"[bold]{NET} learns {len(images)} digits, and nobody runs its update ops[/]")
    checkpoint = train_in_pit_one(images, labels, directory / "pit_one" / "model.ckpt")

    of_data = ("--data", str(data))
    of_network = ("--input-shape", f"{SIZE},{SIZE},3")
    run_command("doctor", str(checkpoint), *of_data, "--split", "train", *of_network, status=ExitStatus.SICK)
    modes = ("--batch-norm", "update", "--decay", "auto")
    training = ("--optimizer", "momentum", "--learning-rate", "0.01", "--epochs", "5", "--no-augment", "--export-slim")
    run_command("finetune", str(checkpoint), *of_data, "-o", str(run), *of_network, *modes, *training)
    pictures = ("--plot", str(directory / "confusion.png"), "--worst-plot", str(directory / "worst.png"))
    run_command("evaluate", str(run), *of_data, "--worst", "5", *pictures)
    run_command("predict", str(run), *map(str, sorted(data.glob("validation/3_three/*.png"))[:3]), "--top", "3")
    console.print(f"\nPictures: {run / 'curves.png'}, {', '.join(pictures[1::2])}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
