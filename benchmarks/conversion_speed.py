"""Conversion and loading of large networks, in time and memory, as ratios of what each must at least take.

Conversion is measured against reading all tensors with TensorFlow's own reader and writing them with h5py; ``.keras``
against ``.weights.h5``; loading of a ``.keras``, by stock tf_keras and by ``load_model``, against that of an ``.h5``;
the command against importing TensorFlow and tf_keras. Both sides of a ratio are taken in turn, and the median of the
rounds is told. Memory is the peak above an idle process with TensorFlow imported, as a ratio to the size of the
weights; each number comes from a process of its own.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NET = "resnet_v1_152"
LOADED_NET = "resnet_v1_101"
SMALL_NET = "mobilenet_v1_025"
ROUNDS = 3


def make_checkpoint(directory: Path, net: str) -> Path:
    import numpy as np
    import tensorflow as tf

    from slim2keras.nets.spec import NetSpec

    variables = list(NetSpec.make(net, None, {"num_classes": 1000}).trace().variables())
    random = np.random.default_rng(0)
    directory.mkdir()
    tf.raw_ops.SaveV2(
        prefix=str(directory / "model.ckpt"),
        tensor_names=[variable.name for variable in variables],
        shape_and_slices=[""] * len(variables),
        tensors=[random.standard_normal(variable.shape, dtype="float32") for variable in variables],
    )
    return directory


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


def convert(directory: Path, output: str) -> float:
    """Seconds of a conversion."""
    from slim2keras.conversion.converting import convert_to_file

    for path in (directory / output, directory / f"{output}.json"):
        path.unlink(missing_ok=True)
    start = time.perf_counter()
    convert_to_file(directory / "model.ckpt", directory / output)
    return time.perf_counter() - start


def seconds_of(function: Callable[[], Any]) -> float:
    gc.collect()  # the model of the round before is no part of this one
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def run(code: str, *arguments: Path | str) -> None:
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True)


def report(what: str, rounds: list[dict[str, float]]) -> None:
    """Print the median of each column, and of its ratio to the first."""
    print(what)
    first = next(iter(rounds[0]))
    for name in rounds[0]:
        seconds = statistics.median(row[name] for row in rounds)
        ratio = statistics.median(row[name] / row[first] for row in rounds)
        print(f"  {name:<34} {seconds:6.2f} s   {ratio:5.2f}")


def time_conversion(directory: Path) -> None:
    gc.collect()
    gc.freeze()  # as the command does
    rounds = [
        {
            "read and write": read_and_write(directory),
            ".weights.h5": convert(directory, "model.weights.h5"),
            ".keras": convert(directory, "model.keras"),
        }
        for _ in range(ROUNDS)
    ]
    report(f"{NET}, conversion", rounds)
    ratio = statistics.median(row[".keras"] / row[".weights.h5"] for row in rounds)
    print(f"  .keras is {ratio:.2f} of .weights.h5")


def time_loading(directory: Path) -> None:
    import tf_keras

    import slim2keras

    h5, keras = directory / "model.h5", directory / "model.keras"
    for path in (h5, keras):
        convert(directory, path.name)
    rounds = [
        {
            "tf_keras, .h5": seconds_of(lambda: tf_keras.models.load_model(h5, compile=False)),
            "tf_keras, .keras": seconds_of(lambda: tf_keras.models.load_model(keras, compile=False)),
            "slim2keras.load_model, .keras": seconds_of(lambda: slim2keras.load_model(keras)),
        }
        for _ in range(ROUNDS)
    ]
    report(f"{LOADED_NET}, loading", rounds)


def time_command(directory: Path) -> None:
    command = "from slim2keras.cli import main; main()"

    def converted(output: str) -> float:
        arguments = ("convert", directory / "model.ckpt", "-o", directory / output, "--overwrite")
        return seconds_of(lambda: run(command, *arguments))

    rounds = [
        {
            "import tensorflow, tf_keras": seconds_of(lambda: run("import tensorflow, tf_keras")),
            "slim2keras convert -o x.weights.h5": converted("x.weights.h5"),
            "slim2keras convert -o x.keras": converted("x.keras"),
        }
        for _ in range(ROUNDS)
    ]
    report(f"{SMALL_NET}, the command", rounds)


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
        convert(directory, "model.weights.h5")
    print(_peak_resident_kib() / 1024)


def peak_mib(directory: Path, what: str) -> float:
    command = [sys.executable, "-m", "benchmarks.conversion_speed", what, str(directory)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> int:
    if len(sys.argv) > 1:
        report_memory(Path(sys.argv[2]), sys.argv[1])
        return 0
    with tempfile.TemporaryDirectory() as name:
        time_command(make_checkpoint(Path(name) / "small", SMALL_NET))
        time_loading(make_checkpoint(Path(name) / "loaded", LOADED_NET))
        directory = make_checkpoint(Path(name) / "converted", NET)
        time_conversion(directory)
        weights = (directory / "model.ckpt.data-00000-of-00001").stat().st_size / 2**20
        idle, peak = peak_mib(directory, "idle"), peak_mib(directory, "convert")
        print(
            f"  memory: peak {peak:.0f} MiB   idle {idle:.0f} MiB   ratio {(peak - idle) / weights:.2f} of the weights"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
