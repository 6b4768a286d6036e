"""SIGKILL at random moments: a target is whole or absent, the old file survives, and the next run clears what was left.

``python -m tests.faults.kills [--kills N] [NAME ...]`` prints a table. The process that is killed is a fork of one that
has imported everything, so that a kill costs what the command does, and falls into it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults import samples
from tests.faults.samples import SHAPE

KILLS = 200


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        make: Writes what it needs into an empty folder.
        words: Of the command, in the folder.
        target: That it writes.
        check: Reads the target, and raises if it is not whole.
        goes_on: What is run after a kill, where that is another command.
    """

    make: Callable[[Path], None]
    words: tuple[str, ...]
    target: str
    check: Callable[[Path], object]
    goes_on: tuple[str, ...] = ()


def is_a_model(path: Path) -> object:
    import slim2keras

    assert path.with_name(f"{path.name}.json").is_file()
    return slim2keras.load_model(path)


def is_a_checkpoint(path: Path) -> object:
    from slim2keras.checkpoints.reading import open_checkpoint

    with open_checkpoint(path) as opened:
        return dict(opened)


def is_a_run(path: Path) -> object:
    """One that has begun: there is a state to go on from."""
    from slim2keras.files.run_layout import RunLayout
    from slim2keras.trainer.state import read_state

    return read_state(RunLayout(path))


def images(folder: Path) -> None:
    from tests.trainer import runs

    runs.write_images(folder / "images")
    runs.write_network(folder / "tiny.keras", len(runs.CLASSES))


_TRAIN = ("--data", "images", "--batch-norm", "update", "--decay", "0.8", "--batch-size", "8", "--epochs", "2")
COMMANDS: Mapping[str, Command] = {
    **{
        f"convert to {name or 'SavedModel'}": Command(
            samples.v2,
            ("convert", "train", "-o", f"out{name}", "--input-shape", SHAPE, "--overwrite"),
            f"out{name}",
            is_a_model,
        )
        for name in (".keras", ".h5", ".weights.h5", "")
    },
    "export": Command(
        samples.model(".keras"),
        ("export", "tiny.keras", "-o", "out/model.ckpt-1", "--overwrite"),
        "out/model.ckpt-1",
        is_a_checkpoint,
    ),
    "recalibrate": Command(
        images,
        ("recalibrate", "tiny.keras", "--data", "images", "-o", "out.keras", "--overwrite"),
        "out.keras",
        is_a_model,
    ),
    "finetune": Command(
        images,
        ("finetune", "tiny.keras", *_TRAIN, "-o", "run"),
        "run",
        is_a_run,
        ("finetune", "--resume", "run"),
    ),
}


@dataclass
class Tally:
    """What came of the kills."""

    kills: int = 0
    killed: int = 0
    absent: int = 0
    whole: int = 0
    faults: list[str] = field(default_factory=list)


def spawned(words: Sequence[str], folder: Path) -> int:
    """Process id of a fork that runs a command."""
    child = os.fork()
    if child:
        return child
    os.chdir(folder)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    status = 1
    try:
        from tests.cli.running import Result

        status = Result(*words).status
    finally:
        os._exit(status)


def seconds_of(words: Sequence[str], folder: Path) -> float:
    """A whole command takes, which must end well."""
    began = time.perf_counter()
    _, status = os.waitpid(spawned(words, folder), 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began


def kill(name: str, kills: int, seed: int) -> Tally:
    """Run a command so often, and kill it at moments that are spread over the time that it takes."""
    command, tally, random = COMMANDS[name], Tally(), np.random.RandomState(seed)
    with tempfile.TemporaryDirectory() as directory:
        good = Path(directory) / "good"
        good.mkdir()
        _in_a_fork(lambda: command.make(good))
        work = Path(directory) / "work"
        shutil.copytree(good, work)
        seconds = seconds_of(command.words, work)
        for _ in range(kills):
            # Half of the time there is an old file, which must survive; a RUN that exists is refused.
            if command.goes_on or random.randint(2):
                shutil.rmtree(work)
                shutil.copytree(good, work)
            _kill_once(command, work, random.uniform(0.0, 1.1 * seconds), tally)
    return tally


def _kill_once(command: Command, work: Path, delay: float, tally: Tally) -> None:
    target, had_one = work / command.target, (work / command.target).exists()
    child = spawned(command.words, work)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    tally.kills += 1
    tally.killed += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    is_there = _is_there(target)
    tally.whole, tally.absent = tally.whole + is_there, tally.absent + (not is_there)
    if had_one and not is_there:
        tally.faults.append(f"the old {command.target} is gone, killed after {delay:.3f} s")
    if is_there and not _in_a_fork(lambda: command.check(target)):
        tally.faults.append(f"{command.target} is not whole, killed after {delay:.3f} s")
    again = command.goes_on if command.goes_on and is_there else command.words
    if target.is_dir() and command.goes_on and not is_there:
        shutil.rmtree(target)
    seconds_of(again, work)
    left = [str(path.relative_to(work)) for path in work.rglob(".*")]
    if left or not _in_a_fork(lambda: command.check(target)):
        tally.faults.append(f"after a run to the end there is {left}, killed after {delay:.3f} s")


def _is_there(target: Path) -> bool:
    """Whether a target is there under its name; of a RUN, whether it can be gone on with; a checkpoint is its index."""
    from slim2keras.files.run_layout import is_run

    if target.name == "run":
        return is_run(target)
    return target.exists() or target.with_name(f"{target.name}.index").exists()


def _in_a_fork(work: Callable[[], object]) -> bool:
    """Do it in a process of its own, since TensorFlow cannot be forked once it has run; whether it went well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*", default=[*COMMANDS])
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # noqa: F401  before the forks

    from slim2keras.cli.app import app  # noqa: F401

    print("| command | kills | while it ran | target absent | whole | faults |\n|---|---|---|---|---|---|")
    faults: list[str] = []
    for name in asked.names:
        tally = kill(name, -(-asked.kills // len(asked.names)), asked.seed)
        faults += [f"{name}: {fault}" for fault in tally.faults]
        print(
            f"| {name} | {tally.kills} | {tally.killed} | {tally.absent} | {tally.whole} | {len(tally.faults)} |",
            flush=True,
        )
    print("\n".join(["", *faults]))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
