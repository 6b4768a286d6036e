"""The two pits of BatchNorm in slim on real images, and the way out: ``python examples/two_pits.py [DIRECTORY]``.

One small MobileNet is trained six times from the same start on the same batches of scikit-learn's digits. What differs
is how the moving statistics follow, so the weights come out the same, and so does the accuracy in training mode. What
``is_training=False`` makes of them is another matter. Then the doctor looks at the checkpoint of each run, and
``recalibrate`` repairs it without training: two_pits.png shows the outcomes, doctor.png what the doctor saw of pit one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from digits import load_digits
from rich.console import Console
from rich.table import Table

import slim2keras
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.doctor.findings import Diagnosis
from slim2keras.doctor.plots import plot_drift
from slim2keras.errors import MovingStatisticsWarning

NET, SIZE, CLASSES = "mobilenet_v1_025", 48, 10
BATCH, EPOCHS = 32, 10

SETTINGS: dict[str, dict[str, Any]] = {
    "pit one: update ops never run": {"batch_norm": "batch"},
    "pit two: decay 0.9997": {"batch_norm": "update", "decay": 0.9997},
    "pit two: decay 0.997": {"batch_norm": "update", "decay": 0.997},
    "decay 0.99": {"batch_norm": "update", "decay": 0.99},
    "decay 0.95": {"batch_norm": "update", "decay": 0.95},
    'decay "auto"': {"batch_norm": "update", "decay": "auto"},
}

GREY, BLUE, RED, GREEN = "#8a8f98", "#2563a8", "#c8372d", "#2e8b57"


@dataclass(frozen=True)
class Outcome:
    """Accuracies of a run, from 0 to 1.

    Attributes:
        train: Training images in training mode, as slim's log shows it.
        test: Held-out images with ``is_training=False``, as the network is used.
        left: Part of the moving statistics that is still the value they started from.
        verdict: What the doctor says of the checkpoint.
        repaired: As ``test``, after ``recalibrate``.
    """

    train: float
    test: float
    left: float
    verdict: str
    repaired: float


def run(
    settings: dict[str, Any], start: list[np.ndarray], data: tuple[np.ndarray, ...], directory: Path
) -> tuple[Outcome, np.ndarray]:
    """Train once from ``start``, diagnose, repair; the outcome, and the weights that were learned."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(0)  # the same order of images in every run
    model = build()
    model.set_weights(start)
    tuned = slim2keras.finetune(model, **settings)
    tuned.compile(slim2keras.optimizers.Momentum(0.02, 0.9), slim2keras.losses.SoftmaxCrossEntropy(), ["accuracy"])
    images, labels, test_images, test_labels = data
    history = tuned.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0).history
    _, test = tuned.evaluate(test_images, test_labels, verbose=0)
    decay = 1.0 if settings["batch_norm"] == "batch" else decay_of(tuned)
    left = decay ** int(tuned.optimizer.iterations)
    weights = np.concatenate([variable.numpy().ravel() for variable in tuned.trainable_variables])
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)
    diagnosis = diagnose(tuned, batches, directory)
    if settings["batch_norm"] == "batch":
        plot_drift(diagnosis, directory / "doctor.png", overwrite=True)
    slim2keras.recalibrate(tuned, batches)
    _, repaired = tuned.evaluate(test_images, test_labels, verbose=0)
    return Outcome(history["accuracy"][-1], test, left, diagnosis.verdicts[0], repaired), weights


def diagnose(tuned: Any, batches: Any, directory: Path) -> Diagnosis:
    """As somebody would who was given the checkpoint."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        checkpoint = slim2keras.export_checkpoint(tuned, Path(folder) / "model.ckpt").prefix
        shape = (SIZE, SIZE, 3)
        return slim2keras.diagnose(checkpoint, data=batches, input_shape=shape, decay=decay_of(tuned))


def decay_of(model: Any) -> float:
    """Of the layers: ``"auto"`` became a number when ``fit`` knew its steps."""
    return max(layer.momentum for layer in batch_norm_layers(model))


def build() -> Any:
    return slim2keras.build(NET, num_classes=CLASSES, input_shape=(SIZE, SIZE, 3), dropout_keep_prob=1.0)


def show(outcomes: dict[str, Outcome]) -> None:
    table = Table("moving statistics", "train", "test", "old statistics left", "test, recalibrated", box=None)
    for name, outcome in outcomes.items():
        shares = (outcome.train, outcome.test, outcome.left, outcome.repaired)
        table.add_row(name, *(f"{share:.1%}" for share in shares))
    console = Console(width=110)
    console.print(table)
    console.print("\nThe doctor:")
    for name, outcome in outcomes.items():
        console.print(f"  {name}\n    {outcome.verdict}", highlight=False, soft_wrap=True)


def plot(outcomes: dict[str, Outcome], steps: int, path: Path) -> None:
    """One row a run: grey is where training says the network is, coloured where it is, a ring where it is repaired."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    for row, outcome in enumerate(reversed(outcomes.values())):
        colour = RED if outcome.train - outcome.test > 0.05 else BLUE
        axes.plot([outcome.test, outcome.train], [row, row], color=colour, linewidth=2, alpha=0.45, zorder=1)
        axes.scatter(outcome.train, row, s=70, color=GREY, zorder=2)
        axes.scatter(outcome.test, row, s=110, color=colour, zorder=3)
        axes.scatter(outcome.repaired, row, s=190, facecolors="none", edgecolors=GREEN, linewidths=2.5, zorder=4)
        points = 100 * (outcome.test - outcome.train)
        label = f"{outcome.test:.0%}" + (f"   ({points:+.0f} points)" if points < -5 else "")
        axes.annotate(label, (outcome.test, row), (0, 10), textcoords="offset points", ha="center", color=colour)
    axes.set_yticks(range(len(outcomes)), [*reversed(outcomes)])
    axes.set_ylim(-0.6, len(outcomes) - 0.3)
    axes.set_xlim(0, 1.05)
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    axes.set_xlabel(
        "accuracy:  grey = training images, in training mode;  coloured = test images, is_training=False\n"
        "green ring = the same after `slim2keras recalibrate`, which touches no weight"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="x", alpha=0.25)
    title = f"The same weights six times: after {steps} steps only BatchNorm's moving statistics differ"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    figure.savefig(path, dpi=150)


def main() -> None:
    import tf_keras

    warnings.simplefilter("ignore", MovingStatisticsWarning)  # the point is to show what it warns of
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    directory.mkdir(parents=True, exist_ok=True)
    data = load_digits(SIZE)
    tf_keras.utils.set_random_seed(0)
    start = build().get_weights()
    results = {}
    for name, settings in SETTINGS.items():
        print(f"training: {name}", flush=True)
        results[name] = run(settings, start, data, directory)
    outcomes = {name: outcome for name, (outcome, _) in results.items()}
    weights = [learned for _, learned in results.values()]
    largest = max(float(np.max(np.abs(item - weights[0]))) for item in weights)
    steps = EPOCHS * -(-len(data[0]) // BATCH)
    print(f"\n{NET}, {steps} steps on {len(data[0])} digits, tested on {len(data[2])}.")
    print(f"Largest difference between the weights of the six runs: {largest:g}\n")
    show(outcomes)
    path = directory / "two_pits.png"
    plot(outcomes, steps, path)
    print(f"\nPictures: {path}, {directory / 'doctor.png'}")


if __name__ == "__main__":
    main()
