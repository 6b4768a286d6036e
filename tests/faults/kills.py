"""SIGKILL, Ctrl-C and SIGTERM at random moments: a target is whole or absent, and the old file survives.

``python -m tests.faults.kills [--signal KILL|INT|TERM] [--kills N] [NAME ...]`` prints a table. After SIGKILL the next
run clears what was left; after the others nothing is left, and the exit code is that of an interruption. The process is
a fork of one that has imported everything, so that a kill costs what the command does, and falls into it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slim2keras.errors import ExitStatus
from slim2keras.files.output_files import report_path, sha256, sha256_of_files
from tests.faults.commands import COMMANDS, Command, Process, goes_well, hidden_in, import_all, is_there, seconds_of
from tests.faults.tables import print_table

KILLS = 200
SIGNALS = {"KILL": signal.SIGKILL, "INT": signal.SIGINT, "TERM": signal.SIGTERM}
_ROUND = 4
"""Kills before a run to the end."""


@dataclass
class Tally:
    """What came of the kills."""

    kills: int = 0
    killed: int = 0
    left: int = 0
    faults: list[str] = field(default_factory=list)


def kill(name: str, kills: int, seed: int, number: signal.Signals = signal.SIGKILL) -> Tally:
    """Run a command so often, and stop it at moments that are spread over the time that it takes.

    Every other one falls into its writing: it is waited for until something hidden is there.
    """
    command, tally, random = COMMANDS[name], Tally(), np.random.RandomState(seed)
    with tempfile.TemporaryDirectory() as directory:
        good = Path(directory) / "good"
        good.mkdir()
        goes_well(lambda: command.make(good))
        unbroken, work = (Path(directory) / name for name in ("unbroken", "work"))
        shutil.copytree(good, unbroken)
        seconds = seconds_of(command.words, unbroken)
        shutil.copytree(unbroken, work)
        if not goes_well(lambda: command.check(unbroken / command.target)):
            raise RuntimeError(f"{command.target} is not whole without any kill")
        killing = _Killing(command, work, unbroken, number, tally)
        for count in range(kills):
            # Half of the time there is an old file, which must survive; a RUN that has ended has nothing to do.
            if count % _ROUND == 0 and (command.goes_on or random.randint(2)):
                shutil.rmtree(work)
                shutil.copytree(good, work)
            is_of_writing = bool(count % 2)
            # What is small is written in a thousandth of the time.
            delay = seconds * (10 ** random.uniform(-4.0, -0.5) if is_of_writing else random.uniform(0.0, 1.0))
            killing.kill(_Moment(delay, is_of_writing))
            if count % _ROUND == _ROUND - 1 or count == kills - 1:
                killing.go_on()
    return tally


@dataclass(frozen=True)
class _Moment:
    delay: float
    is_of_writing: bool

    def wait(self, process: Process, folder: Path) -> None:
        deadline = time.monotonic() + 60
        while self.is_of_writing and not hidden_in(folder) and time.monotonic() < deadline:
            if os.waitid(os.P_PID, process.id, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            time.sleep(0.001)
        time.sleep(self.delay)

    def __str__(self) -> str:
        return f"{self.delay:.3f} s after {'something hidden was there' if self.is_of_writing else 'it began'}"


@dataclass
class _Killing:
    command: Command
    work: Path
    unbroken: Path
    number: signal.Signals
    tally: Tally
    checked: object = None
    moment: _Moment | None = None

    @property
    def target(self) -> Path:
        return self.work / self.command.target

    @property
    def words(self) -> Sequence[str]:
        """What goes on, or else begins."""
        return self.command.goes_on if self.command.goes_on and is_there(self.target) else self.command.words

    def kill(self, moment: _Moment) -> None:
        tally, had_one, self.moment = self.tally, is_there(self.target), moment
        process = Process(self.words, self.work)
        moment.wait(process, self.work)
        os.kill(process.id, self.number)
        ended = process.end()
        tally.kills += 1
        tally.killed += ended.status != 0
        is_hard = self.number is signal.SIGKILL
        wanted = (0, -signal.SIGKILL if is_hard else ExitStatus.INTERRUPTED)
        if ended.status not in wanted or "Traceback" in ended.says:
            self._fault(f"it ended with {ended.status}: {ended.says[-2000:]}")
        is_found, left = is_there(self.target), hidden_in(self.work)
        tally.left += bool(left)
        if left and not is_hard:
            self._fault(f"left: {left}")
        if had_one and not is_found:
            self._fault(f"the old {self.command.target} is gone")
        if is_found:
            self._check("it is not whole")

    def go_on(self) -> None:
        """A later run clears what dead ones left, and a training that goes on ends as one that was not stopped."""
        ended = Process(self.words, self.work).end()
        if ended.status:
            self._fault(f"the next run ends with {ended.status}: {ended.says[-2000:]}")
            return
        if left := hidden_in(self.work):
            self._fault(f"after a run to the end there is {left}")
        self._check("after a run to the end it is not whole")
        other = self.unbroken / self.command.target
        if self.command.goes_on and not goes_well(lambda: _check_same_runs(self.target, other)):
            self._fault("it went on to another end than one that was not stopped")

    def _check(self, fault: str) -> None:
        found = {**sha256_of_files(self.target.parent)} if self.target.parent != self.work else _hashes(self.target)
        if found != self.checked and not goes_well(lambda: self.command.check(self.target)):
            self._fault(fault)
        self.checked = found

    def _fault(self, what: str) -> None:
        self.tally.faults.append(f"{what}; {self.number.name} {self.moment}")


def _hashes(target: Path) -> object:
    """Of a target and of its report."""
    report = report_path(target)
    own = sha256_of_files(target) if target.is_dir() else sha256(target)
    return own, sha256(report) if report.exists() else None


def _check_same_runs(run: Path, unbroken: Path) -> None:
    from tests.trainer.runs import assert_same_runs

    assert_same_runs(run, unbroken)
    assert (run / "report.json").is_file()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", choices=[*SIGNALS], action="append", help="several times for several; else all")
    parser.add_argument("--kills", type=int, default=KILLS, help="by each signal, shared alike by the commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*", default=[*COMMANDS])
    asked = parser.parse_args()
    import_all()
    each = -(-asked.kills // len(asked.names))
    columns = (
        "command",
        "SIGKILL",
        "while it ran",
        "drafts left, cleared by the next run",
        "Ctrl-C",
        "SIGTERM",
        "faults",
    )
    return print_table(columns, (_row(name, each, asked.seed, asked.signal or [*SIGNALS]) for name in asked.names))


def _row(name: str, kills: int, seed: int, signals: Sequence[str]) -> tuple[Sequence[object], Sequence[str]]:
    tallies = {key: kill(name, kills, seed, SIGNALS[key]) for key in signals}
    faults = [f"{name}: {fault}" for tally in tallies.values() for fault in tally.faults]
    hard = tallies.get("KILL")
    of_hard = (hard.kills, hard.killed, hard.left) if hard else ("-", "-", "-")
    others = (tallies[key].kills if key in tallies else "-" for key in ("INT", "TERM"))
    return (name, *of_hard, *others, len(faults)), faults


if __name__ == "__main__":
    sys.exit(main())
