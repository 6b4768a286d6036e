"""Trains small networks under strategies of ``tf.distribute``, and writes their losses and states; see the test.

Arguments: the directory to write to, and ``STRATEGY-CASE`` of each run.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.optimizers import Adam, GradientDescent, Momentum
from slim2keras.training.finetuning import finetune
from slim2keras.training.state import state_variables
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels

BATCH, STEPS = 8, 3

CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "momentum": ("vgg", lambda: Momentum(0.01, 0.9), {"clip_gradient_norm": 0.5, "ema_decay": 0.9}),
    "adam": ("vgg", lambda: Adam(0.001), {"ema_decay": 0.9}),
    # One step, so that the statistics of the replicas can be had from equal weights.
    "batch_norm": ("separable", lambda: GradientDescent(0.0), {"decay": 0.5}),
}


@functools.cache  # the collectives of two mirrored strategies of a process get in each other's way
def strategy_of(name: str) -> Any:
    import tensorflow as tf

    if name == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name != "mirrored":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def train(name: str, case: str) -> dict[str, np.ndarray]:
    import tensorflow as tf

    net_name, optimizer, options = CASES[case]
    net = NETS[net_name]
    strategy = strategy_of(name)
    with strategy.scope():
        tuned = finetune(build_ours(net), batch_norm="update", **options)
        tuned.compile(optimizer(), SoftmaxCrossEntropy())
    losses = []
    for step in range(1 if case == "batch_norm" else STEPS):
        x, y = images(step, (BATCH, *net.shape)), labels(50 + step, CLASSES, BATCH)
        if name == "halves":
            return _both_halves(tuned, x, y)
        data = tf.data.Dataset.from_tensors((x, y)).unbatch().batch(BATCH)
        losses.append(tuned.fit(data, verbose=0).history["loss"][0])
    return {"losses": np.asarray(losses), **{name: item.numpy() for name, item in state_variables(tuned).items()}}


def _both_halves(tuned: Any, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """What two replicas together are: each half of the batch from the same start, and the mean of both."""
    start = tuned.get_weights()
    found = []
    for half in (slice(0, BATCH // 2), slice(BATCH // 2, BATCH)):
        tuned.set_weights(start)
        tuned.optimizer.iterations.assign(0)
        tuned.reset_metrics()
        losses = np.asarray([tuned.train_on_batch(x[half], y[half])])
        found.append({"losses": losses, **{name: item.numpy() for name, item in state_variables(tuned).items()}})
    return {name: np.mean([item[name] for item in found], axis=0) for name in found[0]}


if __name__ == "__main__":
    import tensorflow as tf

    _, directory, *runs = sys.argv
    if not runs[0].startswith("workers"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for run in runs:
        np.savez(Path(directory) / run, **train(*run.split("-")))
