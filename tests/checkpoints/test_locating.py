"""Where a checkpoint is: by prefix, file or directory, and what is said where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from slim2keras.checkpoints.locating import locate_checkpoint
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.cli.console import check_checkpoint
from slim2keras.errors import CheckpointReadError
from tests.files.half_moved import half_move
from tests.reference import TRAINED_VALUES, write_checkpoint


def assert_reads(path: Path, version: str) -> None:
    with open_checkpoint(path) as opened:
        assert opened.location.version == version
        assert opened.global_step == 42
        assert set(opened) == set(TRAINED_VALUES)
        for name, value in TRAINED_VALUES.items():
            np.testing.assert_array_equal(opened[name], value)


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001"])
def test_v2_is_read_by_prefix_and_by_each_of_its_files(v2: Path, suffix: str) -> None:
    """Whichever of them is named, the whole checkpoint is read."""
    assert_reads(Path(f"{v2}{suffix}"), "V2")


def test_v1_is_one_file(v1: Path) -> None:
    """The format of the 2016 files is read."""
    assert_reads(v1, "V1")


@pytest.mark.parametrize("has_old", [False, True])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_what_was_replaced_half_way_is_whole_before_it_is_read(
    v1: Path, v2: Path, tmp_path: Path, version: str, has_old: bool
) -> None:
    """The one who wrote it was killed before the last of its files had its name."""
    target = {"V1": v1, "V2": Path(f"{v2}.index")}[version]
    beside = {"V1": v1.with_name(f"{v1.name}.json"), "V2": Path(f"{v2}.data-00000-of-00001")}[version]
    beside.touch()
    half_move(target, beside)
    if has_old:
        target.write_bytes(b"old")
    assert_reads({"V1": v1, "V2": v2}[version], version)


def test_a_graph_without_its_checkpoint_is_told_from_a_broken_file(tmp_path: Path, v1: Path) -> None:
    """The values lie in other files: beside it, whatever their format, or nowhere."""
    beside, alone = Path(f"{v1}.meta"), tmp_path / "model.ckpt-7.meta"
    for path in (beside, alone):
        path.write_bytes(b"\x0a\x05graph")
    assert_reads(beside, "V1")
    with pytest.raises(CheckpointReadError, match=r"model\.ckpt-7\.meta is not a checkpoint: it is the graph of one"):
        locate_checkpoint(alone)


def test_a_v2_prefix_may_end_in_ckpt(tmp_path: Path) -> None:
    """The suffix of the old format does not decide about the format."""
    assert_reads(write_checkpoint(tmp_path / "inception.ckpt", TRAINED_VALUES), "V2")


def test_the_state_file_of_a_directory_decides(tmp_path: Path, v2: Path) -> None:
    """The checkpoint that it names is read, not the one of the highest step."""
    write_checkpoint(tmp_path / "model.ckpt-99", {"other/weights": np.ones(2, "float32")})
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-42"\nall_model_checkpoint_paths: "x"\n')
    assert_reads(tmp_path, "V2")


def test_a_directory_that_was_moved_still_finds_its_files(tmp_path: Path, v2: Path) -> None:
    """An absolute path of another machine is looked for beside the state file."""
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/home/somebody/train/model.ckpt-42"\n')
    assert_reads(tmp_path, "V2")


def test_the_only_checkpoint_of_a_directory_needs_no_state_file(tmp_path: Path, v2: Path) -> None:
    """Other files beside it do not matter."""
    (tmp_path / "events.out").write_text("not a checkpoint")
    assert_reads(tmp_path, "V2")


def test_a_missing_shard_is_named(tmp_path: Path, v2: Path) -> None:
    """Whether one of several or the only one is gone."""
    shard = Path(f"{v2}.data-00000-of-00001")
    shard.rename(tmp_path / f"{v2.name}.data-00000-of-00002")
    with pytest.raises(CheckpointReadError, match=r"model.ckpt-42.data-00001-of-00002 missing"), open_checkpoint(v2):
        pass
    (tmp_path / f"{v2.name}.data-00000-of-00002").unlink()
    with pytest.raises(CheckpointReadError, match=r"model.ckpt-42.data-00000-of-00001 missing"), open_checkpoint(v2):
        pass


def test_a_missing_index_is_named(v2: Path) -> None:
    """Data without an index are told from no checkpoint at all."""
    Path(f"{v2}.index").unlink()
    with pytest.raises(CheckpointReadError, match=r"model.ckpt-42.index is missing"), open_checkpoint(v2):
        pass


def test_what_is_not_there_is_answered_with_what_is(tmp_path: Path, v2: Path) -> None:
    """A step that was never saved is answered with the nearest name."""
    with (
        pytest.raises(CheckpointReadError, match=r"Did you mean model.ckpt-42"),
        open_checkpoint(tmp_path / "model.ckpt-41"),
    ):
        pass
    with pytest.raises(CheckpointReadError, match="There is no checkpoint"), open_checkpoint(tmp_path / "no" / "where"):
        pass


def test_directories_that_decide_nothing_are_refused(tmp_path: Path, v2: Path) -> None:
    """Empty, with two checkpoints, with a state file of nonsense or one that names what is gone."""
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointReadError, match="There is no checkpoint in"), open_checkpoint(empty):
        pass
    write_checkpoint(tmp_path / "model.ckpt-43", TRAINED_VALUES)
    with pytest.raises(CheckpointReadError, match="has 2 checkpoints"), open_checkpoint(tmp_path):
        pass
    (tmp_path / "checkpoint").write_text("nonsense")
    with pytest.raises(CheckpointReadError, match="no line model_checkpoint_path"), open_checkpoint(tmp_path):
        pass
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-7"\n')
    with pytest.raises(CheckpointReadError, match=r"There is no checkpoint .*model.ckpt-7"), open_checkpoint(tmp_path):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"just some text\n", "it is text, beginning 'just some text"),
        (b"", "it is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"PK\x03\x04" + bytes(100), "compressed archive"),
        (bytes(range(256)), "not those of a TensorFlow table"),
    ],
)
def test_a_file_that_is_something_else_is_called_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    """The message says what the file seems to be."""
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointReadError, match=message), open_checkpoint(path):
        pass


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b", ".", "..", "/", "\u202e", ""])
def test_a_name_that_no_file_has_is_an_error(tmp_path: Path, name: str) -> None:
    """In a `checkpoint` file as on the command line."""
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\n')
    with pytest.raises(CheckpointReadError, match=re.escape(str(tmp_path))), open_checkpoint(tmp_path):
        pass
    with pytest.raises(CheckpointReadError, match=re.escape(str(tmp_path))):
        locate_checkpoint(tmp_path)


def test_a_path_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    """By the library as by the command line."""
    with pytest.raises(CheckpointReadError, match="cannot be read: File name too long"), open_checkpoint("x" * 300):
        pass
    with pytest.raises(CheckpointReadError, match="cannot be read: File name too long"):
        check_checkpoint(Path("x" * 300))
