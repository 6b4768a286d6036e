"""Recalibrates, evaluates and trains with a team, and writes what comes of it; see the test.

Arguments: the directory to write to, and ``STRATEGY-CASE`` of each run; images lie in the directory above.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.data.images import open_images
from slim2keras.data.listing import list_examples
from slim2keras.doctor.recalibration import recalibrate
from slim2keras.errors import MovingStatisticsWarning
from slim2keras.evaluation.evaluating import evaluate
from slim2keras.models.building import build_model
from slim2keras.models.networks import network_of
from slim2keras.models.strategies import open_team
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.training import train
from tests.reference import assign_values, values_of
from tests.trainer.runs import last_values, request, tiny_network

BATCH = 4
STRATEGIES = {"one": None, "mirrored": "mirrored", "workers": "multi_worker"}
State = dict[str, np.ndarray]


def model_of(strategy: str | None) -> Any:
    network = tiny_network(keep_prob=1.0)
    with open_team(strategy, longest_wait=60.0).scope():
        model = build_model(network)
    assign_values(model, values_of(network.graph.variables()))
    return model


def repair(directory: Path, strategy: str | None, **way: Any) -> State:
    model = model_of(strategy)
    images = open_images(directory.parent / "images.npz", network_of(model), BATCH)
    report = recalibrate(model, images, **way)
    gaps = {when: np.asarray([*asdict(getattr(report, when)).values()], float) for when in ("before", "after")}
    return {**gaps, **{name: variable.numpy() for name, variable in slim_variables(model).items()}}


def judge(directory: Path, strategy: str | None, data: Callable[[Path], Any]) -> State:
    found = evaluate(model_of(strategy), data(directory.parent / "images.npz"), batch_size=BATCH)
    scores = {item.name: getattr(found.scores, item.name) for item in fields(found.scores)}
    return {**scores, "accuracy": np.asarray(found.accuracy), "confusion": found.confusion}


def listed(path: Path) -> Any:
    return list_examples(path, classes=5)


def as_a_list(path: Path) -> list[Any]:
    """Batches that nothing can be taken from without having them all."""
    stored = np.load(path)
    cuts = [slice(start, start + BATCH) for start in range(0, len(stored["labels"]), BATCH)]
    return [(stored["images"][cut], stored["labels"][cut].astype(np.int64)) for cut in cuts]


def trained(directory: Path, strategy: str | None, **options: Any) -> State:
    """What is kept of a run; of a worker that is not the chief that there is nothing."""
    run = f"{directory.name}/run{len([*directory.iterdir()])}"
    asked = replace(request(directory.parent, run, **options), strategy=strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MovingStatisticsWarning)
        result = train(asked)
    if result is None:
        assert not asked.output.exists()
        return {}
    rows = {f"history {name}": np.asarray([row[name] for row in result.state.rows]) for name in ("loss", "val_loss")}
    return {**last_values(asked.output)[0], **rows, "accuracy": np.asarray(result.accuracy)}


CASES: dict[str, Callable[..., State]] = {
    "recalibrate": repair,
    "sequential": functools.partial(repair, sequential=True),
    "evaluate": functools.partial(judge, data=listed),
    "list": functools.partial(judge, data=as_a_list),
    # Fewer batches than workers: one of them has nothing to do.
    "few": functools.partial(judge, data=lambda path: listed(path).subset(np.arange(3))),
    "train": functools.partial(trained, batch_norm="frozen", decay=None, epochs=2, save_steps=2),
    "accumulate": functools.partial(
        trained, batch_norm="frozen", decay=None, epochs=2, accumulate=2, batch_size=4, moving_average_decay=0.9
    ),
    "update": functools.partial(trained, epochs=2, patience=1, class_weights="balanced", optimizer="rmsprop"),
}


if __name__ == "__main__":
    import tensorflow as tf

    _, place, *runs = sys.argv
    if not runs[0].startswith("workers"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for run in runs:
        name, case = run.split("-")
        np.savez(Path(place) / run, **CASES[case](Path(place), STRATEGIES[name]))
