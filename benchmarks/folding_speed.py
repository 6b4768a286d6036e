"""Inference of a network whose BatchNorm is folded against the same network as it was, alternating in one process.

Each is a ``tf.function`` of a model from ``build``, at the network's own size. Prints the ratios of medians and of
fastest rounds, folded over unfolded; below 1.0 folding pays.

    python -m benchmarks.folding_speed [--no-remapper] [NET ...]

Without its remapper TensorFlow fuses no BatchNorm of its own accord.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import slim2keras
from slim2keras.models.networks import network_of

NETS = ("mobilenet_v1", "resnet_v1_50")
BATCHES = (1, 8)
ROUNDS = {1: 60, 8: 16}
"""By the size of the batch."""


def seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step().numpy()
    return time.perf_counter() - start


def as_step(model: Any, images: Any) -> Callable[[], Any]:
    """Inference of one batch, traced and warm."""
    import tensorflow as tf

    step = functools.partial(tf.function(model, autograph=False), images, training=False)
    for _ in range(3):
        step()
    return step


def measure(models: Mapping[str, Any], batch: int) -> None:
    """Time each model on one batch, in turn."""
    import tensorflow as tf

    shape = (batch, *network_of(models["unfolded"]).usual_shape)
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, shape), tf.float32)
    steps = {name: as_step(model, images) for name, model in models.items()}
    rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(ROUNDS[batch])]
    times = {name: [row[name] for row in rounds] for name in steps}
    medians = {name: statistics.median(found) for name, found in times.items()}
    fastest = {name: min(found) for name, found in times.items()}
    shown = "   ".join(f"{name} {median * 1e3:7.1f} ms" for name, median in medians.items())
    ratios = [found["folded"] / found["unfolded"] for found in (medians, fastest)]
    print("  batch {}: {}   ratio {:.2f}   of the fastest {:.2f}".format(batch, shown, *ratios))


def main() -> int:
    import tensorflow as tf

    parser = argparse.ArgumentParser()
    parser.add_argument("--no-remapper", action="store_true")
    parser.add_argument("nets", nargs="*", default=NETS)
    asked = parser.parse_args()
    tf.config.optimizer.set_experimental_options({"remapping": not asked.no_remapper})
    for net in asked.nets:
        model = slim2keras.build(net, num_classes=10)
        models = {"unfolded": model, "folded": slim2keras.fold_batch_norm(model)}
        print(f"{net}, {len(model.layers) - len(models['folded'].layers)} layers fewer")
        for batch in BATCHES:
            measure(models, batch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
