"""Damaged files, thousands of them: each ends with a documented exit code and a message that names the file.

``python -m tests.faults.fuzz [--inputs N] [--seed N] [KIND ...]`` prints a table, and each input that did not, at once
on stderr and all at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.samples import ALL
from tests.faults.tables import print_table
from tests.faults.worker import SECONDS

INPUTS = 10_000
REFUSED = (2, 3, 4)
"""Exit codes of what is not read."""


def faults_of(found: dict[str, Any]) -> list[str]:
    """What a command did wrong; nothing of one that read the file, or refused it well."""
    checks = {
        "exit code": found["status"] in (0, *_refused(found["kind"])),
        "unexpected error": "Unexpected error" not in found["says"] and "Traceback" not in found["says"],
        "the message names no file": not found["status"] or found["names_file"],
        "something is left": not found["left"],
        "the file was changed": found["unchanged"],
    }
    return [name for name, is_well in checks.items() if not is_well]


def _refused(kind: str) -> tuple[int, ...]:
    """That something differs is what ``verify`` is to find."""
    return (*REFUSED, 5) if ALL[kind].command[0] == "verify" else REFUSED


@dataclass
class Tally:
    """What came of the inputs of a kind."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0

    def add(self, found: dict[str, Any]) -> None:
        self.statuses[found["status"]] += 1
        self.seconds, self.peak = max(self.seconds, found["seconds"]), max(self.peak, found["peak"])
        for fault in faults_of(found):
            self.faults.append(f"{found['kind']}, seed {found['seed']}: {fault} ({found['status']}): {found['says']}")


class Worker:
    """A process that runs one input after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "tests.faults.worker"]
        pipe, silent = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silent, text=True, env=environment)

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """What came of an input: a kind, a folder of good files, and a seed."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        found: dict[str, Any] = json.loads(process.stdout.readline())
        if "ended" not in found:
            return found
        says = f"the process ended, {_ENDINGS.get(found['ended'], found['ended'])}"
        return {**job, **_NOTHING, "status": found["ended"], "says": says}

    def stop(self) -> None:
        self._process.communicate()  # at the end of its input it ends


_ENDINGS = {-signal.SIGALRM: f"having taken {SECONDS} s", -signal.SIGABRT: "by abort()", -signal.SIGSEGV: "by a fault"}
_NOTHING = {"seconds": 0.0, "peak": 0, "names_file": True, "left": [], "unchanged": True}


def fuzz(kinds: Sequence[str], inputs: int, seed: int = 0) -> Iterator[tuple[str, Tally]]:
    """Run the inputs, shared alike by the kinds.

    Args:
        kinds: Keys of ``ALL``.
        inputs: In all.
        seed: The first; each input has its own.
    """
    worker = Worker()
    each = -(-inputs // len(kinds))
    try:
        for kind in kinds:
            yield kind, _of_kind(worker, kind, range(seed, seed + each))
    finally:
        worker.stop()


def _of_kind(worker: Worker, kind: str, seeds: range) -> Tally:
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        good = Path(name) / "good"
        good.mkdir()
        ALL[kind].make(good)
        for seed in seeds:
            folder = Path(name) / "work"
            shutil.copytree(good, folder)
            tally.add(worker.run({"kind": kind, "folder": str(folder), "seed": seed}))
            shutil.rmtree(folder)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("kinds", nargs="*", default=[*ALL])
    asked = parser.parse_args()
    columns = ("file", "inputs", "read", "refused: 2, 3, 4 (`verify`: 5)", "faults", "longest", "memory")
    return print_table(columns, (_row(*found) for found in fuzz(asked.kinds, asked.inputs, asked.seed)))


def _row(kind: str, tally: Tally) -> tuple[Sequence[object], Sequence[str]]:
    statuses = tally.statuses
    refused = ", ".join(str(statuses[code]) for code in _refused(kind))
    spent = (f"{tally.seconds:.1f} s", f"{tally.peak / 2**30:.1f} GiB")
    return (kind, statuses.total(), statuses[0], refused, len(tally.faults), *spent), tally.faults


if __name__ == "__main__":
    sys.exit(main())
