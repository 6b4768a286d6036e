"""One process that works for long: thousands of conversions and of training steps, and its memory stays what it is.

``python -m tests.faults.soak [--conversions N] [--steps N] [NAME ...]`` prints a table. Memory is what the system says
that the process alone holds, after garbage collection: when a tenth of the work is done, and when all of it is; what
comes once after the last step, such as the pictures of a RUN, is no growth.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.tables import print_table

CONVERSIONS, STEPS = 2_000, 2_000
WARM_UP = 0.1
"""Part of the work after which memory is measured first: by then caches are filled and functions traced."""
LARGEST_GROWTH = 0.02
BATCH, EPOCH = 8, 10
"""Images a step, and steps an epoch, of ``fit``."""

Tick = Callable[[int], None]
"""To be called with the conversions or steps that were done."""


@dataclass
class Gauge:
    """Memory of this process while work is done.

    Attributes:
        count: Of the work in all.
        done: Of it so far.
        start: Memory after the warm-up, in bytes; 0 before.
        end: When all of the work is done; 0 before.
        objects: Python's, that the work has left since the warm-up.
    """

    count: int
    done: int = 0
    start: int = 0
    end: int = 0
    objects: int = 0

    def tick(self, more: int) -> None:
        self.done += more
        if not self.start and self.done >= WARM_UP * self.count:
            self.start, self.objects = memory(), -len(gc.get_objects())
        if not self.end and self.done >= self.count:
            self.end = memory()
            self.objects += len(gc.get_objects())

    @property
    def growth(self) -> float:
        return self.end / self.start - 1.0


def memory() -> int:
    """Bytes of this process that belong to it alone, without garbage; pages of files come and go with the machine."""
    gc.collect()
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(found[name].split()[0]) * 1024 for name in ("RssAnon", "VmSwap"))


def commands(folder: Path, count: int, tick: Tick) -> None:
    """The command that converts a checkpoint to a file."""
    from tests.cli.running import ok
    from tests.faults import samples

    samples.v2(folder)
    for _ in range(count):
        ok("convert", "train", "-o", "out.keras", "--input-shape", samples.SHAPE, "--overwrite")
        tick(1)


def graphs(folder: Path, count: int, tick: Tick) -> None:
    """A frozen graph converted in Python, used, and saved."""
    import numpy as np

    import slim2keras
    from tests.faults import samples

    samples.frozen(folder)
    images = np.zeros((2, 16, 16, 3), "float32")
    for _ in range(count):
        model = slim2keras.convert(folder / "net.pb")
        model(images)
        model.save(folder / "out.keras")
        tick(1)


def fit(folder: Path, count: int, tick: Tick) -> None:
    """``fit`` with the monitor, the best model saved, and a log."""
    import numpy as np
    import tensorflow as tf
    import tf_keras

    import slim2keras
    from tests.trainer import runs

    model = slim2keras.load_model(runs.write_network(folder / "tiny.keras", len(runs.CLASSES)))
    tuned = slim2keras.finetune(model, batch_norm="update", decay=0.9)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    random = np.random.RandomState(0)
    images = random.uniform(-1, 1, (BATCH * EPOCH, 16, 16, 3)).astype("float32")
    pairs = (images, random.randint(0, len(runs.CLASSES), len(images)))
    data = tf.data.Dataset.from_tensor_slices(pairs).shuffle(len(images), seed=0).batch(BATCH)
    callbacks = [
        slim2keras.callbacks.BatchNormMonitor(data),
        tf_keras.callbacks.ModelCheckpoint(str(folder / "best.keras")),
        tf_keras.callbacks.CSVLogger(str(folder / "log.csv")),
        tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: tick(EPOCH)),
    ]
    tuned.fit(data, epochs=-(-count // EPOCH), callbacks=callbacks, verbose=0)


def trainings(folder: Path, count: int, tick: Tick) -> None:
    """A RUN, with validation, the monitor, the best model and the last state each epoch of three steps."""
    from slim2keras.trainer.progress import TrainingProgress
    from slim2keras.trainer.training import train
    from tests.trainer import runs

    class Ticks(TrainingProgress):
        def step_ends(self, *_: object) -> None:
            tick(1)

    train(runs.request(folder, epochs=-(-count // 3)), progress=Ticks())


WORKS: Mapping[str, Callable[[Path, int, Tick], None]] = {
    "conversions by the command": commands,
    "conversions of a graph in Python": graphs,
    "steps of fit": fit,
    "steps of a RUN": trainings,
}


def soak(name: str, count: int) -> Gauge:
    """Do a work so often."""
    gauge = Gauge(count)
    with _folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WORKS[name](folder, count, gauge.tick)
    return gauge


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def faults_of(name: str, gauge: Gauge) -> Sequence[str]:
    """What is wrong with what the gauge says."""
    is_well = gauge.done >= gauge.count and gauge.growth < LARGEST_GROWTH
    return () if is_well else (f"{name}: memory grew by {gauge.growth:.1%}, {gauge.objects:,} objects more",)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversions", type=int, default=CONVERSIONS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("names", nargs="*", default=[*WORKS])
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    columns = ("work", "count", "after a tenth", "at the end", "growth")
    counts = {name: asked.conversions if name.startswith("conversions") else asked.steps for name in asked.names}
    return print_table(columns, (_row(name, soak(name, count)) for name, count in counts.items()))


def _row(name: str, gauge: Gauge) -> tuple[Sequence[object], Sequence[str]]:
    memories = (f"{number / 2**20:.1f} MiB" for number in (gauge.start, gauge.end))
    return (name, f"{gauge.done:,}", *memories, f"{gauge.growth:.1%}"), faults_of(name, gauge)


if __name__ == "__main__":
    sys.exit(main())
