"""A step of ``finetune`` and ``fit`` against slim's own ``train_op`` and against plain ``fit``: time and memory.

Prints the ratios of medians and of fastest steps, ours over theirs; 1.0 means as fast. slim runs in a session with
TensorFlow's default settings. Times alternate in one process; memory is the peak of a process of its own. MobileNet
needs the environment variable SLIM_SOURCE, a checkout of research/slim.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.building import build_model
from slim2keras.nets.spec import NetSpec
from slim2keras.optimizers import Momentum
from slim2keras.slim.networks import open_judge
from slim2keras.slim.runtime import import_tf_slim
from slim2keras.training.finetuning import finetune
from tests.parity.cases import SLIM_SOURCE

CLASSES, STEPS, ROUNDS, MEMORY_STEPS = 10, 3, 8, 6
VARIANTS = ("finetune", "plain fit", "slim")


@dataclass(frozen=True)
class Case:
    net: str
    batch: int
    size: int

    @property
    def spec(self) -> NetSpec:
        dropout = {"dropout_keep_prob": 1.0} if self.net.startswith("mobilenet") else {}
        return NetSpec.make(self.net, (self.size, self.size, 3), {"num_classes": CLASSES, **dropout})

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        images = np.random.RandomState(0).uniform(-1, 1, (self.batch, self.size, self.size, 3)).astype("float32")
        return images, np.random.RandomState(1).randint(0, CLASSES, self.batch)


CASES = [Case("resnet_v1_50", 8, 160), *([Case("mobilenet_v1", 16, 160)] if SLIM_SOURCE else [])]


def keras_steps(case: Case, *, finetuned: bool) -> Callable[[int], list[float]]:
    """A function that fits for some steps, and returns the seconds of each."""
    import tensorflow as tf
    import tf_keras

    class Clock(tf_keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            seconds.append(time.perf_counter() - self.start)

    seconds: list[float] = []
    model = build_model(case.spec)
    if finetuned:
        model = finetune(model, batch_norm="update")
    model.compile(Momentum(0.001, 0.9), SoftmaxCrossEntropy())
    data = tf.data.Dataset.from_tensors(case.data()).repeat()

    def run(steps: int) -> list[float]:
        seconds.clear()
        model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[Clock()])
        return list(seconds)

    return run


def slim_steps(case: Case) -> Callable[[int], list[float]]:
    images, labels = case.data()
    with open_judge(SLIM_SOURCE if case.net.startswith("mobilenet") else None) as judge:
        network = judge.build(case.spec, images.shape, is_training=True)
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    with network.graph.as_default():
        logits = tf.reshape(network.end_points["output"], (case.batch, CLASSES))
        v1.losses.sparse_softmax_cross_entropy(labels, logits)
        train_op = slim.learning.create_train_op(v1.losses.get_total_loss(), v1.train.MomentumOptimizer(0.001, 0.9))
        session = v1.Session(graph=network.graph)
        session.run(v1.global_variables_initializer())

    def run(steps: int) -> list[float]:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            session.run(train_op, {network.images: images})
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def make(case: Case, variant: str) -> Callable[[int], list[float]]:
    return slim_steps(case) if variant == "slim" else keras_steps(case, finetuned=variant == "finetune")


def measure_time(case: Case) -> dict[str, list[float]]:
    runs = {variant: make(case, variant) for variant in VARIANTS}
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for run in runs.values():
        run(2)
    for number in range(ROUNDS):
        # Who comes first changes, because the second finds the caches warm.
        for variant in VARIANTS[number % 3 :] + VARIANTS[: number % 3]:
            times[variant] += runs[variant](STEPS)
    return times


def measure_memory(index: int, variant: str) -> float:
    """Peak of a process that takes a few steps, in MiB."""
    command = [sys.executable, "-m", "benchmarks.finetune_speed", str(index), variant]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1:
        make(CASES[int(sys.argv[1])], sys.argv[2])(MEMORY_STEPS)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    # First, while this process is small: what it holds counts as the peak of a process that it starts.
    memories = [{variant: measure_memory(index, variant) for variant in VARIANTS} for index in range(len(CASES))]
    for case, memory in zip(CASES, memories, strict=True):
        print(f"{case.net}, batch {case.batch} of {case.size}x{case.size}, {ROUNDS * STEPS} steps each, alternating")
        times = measure_time(case)
        for other in VARIANTS[1:]:
            medians, fastest = (
                [reduce(times[variant]) for variant in ("finetune", other)] for reduce in (statistics.median, min)
            )
            print(
                f"  over {other:>9}: median {medians[0] * 1e3:.0f} / {medians[1] * 1e3:.0f} ms = "
                f"{medians[0] / medians[1]:.2f}   fastest {fastest[0] / fastest[1]:.2f}   "
                f"memory {memory['finetune']:.0f} / {memory[other]:.0f} MiB = {memory['finetune'] / memory[other]:.2f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
