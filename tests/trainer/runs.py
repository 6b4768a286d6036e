"""A network and images so small that a training takes a second."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from slim2keras.files.run_layout import RunLayout
from slim2keras.graphs import layers
from slim2keras.graphs.layers import BatchNorm
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.best_model import write_whole
from slim2keras.trainer.progress import TrainingProgress
from slim2keras.trainer.request import TrainingRequest, training_request
from slim2keras.trainer.state import RunState, read_state
from tests.reference import assign_values, values_of

CLASSES = ("daisy", "rose", "tulip")
OPTIONS: dict[str, Any] = {
    "batch_norm": "update",
    "decay": 0.8,
    "batch_size": 8,
    "epochs": 3,
    "optimizer": "momentum",
    "validation_split": 0.25,
    "deterministic": True,
}
TIMES = {"seconds", "images_per_second"}


def tiny_network(num_classes: int = 5, keep_prob: float = 0.8) -> GraphNetwork:
    x = layers.inputs((16, 16, 3))
    graph = x.graph
    x = layers.conv2d(x, 4, 3, stride=2, name="tiny/conv", batch_norm=BatchNorm(decay=0.99, epsilon=0.001, scale=True))
    x = layers.global_avg_pool(x, name="tiny/pool", keepdims=False)
    x = layers.dropout(x, keep_prob, name="tiny/dropout")
    graph.outputs.append(layers.fully_connected(x, num_classes, activation=None, name="tiny/logits"))
    return GraphNetwork("tiny", graph, "inception", num_classes=num_classes)


def write_network(path: Path, num_classes: int = 5, *, keep_prob: float = 0.8, shift: float = 0.0) -> Path:
    """A model file; its moving means are shifted, which makes a network with frozen or stale statistics blind."""
    network = tiny_network(num_classes, keep_prob)
    model = build_model(network)
    assign_values(model, values_of(network.graph.variables()))
    mean = slim_variables(model)["tiny/conv/BatchNorm/moving_mean"]
    mean.assign_add(tf.fill(mean.shape, shift))
    write_whole(model, ((name, item.numpy()) for name, item in slim_variables(model).items()), path, {})
    return path


def write_images(folder: Path, images: int = 12, seed: int = 0) -> Path:
    """Three classes of noise of other brightness."""
    random = np.random.RandomState(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(images):
            image = np.clip(random.normal(50 + 75 * number, 30, (20, 22, 3)), 0, 255).astype("uint8")
            (folder / name / f"{index:02}.png").write_bytes(tf.io.encode_png(image).numpy())
    return folder


def request(tmp_path: Path, run: str = "run", **options: Any) -> TrainingRequest:
    """On files of ``tmp_path``, which are made if need be."""
    if not (tmp_path / "images").is_dir():
        write_images(tmp_path / "images")
        write_network(tmp_path / "tiny.keras")
    return training_request(tmp_path / "tiny.keras", tmp_path / "images", tmp_path / run, **{**OPTIONS, **options})


class Losses(TrainingProgress):
    """Takes the loss of each step out of the means over an epoch."""

    def __init__(self) -> None:
        self.of_steps: list[float] = []

    def step_ends(self, step: int, logs: Mapping[str, float], images_per_second: float) -> None:
        before = sum(self.of_steps[len(self.of_steps) - step + 1 :])
        self.of_steps.append(step * logs["loss"] - before)


class Stop(Exception):
    """What stops a run."""


class StopsAt(TrainingProgress):
    """Does something at a step of the whole training."""

    def __init__(self, step: int, does: Any) -> None:
        self.left, self.does = step, does

    def step_ends(self, step: int, logs: Any, images_per_second: float) -> None:
        self.left -= 1
        if self.left == 0:
            self.does()


def stop() -> None:
    raise Stop


def history(run: Path) -> list[dict[str, str]]:
    with RunLayout(run).history.open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def last_values(run: Path) -> tuple[dict[str, np.ndarray], RunState]:
    """Everything that is kept of the last state, slots and step too."""
    model, state = read_state(RunLayout(run))
    found = {name: variable.numpy() for name, variable in slim_variables(model).items()}
    found |= {name: variable.numpy() for name, variable in model.shadows.items()}
    return found | {f"slot {index}": item.numpy() for index, item in enumerate(model.optimizer.variables)}, state


def assert_same_runs(run: Path, other: Path) -> None:
    """Histories, weights, slots, statistics and shadows have the same bits."""
    assert history(run) == history(other)
    (ours, state), (theirs, their_state) = last_values(run), last_values(other)
    assert (state.step, state.best) == (their_state.step, their_state.best)
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
