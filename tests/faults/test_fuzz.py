"""Some of ``make faults``: damaged files of every kind end with a documented exit code and a message that names them.

And the fuzzer tells a fault where there is one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slim2keras.errors import ExitStatus
from tests.faults.fuzz import Worker, faults_of
from tests.faults.samples import ALL

WELL: dict[str, Any] = {
    "kind": "V1 checkpoint",
    "status": 3,
    "says": "Error: net.ckpt is corrupt: it ends too early.",
    "names_file": True,
    "left": [],
    "unchanged": True,
}
WRONG: dict[str, dict[str, Any]] = {
    "exit code": {"status": 1},
    "unexpected error": {"says": "Unexpected error: KeyError: 'a'"},
    "the message names no file": {"names_file": False},
    "something is left": {"left": ["train/.out.keras.123456"]},
    "the file was changed": {"unchanged": False},
}


def test_what_was_refused_well_has_no_fault() -> None:
    """And a file that is read needs no message."""
    assert not faults_of(WELL)
    assert not faults_of({**WELL, "status": 0, "says": "", "names_file": False})


@pytest.mark.parametrize("fault", WRONG)
def test_each_fault_is_told(fault: str) -> None:
    """One at a time, by its name."""
    assert faults_of({**WELL, **WRONG[fault]}) == [fault]


def test_what_differs_is_told_by_verify_alone() -> None:
    """Which is what its exit code is for."""
    assert not faults_of({**WELL, "status": ExitStatus.PARITY, "kind": "report values, verified"})


@pytest.mark.parametrize("status", [-6, -11, -14, 5, 130])
def test_a_process_that_ended_is_a_fault(status: int) -> None:
    """By a signal, because it took too long, or with an exit code that the command does not have."""
    assert faults_of({**WELL, "status": status}) == ["exit code"]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_a_good_file_is_read_and_a_damaged_one_is_refused_well(worker: Worker, tmp_path: Path, kind: str) -> None:
    """Of a sick checkpoint doctor says so; what is refused is refused for its damage, always the same."""
    good = tmp_path / "good"
    good.mkdir()
    ALL[kind].make(good)
    for seed in (None, 10, 11):
        folder = tmp_path / "work"
        shutil.copytree(good, folder)
        found = worker.run({"kind": kind, "folder": str(folder), "seed": seed})
        shutil.rmtree(folder)
        if seed is None:
            read = ExitStatus.SICK if kind == ".meta beside a checkpoint" else ExitStatus.OK
            assert found["status"] == read, found["says"]
        else:
            assert not faults_of(found), found
