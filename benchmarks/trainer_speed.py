"""``slim2keras finetune`` against slim's own trainer, each a whole process, from photographs in TFRecords to its end.

slim's is ``slim.learning.train`` with its preprocessing, queues, readers and threads as ``train_image_classifier.py``
sets them; ours is the command, with validation, monitor, reports and pictures on top. Same records, network, batch,
optimizer and augmentation. A short run and a long one of each alternate: the ratio of the long ones is that of the
commands, the ratio of the differences that of the steps alone. Needs the environment variable SLIM_SOURCE, a checkout
of research/slim. Arguments: names of networks, all if left out, and options of ours, ``--precision mixed_bfloat16``.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.parity.slim_trainer import SlimRun, run_slim

CLASSES, IMAGES, VALIDATION, ROUNDS = 5, 2400, 240, 2
HEIGHT, WIDTH = 375, 500


@dataclass(frozen=True)
class Case:
    net: str
    size: int
    batch: int
    short: int
    long: int
    in_source: bool


CASES = [Case("mobilenet_v1", 128, 32, 15, 75, in_source=True), Case("resnet_v1_50", 96, 32, 15, 60, in_source=False)]


def write_records(directory: Path) -> None:
    """Two shards of photographs for training and one for validation, a class each by its texture."""
    import tensorflow as tf

    random = np.random.RandomState(0)
    for split, shards, images in (("train", 2, IMAGES), ("validation", 1, VALIDATION)):
        for shard in range(shards):
            path = directory / f"flowers_{split}_{shard:05d}-of-{shards:05d}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as file:
                for number in range(images // shards):
                    file.write(_example(random, number % CLASSES))
    names = "".join(f"{number}:class_{number}\n" for number in range(CLASSES))
    (directory / "labels.txt").write_text(names, encoding="utf-8")


def _example(random: np.random.RandomState, label: int) -> bytes:
    import tensorflow as tf

    coarse = random.uniform(0, 255, (6 + 4 * label, 8 + 5 * label, 3)).astype("float32")
    smooth = tf.image.resize(coarse, (HEIGHT, WIDTH), "bicubic").numpy()
    pixels = np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype("uint8")
    train = tf.train
    values = {
        "image/encoded": train.Feature(
            bytes_list=train.BytesList(value=[tf.io.encode_jpeg(pixels, quality=85).numpy()])
        ),
        "image/format": train.Feature(bytes_list=train.BytesList(value=[b"jpg"])),
        "image/class/label": train.Feature(int64_list=train.Int64List(value=[label])),
    }
    serialized: bytes = train.Example(features=train.Features(feature=values)).SerializeToString()
    return serialized


def write_start(net: str, prefix: Path) -> None:
    import slim2keras

    slim2keras.export_checkpoint(slim2keras.build(net, num_classes=CLASSES), prefix)


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def slim_run(case: Case, records: Path, start: Path, work: Path, steps: int) -> float:
    run = SlimRun(
        records=str(records / "flowers_train_*.tfrecord"),
        images=IMAGES,
        classes=CLASSES,
        train_dir=str(work),
        net=case.net,
        size=case.size,
        steps=steps,
        batch=case.batch,
        preprocessing="inception",
        shuffles=True,
        optimizer="rmsprop",
        checkpoint=str(start),
        in_source=case.in_source,
    )
    return seconds_of(lambda: run_slim(run))


def our_run(case: Case, records: Path, start: Path, work: Path, steps: int, options: list[str]) -> float:
    program = [sys.executable, "-c", "import sys; from slim2keras.cli import main; sys.exit(main())"]
    told = {
        "--data": records,
        "--output": work,
        "--net": case.net,
        "--batch-norm": "update",
        "--image-size": case.size,
        "--batch-size": case.batch,
        "--max-number-of-steps": steps,
        "--preprocessing-name": "inception",
    }
    command = [*program, "finetune", str(start), *(str(part) for pair in told.items() for part in pair), *options]
    return seconds_of(lambda: subprocess.run(command, check=True, capture_output=True))


def measure(case: Case, records: Path, directory: Path, options: list[str]) -> None:
    start = directory / case.net / "model.ckpt-0"
    write_start(case.net, start)
    work = directory / "work"
    times: dict[tuple[str, int], list[float]] = {}
    for number in range(ROUNDS):
        order = [("ours", case.short), ("slim", case.short), ("ours", case.long), ("slim", case.long)]
        for who, steps in order if number % 2 else reversed(order):
            shutil.rmtree(work, ignore_errors=True)
            given = (case, records, start, work, steps)
            seconds = our_run(*given, options) if who == "ours" else slim_run(*given)
            times.setdefault((who, steps), []).append(seconds)
    found = {key: statistics.median(values) for key, values in times.items()}
    steps = case.long - case.short
    ours, slims = ((found[who, case.long] - found[who, case.short]) / steps for who in ("ours", "slim"))
    print(
        f"{case.net}, {case.size} pixels, batch {case.batch}, {' '.join(options)}\n"
        f"  command of {case.long} steps: {found['ours', case.long]:.1f} / {found['slim', case.long]:.1f} s = "
        f"{found['ours', case.long] / found['slim', case.long]:.2f}\n"
        f"  command of {case.short} steps: {found['ours', case.short]:.1f} / {found['slim', case.short]:.1f} s\n"
        f"  a step more: {ours * 1e3:.0f} / {slims * 1e3:.0f} ms = {ours / slims:.2f}",
        flush=True,
    )


def main() -> int:
    arguments = sys.argv[1:]
    nets = [name for name in arguments if name in {case.net for case in CASES}]
    options = [name for name in arguments if name not in nets]
    with tempfile.TemporaryDirectory() as name:
        records = Path(name) / "records"
        records.mkdir()
        write_records(records)
        for case in CASES:
            if not nets or case.net in nets:
                measure(case, records, Path(name), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
