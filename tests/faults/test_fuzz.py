"""Some of ``make faults``: damaged files of every kind end with a documented exit code and a message that names them.

And the fuzzer tells a fault where there is one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slim2keras.errors import ExitStatus
from tests.faults.fuzz import Worker, faults_of, fuzz
from tests.faults.samples import ALL

WELL: dict[str, Any] = {
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


@pytest.mark.parametrize("status", [-6, -11, -14, 130])
def test_a_process_that_ended_is_a_fault(status: int) -> None:
    """By a signal, or because it took too long."""
    assert faults_of({**WELL, "status": status}) == ["exit code"]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_the_good_file_is_read(worker: Worker, kind: str) -> None:
    """What is refused is refused for its damage; of a sick checkpoint doctor says so."""
    with tempfile.TemporaryDirectory() as name:
        ALL[kind].make(Path(name))
        found = worker.run({"kind": kind, "folder": name, "seed": None})
    assert found["status"] == (ExitStatus.SICK if kind == ".meta beside a checkpoint" else ExitStatus.OK), found["says"]


@pytest.mark.slow
def test_damaged_files_of_every_kind_are_refused_well() -> None:
    """Two of each, always the same."""
    for kind, tally in fuzz([*ALL], 2 * len(ALL), seed=10):
        assert not tally.faults, (kind, tally.faults)
