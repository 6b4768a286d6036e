"""Images a second of two processes with a core each, over one process with both cores; 1.0 loses nothing.

Input alone (reading, decoding, augmenting) and fine-tuning of ``mobilenet_v1`` at 128 pixels, update of BatchNorm and
exchange of gradients over loopback included. Two cores are shared by all, so that no ratio can be more than what one
process leaves idle. Rounds alternate; medians count.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH, STEPS, WARM, ROUNDS = 32, 20, 5, 3
CORES = 2


def measure(folder: Path, what: str, workers: int, worker: int) -> float:
    """Images a second of all workers together, as one of them sees it."""
    os.sched_setaffinity(0, {worker} if workers > 1 else set(range(CORES)))
    import tensorflow as tf

    threads = CORES // workers
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from slim2keras.data.batches import Reading, training_batches
    from slim2keras.data.listing import list_for_network
    from slim2keras.models.strategies import open_team
    from slim2keras.nets.spec import NetSpec

    team = open_team("multi_worker" if workers > 1 else None)
    network = NetSpec.make("mobilenet_v1", (128, 128, 3), {"num_classes": 4})
    examples = list_for_network(folder / "files", network)

    def part(number: int, count: int) -> Any:
        return training_batches(examples, network, BATCH, slices=(number, count), reading=Reading(workers=threads))

    run = _trains(network, team, part) if what == "training" else _reads(part(worker, workers))
    run(WARM)
    team.wait()
    began = time.perf_counter()
    run(STEPS)
    team.wait()
    return STEPS * BATCH / (time.perf_counter() - began)


def _reads(batches: Any) -> Any:
    iterator = iter(batches)
    return lambda steps: [next(iterator) for _ in range(steps)]


def _trains(network: Any, team: Any, part: Any) -> Any:
    import slim2keras
    from slim2keras.losses import SoftmaxCrossEntropy
    from slim2keras.models.building import build_model
    from slim2keras.optimizers import RMSProp

    with team.scope():
        tuned = slim2keras.finetune(build_model(network), batch_norm="update", decay=0.9)
        tuned.compile(RMSProp(0.01), SoftmaxCrossEntropy(), metrics=["accuracy"])
    batches = team.shared(part, BATCH)
    return lambda steps: tuned.fit(batches, steps_per_epoch=steps, verbose=0)


def together(folder: Path, what: str, workers: int) -> float:
    """Images a second of so many processes."""
    ports = [_free_port() for _ in range(workers)]
    processes = []
    for worker in range(workers):
        task = {"type": "worker", "index": worker}
        config = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": task}
        environment = {**os.environ, **({"TF_CONFIG": json.dumps(config)} if workers > 1 else {})}
        command = [sys.executable, "-m", "benchmarks.scaling_speed", str(folder), what, str(workers), str(worker)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in processes]
    return min(float(text.split()[-1]) for text in said)


def _free_port() -> int:
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        return int(item.getsockname()[1])


def main() -> None:
    """Print a line for input and one for training."""
    from benchmarks.input_speed import write_photographs

    with tempfile.TemporaryDirectory() as place:
        write_photographs(Path(place))
        for what in ("input", "training"):
            rounds = [(together(Path(place), what, 1), together(Path(place), what, 2)) for _ in range(ROUNDS)]
            one, two = map(statistics.median, zip(*rounds, strict=True))
            ratio = statistics.median(after / before for before, after in rounds)
            print(f"{what:<10} {one:7.1f} images/s in one process  {two:7.1f} in two  {ratio:.2f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _, path, subject, count, number = sys.argv
        print(measure(Path(path), subject, int(count), int(number)))
    else:
        main()
