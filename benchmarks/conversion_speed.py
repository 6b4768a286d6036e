"""Conversion of a checkpoint of 60 million parameters to ``.weights.h5``, in time and memory.

Time, model building apart, is a ratio to reading all tensors with TensorFlow's own reader and writing them with h5py.
Memory is the peak above an idle process with TensorFlow imported, as a ratio to the size of the weights; each number
comes from a process of its own.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NET = "resnet_v1_152"
ROUNDS = 5


def make_checkpoint(directory: Path) -> None:
    import numpy as np
    import tensorflow as tf

    from slim2keras.recognition import NetSpec

    variables = list(NetSpec.make(NET, None, {"num_classes": 1000}).trace().variables())
    random = np.random.default_rng(0)
    tf.raw_ops.SaveV2(
        prefix=str(directory / "model.ckpt"),
        tensor_names=[variable.name for variable in variables],
        shape_and_slices=[""] * len(variables),
        tensors=[random.standard_normal(variable.shape, dtype="float32") for variable in variables],
    )


def read_and_write(directory: Path) -> float:
    """Seconds that TensorFlow's reader and h5py need for the same tensors."""
    import h5py
    import tensorflow as tf

    output = directory / "baseline.h5"
    output.unlink(missing_ok=True)
    start = time.perf_counter()
    reader = tf.train.load_checkpoint(str(directory / "model.ckpt"))
    with h5py.File(output, "w") as file:
        for name in reader.get_variable_to_shape_map():
            file.create_dataset(name, data=reader.get_tensor(name))
    return time.perf_counter() - start


def convert(directory: Path) -> float:
    """Seconds of a conversion, without those of building the model."""
    from slim2keras import conversion

    building = 0.0
    build_model = conversion.build_model

    def timed(spec: object) -> object:
        nonlocal building
        start = time.perf_counter()
        model = build_model(spec)
        building += time.perf_counter() - start
        return model

    output = directory / "model.weights.h5"
    output.unlink(missing_ok=True)
    conversion.build_model = timed
    start = time.perf_counter()
    conversion.convert_to_file(directory / "model.ckpt", output, overwrite=True)
    conversion.build_model = build_model
    return time.perf_counter() - start - building


def _peak_resident_kib() -> int:
    """Peak of this process alone; getrusage would start from that of the process it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def report_memory(directory: Path, what: str) -> None:
    """In a process of its own: print the peak resident memory in MiB."""
    import tensorflow as tf
    import tf_keras

    tf_keras.layers.Dense(1)(tf.zeros([1, 1]))
    if what == "convert":
        convert(directory)
    print(_peak_resident_kib() / 1024)


def peak_mib(directory: Path, what: str) -> float:
    command = [sys.executable, "-m", "benchmarks.conversion_speed", what, str(directory)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> int:
    if len(sys.argv) > 1:
        report_memory(Path(sys.argv[2]), sys.argv[1])
        return 0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_checkpoint(directory)
        weights = (directory / "model.ckpt.data-00000-of-00001").stat().st_size / 2**20
        times = []
        for _ in range(ROUNDS):
            gc.collect()  # the model of the round before is no part of this one
            times.append((convert(directory), read_and_write(directory)))
        ours, baseline = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{NET}, {weights:.0f} MiB of weights, median of {ROUNDS} rounds")
        print(f"  time: convert {ours:.2f} s   read and write {baseline:.2f} s   ratio {ours / baseline:.2f}")
        idle, peak = peak_mib(directory, "idle"), peak_mib(directory, "convert")
        print(
            f"  memory: peak {peak:.0f} MiB   idle {idle:.0f} MiB   ratio {(peak - idle) / weights:.2f} of the weights"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
