"""One process at a time in a RUN."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.errors import OutputError
from slim2keras.files.run_lock import run_locked

pytest.importorskip("fcntl", reason="without it there are no locks")


def test_the_second_one_is_refused(tmp_path: Path) -> None:
    """As long as the first one has it; a directory that stays empty is gone again, any other stays."""
    run = tmp_path / "run"
    with run_locked(run):
        with pytest.raises(OutputError, match="by another training"), run_locked(run):
            pass
        assert run.is_dir()
    assert not run.exists()
    with run_locked(run):
        (run / "request.json").touch()
    with run_locked(run):
        assert [path.name for path in run.iterdir()] == ["request.json"]


def test_without_locks_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of a network may have none, and is no reason not to train."""
    import fcntl

    def unknown(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with run_locked(tmp_path):
        pass


def test_where_nothing_can_be_made_nothing_is_locked(tmp_path: Path) -> None:
    """A file in the way is an error of the output."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), run_locked(tmp_path / "file" / "run"):
        pass
