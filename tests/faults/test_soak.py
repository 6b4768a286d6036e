"""A process that works for long does not grow; the thousands are ``python -m tests.faults.soak``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import soak

if not Path("/proc/self/status").is_file():
    pytest.skip("memory is what Linux says of it", allow_module_level=True)

FEW = {"conversions by the command": 80, "steps of fit": 200}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_memory_stays_what_it_is(name: str) -> None:
    """A tenth for the warm-up, as in the long run, and the same bound."""
    gauge = soak.soak(name, FEW[name])
    assert gauge.done >= FEW[name]
    assert not soak.faults_of(name, gauge)


def test_a_leak_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory, with the number of objects beside it."""
    kept: list[bytearray] = []

    def leaks(folder: Path, count: int, tick: soak.Tick) -> None:
        for _ in range(count):
            kept.append(bytearray(b"x" * 2**21))
            tick(1)

    monkeypatch.setitem(soak.WORKS, "leaks", leaks)
    gauge = soak.soak("leaks", 50)
    assert gauge.end - gauge.start >= 80 * 2**20
    assert "leaks: memory grew by" in soak.faults_of("leaks", gauge)[0]
    monkeypatch.setitem(soak.WORKS, "leaks", lambda folder, count, tick: [tick(1) for _ in range(count)])
    assert not soak.faults_of("leaks", soak.soak("leaks", 50))
