"""Training in half precision against float32: time of a step, and the curves of both losses in one picture.

``slim2keras finetune`` on scikit-learn's digits, from the same start, in the same order, each a process of its own;
``NET`` with its images of ``SIZE`` pixels. The ratio is of the images a second from the second epoch on, since the
first one traces. Writes docs/images/precision.png.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

NET, SIZE, BATCH, EPOCHS, CLASSES = "resnet_v1_50", 96, 32, 4, 10
POLICIES = ("float32", "mixed_bfloat16")
COLOURS = ("0.6", "tab:blue")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "precision.png"


def write_images(folder: Path) -> None:
    import tensorflow as tf
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(image * 15.9375, np.ones((8, 8)))[..., np.newaxis].astype("uint8")
        path.write_bytes(tf.io.encode_png(pixels).numpy())


def train(start: Path, images: Path, run: Path, policy: str) -> list[dict[str, float]]:
    command = [sys.executable, "-c", "import sys; from slim2keras.cli import main; sys.exit(main())", "finetune"]
    told = {
        "--data": images,
        "--output": run,
        "--batch-norm": "update",
        "--decay": "auto",
        "--preprocessing-name": "inception",
        "--image-size": SIZE,
        "--batch-size": BATCH,
        "--epochs": EPOCHS,
        "--optimizer": "momentum",
        "--learning-rate": 0.01,
        "--precision": policy,
    }
    options = [str(part) for pair in told.items() for part in pair]
    subprocess.run([*command, str(start), *options, "--no-augment"], check=True)
    with (run / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def draw(histories: dict[str, list[dict[str, float]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for (policy, rows), colour in zip(histories.items(), COLOURS, strict=True):
        epochs = [row["epoch"] for row in rows]
        loss.plot(epochs, [row["loss"] for row in rows], "o-", color=colour, label=policy)
        accuracy.plot(epochs, [row["val_accuracy"] for row in rows], "o-", color=colour, label=policy)
    loss.set(xlabel="epoch", ylabel="training loss")
    accuracy.set(xlabel="epoch", ylabel="accuracy, validation", ylim=(0, 1))
    accuracy.yaxis.set_major_formatter("{x:.0%}")
    for axes in (loss, accuracy):
        axes.set_xticks(epochs)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(PICTURE, dpi=150)


def main() -> int:
    import slim2keras

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_images(directory / "images")
        start = directory / "start" / "model.ckpt-0"
        slim2keras.export_checkpoint(slim2keras.build(NET, num_classes=CLASSES), start)
        histories = {policy: train(start, directory / "images", directory / policy, policy) for policy in POLICIES}
    speeds = {policy: np.median([row["images_per_second"] for row in rows[1:]]) for policy, rows in histories.items()}
    for policy, rows in histories.items():
        print(
            f"{policy:<15} {speeds[policy]:.1f} images/s, time of a step {speeds['float32'] / speeds[policy]:.2f} of "
            f"float32's; loss {rows[-1]['loss']:.4f}, accuracy {rows[-1]['val_accuracy']:.1%}"
        )
    draw(histories)
    return 0


if __name__ == "__main__":
    sys.exit(main())
