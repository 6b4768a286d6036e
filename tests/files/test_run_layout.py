"""Whether a RUN may be made in a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.errors import OutputError
from slim2keras.files.run_layout import check_run_is_free


def test_the_beginning_of_a_training_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    """The same command may be given again; what anybody else put there is left as it is, also names of classes."""
    for name in ("last/state-000001/model.keras", f"last/.state-000002.{'0a' * 6}/half", "labels.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (f".request.json.{'0a' * 6}", ".request.json.moving", f".{'0a' * 12}"):
        (tmp_path / name).mkdir()
    check_run_is_free(tmp_path)
    for name in ("notes.txt", ".mine", "last/photo.jpg", "last/state-000002"):
        (tmp_path / name).touch()
        with pytest.raises(OutputError, match="exists already and is left as it is"):
            check_run_is_free(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / ".request.json.moving").rmdir()
    with pytest.raises(OutputError, match="exists already and is left as it is"):
        check_run_is_free(tmp_path)
    (tmp_path / "request.json").touch()
    with pytest.raises(OutputError, match="--resume"):
        check_run_is_free(tmp_path)
