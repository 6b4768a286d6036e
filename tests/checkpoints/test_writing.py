"""A checkpoint is written whole or not at all, and its directory names it as slim's Saver does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.checkpoints import writing
from slim2keras.checkpoints.locating import CheckpointVersion
from slim2keras.checkpoints.writing import write_checkpoint as write_slim_checkpoint
from slim2keras.errors import NoSpaceError, OutputError


def named(directory: Path) -> tuple[str | None, list[str]]:
    """Latest and all checkpoints of a directory, as TensorFlow finds them."""
    import tensorflow as tf

    state = tf.train.get_checkpoint_state(str(directory))
    return (None, []) if state is None else (state.model_checkpoint_path, list(state.all_model_checkpoint_paths))


def write_ours(prefix: Path, **options: Any) -> None:
    write_slim_checkpoint(prefix, {"weights": np.ones(3, "float32")}, CheckpointVersion.V2, **options)


def test_the_newest_checkpoint_becomes_the_latest(tmp_path: Path) -> None:
    """As after slim's Saver: the others stay named, and one that is written again moves to the end."""
    paths = [str(tmp_path / f"model.ckpt-{step}") for step in (19, 38, 57)]
    for path in paths:
        write_ours(Path(path))
        assert named(tmp_path)[0] == path
    assert named(tmp_path)[1] == paths
    write_ours(Path(paths[0]), overwrite=True)
    assert named(tmp_path) == (paths[0], [*paths[1:], paths[0]])


def test_what_slims_saver_named_stays_named(tmp_path: Path) -> None:
    """Of a directory that slim trained in."""
    import tensorflow as tf

    tf.compat.v1.train.update_checkpoint_state(
        str(tmp_path), "model.ckpt-2", ["/elsewhere/model.ckpt-1", "model.ckpt-2"]
    )
    write_ours(tmp_path / "model.ckpt-1")
    assert named(tmp_path)[1] == [
        "/elsewhere/model.ckpt-1",
        str(tmp_path / "model.ckpt-2"),
        str(tmp_path / "model.ckpt-1"),
    ]


def test_what_another_process_names_meanwhile_stays_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large checkpoint is long in being written; what is somebody's own by then is left, too."""
    save, theirs = writing._save, iter([lambda: write_ours(tmp_path / "b"), lambda: state.write_text("my own notes")])
    state = tmp_path / "checkpoint"

    def saving(*arguments: Any) -> None:
        save(*arguments)
        if arguments[0].name in ("a", "c"):
            next(theirs)()

    monkeypatch.setattr(writing, "_save", saving)
    write_ours(tmp_path / "a")
    assert named(tmp_path) == (str(tmp_path / "a"), [str(tmp_path / "b"), str(tmp_path / "a")])
    write_ours(tmp_path / "c")
    assert state.read_text() == "my own notes"


@pytest.mark.parametrize("content", [b"my own notes\n", bytes(range(256))])
def test_a_checkpoint_file_of_somebodys_own_is_left(tmp_path: Path, content: bytes) -> None:
    """Nothing of the user's is lost for it."""
    (tmp_path / "checkpoint").write_bytes(content)
    write_ours(tmp_path / "model.ckpt-1")
    assert (tmp_path / "checkpoint").read_bytes() == content


def test_a_checkpoint_that_cannot_be_written_leaves_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing, the file that names it too."""
    write_ours(tmp_path / "model.ckpt-1")
    before = sorted(path.name for path in tmp_path.iterdir())

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slim2keras.checkpoints.writing._save", broken)
    with pytest.raises(NoSpaceError):
        write_ours(tmp_path / "model.ckpt-2")
    assert named(tmp_path)[0] == str(tmp_path / "model.ckpt-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_checkpoint_cannot_have_the_name_of_the_file_that_names_it(tmp_path: Path) -> None:
    """slim's Saver would overwrite it by its own state."""
    with pytest.raises(OutputError, match="names its checkpoints"):
        write_ours(tmp_path / "checkpoint")
    assert not list(tmp_path.iterdir())
