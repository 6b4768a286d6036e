"""What ``BatchNormMonitor`` costs of an epoch, and ``recalibrate`` and ``diagnose`` against passes of plain inference.

The monitor is without validation data; its part of the epoch is the time in its own hooks. Recalibration measures
before and after, with batch and with moving statistics: two passes in training mode and two at inference.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import time
from typing import Any

import numpy as np

import slim2keras
from slim2keras.callbacks import BatchNormMonitor
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.optimizers import Momentum

CLASSES, EPOCHS, ROUNDS = 10, 6, 5
# Network, image size, batch size, steps an epoch: small ones, where overhead shows.
CASES = (("mobilenet_v1_025", 32, 32, 20), ("mobilenet_v1_025", 96, 32, 20), ("resnet_v1_50", 96, 16, 10))


class TimedMonitor(BatchNormMonitor):
    """Counts the seconds in its hooks, and those of each epoch after the first, which traces."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[float] = []
        self.spent = self.began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.spent, self.began = 0.0, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        start = time.perf_counter()
        super().on_train_batch_end(batch, logs)
        self.spent += time.perf_counter() - start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        start = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        end = time.perf_counter()
        if epoch:
            self.parts.append((self.spent + end - start) / (end - self.began))


def main() -> None:
    import tensorflow as tf

    for net, size, batch, steps in CASES:
        random = np.random.RandomState(0)
        images = random.uniform(-1.0, 1.0, (batch * steps, size, size, 3)).astype("float32")
        labels = random.randint(0, CLASSES, len(images))
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch)
        model = slim2keras.build(net, num_classes=CLASSES, input_shape=(size, size, 3))
        tuned = slim2keras.finetune(model, batch_norm="update", decay="auto")
        tuned.compile(Momentum(0.001, 0.9), SoftmaxCrossEntropy())
        monitor = TimedMonitor()
        tuned.fit(data, epochs=EPOCHS, verbose=0, callbacks=[monitor])
        part = statistics.median(monitor.parts)
        print(f"{net} at {size}, {steps} steps of {batch}: monitor {part:.2%} of an epoch", flush=True)

        infer = tf.function(lambda x, model=model: model(x, training=False), autograph=False)
        for x, _ in data:
            infer(x)
        passes, repairs = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for x, _ in data:
                infer(x).numpy()
            middle = time.perf_counter()
            slim2keras.recalibrate(model, data)
            passes.append(middle - start)
            repairs.append(time.perf_counter() - middle)
        ratio = statistics.median(repairs) / statistics.median(passes)
        print(
            f"  recalibrate: {ratio:.1f} passes of inference, tracing included ({statistics.median(repairs):.1f} s for "
            f"{len(images)} images)",
            flush=True,
        )


if __name__ == "__main__":
    main()
