"""Recalibrates and evaluates with a team, and writes what comes of it; see the test.

Arguments: the directory to write to, and ``STRATEGY-CASE`` of each run; images lie in the directory above.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

import slim2keras
from slim2keras.data.images import open_images
from slim2keras.data.listing import list_examples
from slim2keras.doctor.recalibration import recalibrate
from slim2keras.evaluation.evaluating import evaluate
from slim2keras.evaluation.report import Evaluation
from slim2keras.models.networks import network_of
from slim2keras.models.strategies import Team, open_team
from slim2keras.models.variables import slim_variables

BATCH = 4


@functools.cache  # the collectives of two strategies of a process get in each other's way
def team_of(name: str) -> Team:
    strategies = {"one": None, "mirrored": "mirrored", "workers": "multi_worker"}
    return open_team(strategies[name], longest_wait=60.0)


def small_network() -> Any:
    """A MobileNet whose moving statistics are those of no data, the same each time."""
    model = slim2keras.build("mobilenet_v1_025", num_classes=5, input_shape=(32, 32, 3))
    random = np.random.RandomState(7)
    for name, variable in slim_variables(model).items():
        value = random.uniform(0.5, 1.5, variable.shape) if "moving_" in name else random.normal(size=variable.shape)
        variable.assign(value.astype("float32") * (1.0 if "moving_" in name or "gamma" in name else 0.1))
    return model


def repair(model: Any, path: Path) -> dict[str, np.ndarray]:
    return repaired(model, open_images(path, network_of(model), BATCH))


def repair_one_by_one(model: Any, path: Path) -> dict[str, np.ndarray]:
    """Of a network of three layers: each is a function of its own."""
    few = tf_keras.Model(model.input, model.get_layer("MobilenetV1/Conv2d_1_depthwise/Relu6").output)
    few = tf_keras.Model(few.input, tf_keras.layers.GlobalAveragePooling2D()(few.output))
    return repaired(few, [images for images, _ in as_a_list(path)], sequential=True)


def repaired(model: Any, data: Any, **way: Any) -> dict[str, np.ndarray]:
    report = recalibrate(model, data, **way)
    gaps = {when: np.asarray([*asdict(getattr(report, when)).values()], float) for when in ("before", "after")}
    return {**gaps, **{name: variable.numpy() for name, variable in slim_variables(model).items()}}


def judge(model: Any, data: Any) -> dict[str, np.ndarray]:
    found: Evaluation = evaluate(model, data, batch_size=BATCH)
    scores = {item.name: getattr(found.scores, item.name) for item in fields(found.scores)}
    return {**scores, "accuracy": np.asarray(found.accuracy), "confusion": found.confusion}


def as_a_list(path: Path) -> list[Any]:
    """Batches that nothing can be taken from without having them all."""
    stored = np.load(path)
    cuts = [slice(start, start + BATCH) for start in range(0, len(stored["labels"]), BATCH)]
    return [(stored["images"][cut], stored["labels"][cut].astype(np.int64)) for cut in cuts]


CASES = {
    "recalibrate": repair,
    "sequential": repair_one_by_one,
    "evaluate": lambda model, path: judge(model, list_examples(path, classes=5)),
    "list": lambda model, path: judge(model, as_a_list(path)),
    # Fewer batches than workers: one of them has nothing to do.
    "few": lambda model, path: judge(model, list_examples(path, classes=5).subset(np.arange(3))),
}


if __name__ == "__main__":
    import tensorflow as tf

    _, directory, *runs = sys.argv
    if not runs[0].startswith("workers"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for run in runs:
        name, case = run.split("-")
        with team_of(name).scope() if name != "one" else contextlib.nullcontext():
            model = small_network()
        np.savez(Path(directory) / run, **CASES[case](model, Path(directory).parent / "images.npz"))
