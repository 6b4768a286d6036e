"""Import of a training graph against TensorFlow's own, and the training step of an imported network, as ratios.

The graph is that of a ResNet-50 with losses, gradients, momentum, EMA shadows and saver, some 10,000 nodes. It is read
and imported as a layer graph: against parsing the file and ``import_graph_def``. The model of it is trained: against
the registry's. Both sides of a ratio alternate in one process, and the medians are told.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cProfile
import gc
import pstats
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import slim2keras
from slim2keras.importing.request import GraphRequest
from slim2keras.importing.sources import read_graph
from slim2keras.models.building import build_model
from slim2keras.slim.runtime import import_tf_slim, slim_graph

ROUNDS, STEP_ROUNDS = 7, 20
NET, BATCH, SIZE, CLASSES = "resnet_v1_50", 8, 160, 10
NUM_HOTTEST = 3


def resnet_v1_50(images: Any) -> Any:
    slim = import_tf_slim()
    import tensorflow as tf
    from tf_slim.nets import resnet_v1

    with slim.arg_scope(resnet_v1.resnet_arg_scope()):
        return tf.squeeze(resnet_v1.resnet_v1_50(images, CLASSES, is_training=True)[0], [1, 2])


def write_training_checkpoint(directory: Path) -> Path:
    """As slim's trainer leaves it, with momentum and EMA shadows; returns the prefix."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    with slim_graph() as graph, v1.Session(graph=graph) as session:
        images = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), name="images")
        labels = v1.placeholder(tf.int64, (None,), name="labels")
        v1.losses.sparse_softmax_cross_entropy(labels, resnet_v1_50(images))
        shadows = v1.train.ExponentialMovingAverage(0.9999)
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, shadows.apply(slim.get_model_variables()))
        slim.learning.create_train_op(v1.losses.get_total_loss(), v1.train.MomentumOptimizer(0.001, 0.9))
        session.run(v1.global_variables_initializer())
        return Path(v1.train.Saver().save(session, str(directory / NET)))


def import_with_tensorflow(meta: Path) -> int:
    """Parse and import as TensorFlow does; returns the number of nodes."""
    import tensorflow as tf

    message = tf.compat.v1.MetaGraphDef()
    message.ParseFromString(meta.read_bytes())
    with tf.Graph().as_default():
        tf.import_graph_def(message.graph_def, name="")
    return len(message.graph_def.node)


def import_with_slim2keras(meta: Path) -> Any:
    return GraphRequest().import_source(read_graph(meta)).network


def seconds_of(function: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def processor_seconds_of(function: Callable[[], Any]) -> float:
    """Which other jobs on the machine hardly change."""
    start = time.process_time()
    function()
    return time.process_time() - start


def report(what: str, times: Mapping[str, list[float]]) -> None:
    """Print the median of each, and of its ratios to the first."""
    print(what)
    first = next(iter(times.values()))
    for name, seconds in times.items():
        ratio = statistics.median(one / other for one, other in zip(seconds, first, strict=True))
        print(f"  {name:<42} {statistics.median(seconds):6.2f} s   {ratio:5.2f}", flush=True)


def time_import(meta: Path) -> None:
    nodes, network = import_with_tensorflow(meta), import_with_slim2keras(meta)
    sides: dict[str, Callable[[], Any]] = {
        "TensorFlow: parse and import_graph_def": lambda: import_with_tensorflow(meta),
        "slim2keras: parse and import": lambda: import_with_slim2keras(meta),
        "tf_keras builds the model of it": lambda: build_model(network),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            times[name].append(seconds_of(side))
    report(f"{meta.stem}, a training graph of {nodes} nodes, {ROUNDS} rounds", times)
    show_hottest(meta)


def show_hottest(meta: Path) -> None:
    """Print the functions of ours that an import spends the most time in, what they call of ours left out."""
    with cProfile.Profile() as profile:
        import_with_slim2keras(meta)
    found = pstats.Stats(profile).get_stats_profile()
    rows = sorted(found.func_profiles.items(), key=lambda row: -row[1].tottime)
    hottest = [f"{name} {row.tottime / found.total_tt:.0%}" for name, row in rows[:NUM_HOTTEST]]
    print(f"  most of it, profiled: {', '.join(hottest)}", flush=True)


def make_step(model: Any, images: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    """A step of ``finetune``, compiled."""
    import tensorflow as tf

    tuned = slim2keras.finetune(model, batch_norm="update")
    tuned.compile(slim2keras.optimizers.Momentum(0.001, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    step, batch = tf.function(tuned.train_step), (tf.constant(images), tf.constant(labels))
    return lambda: step(batch)["loss"].numpy()  # noqa: PLW0108  (the call is what is measured)


def time_steps(checkpoint: Path) -> None:
    images = np.random.RandomState(0).uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype("float32")
    labels = np.random.RandomState(1).randint(0, CLASSES, BATCH)
    models = {
        "the registry's": slim2keras.convert(checkpoint, net=NET),
        "imported": slim2keras.convert(checkpoint, graph=f"{checkpoint}.meta"),
    }
    steps = {name: make_step(model, images, labels) for name, model in models.items()}
    for step in steps.values():
        step()
        step()
    what = f"{checkpoint.name}, training step, batch {BATCH} of {SIZE}x{SIZE}, {STEP_ROUNDS} rounds"
    for clock, measure in (("by the clock", seconds_of), ("of the processors", processor_seconds_of)):
        report(f"{what}, seconds {clock}", alternated(steps, measure))


def alternated(
    steps: Mapping[str, Callable[[], Any]], measure: Callable[[Callable[[], Any]], float]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(STEP_ROUNDS):
        # Who comes first changes, because the second finds the caches warm.
        for name in [*steps][:: 1 if number % 2 else -1]:
            times[name].append(measure(steps[name]))
    return times


def main() -> int:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        checkpoint = write_training_checkpoint(Path(name))
        time_import(Path(f"{checkpoint}.meta"))
        time_steps(checkpoint)
    return 0


if __name__ == "__main__":
    sys.exit(main())
