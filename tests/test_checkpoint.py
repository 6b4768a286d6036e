"""Every format of checkpoint is read, and whatever is not one is refused with what was found."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.checkpoints.locating import CheckpointVersion
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.checkpoints.writing import write_checkpoint as write_slim_checkpoint
from slim2keras.errors import CheckpointReadError, NoSpaceError, OutputError
from slim2keras.files import archives
from slim2keras.scopes import VariableKind
from tests.reference import write_checkpoint

VALUES = {
    "net/weights": np.arange(24, dtype="float32").reshape(2, 3, 4),
    "net/weights/Momentum": np.ones((2, 3, 4), "float32"),
    "net/weights/ExponentialMovingAverage": np.zeros((2, 3, 4), "float32"),
    "global_step": np.int64(42),
}


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model.ckpt-42", VALUES)


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "net.ckpt", VALUES, "V1")


def assert_reads(path: Path, version: str) -> None:
    with open_checkpoint(path) as opened:
        assert opened.location.version == version
        assert opened.global_step == 42
        assert set(opened) == set(VALUES)
        for name, value in VALUES.items():
            np.testing.assert_array_equal(opened[name], value)


def pack(archive: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(archive, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive


def files_of(prefix: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in prefix.parent.glob(f"{prefix.name}*") if path.is_file()}


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001"])
def test_v2_is_read_by_prefix_and_by_each_of_its_files(v2: Path, suffix: str) -> None:
    assert_reads(Path(f"{v2}{suffix}"), "V2")


def test_v1_is_one_file(v1: Path) -> None:
    assert_reads(v1, "V1")


def test_a_v2_prefix_may_end_in_ckpt(tmp_path: Path) -> None:
    assert_reads(write_checkpoint(tmp_path / "inception.ckpt", VALUES), "V2")


def test_kinds_and_shapes_are_told_without_reading(v2: Path) -> None:
    with open_checkpoint(v2) as opened:
        assert opened.names(VariableKind.SLOT) == ["net/weights/Momentum"]
        assert opened.names(VariableKind.EMA) == ["net/weights/ExponentialMovingAverage"]
        assert opened.variables["net/weights"].shape == (2, 3, 4)
        with pytest.raises(KeyError, match="Did you mean net/weights"):
            opened["net/weight"]


def test_the_state_file_of_a_directory_decides(tmp_path: Path, v2: Path) -> None:
    write_checkpoint(tmp_path / "model.ckpt-99", {"other/weights": np.ones(2, "float32")})
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-42"\nall_model_checkpoint_paths: "x"\n')
    assert_reads(tmp_path, "V2")


def test_a_directory_that_was_moved_still_finds_its_files(tmp_path: Path, v2: Path) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/home/somebody/train/model.ckpt-42"\n')
    assert_reads(tmp_path, "V2")


def test_the_only_checkpoint_of_a_directory_needs_no_state_file(tmp_path: Path, v2: Path) -> None:
    (tmp_path / "events.out").write_text("not a checkpoint")
    assert_reads(tmp_path, "V2")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_an_archive_is_read_and_cleaned_up(
    tmp_path: Path, suffix: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = write_checkpoint(tmp_path / "model.ckpt", VALUES, version)
    members = {f"./net_2016/{name}": content for name, content in files_of(prefix).items()}
    archive = pack(
        tmp_path / f"net{suffix}", {**members, "./net_2016/frozen.pb": b"graph"}, "w:gz" if "gz" in suffix else "w"
    )
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(unpacked))
    with open_checkpoint(archive) as opened:
        assert opened.location.files == (archive,)
        assert list(unpacked.iterdir())
        np.testing.assert_array_equal(opened["net/weights"], VALUES["net/weights"])
    assert not list(unpacked.iterdir())


def test_an_archive_with_two_checkpoints_is_ambiguous(tmp_path: Path, v1: Path) -> None:
    archive = pack(tmp_path / "two.tgz", {"a.ckpt": v1.read_bytes(), "b.ckpt": v1.read_bytes()})
    with pytest.raises(CheckpointReadError, match=r"2 checkpoints .* a.ckpt, b.ckpt"), open_checkpoint(archive):
        pass


@pytest.mark.parametrize("absolute", [True, False])
def test_a_state_file_in_an_archive_cannot_point_outside(tmp_path: Path, v1: Path, absolute: bool) -> None:
    target = str(v1) if absolute else "../" * 20 + str(v1).lstrip("/")
    archive = pack(tmp_path / "net.tgz", {"checkpoint": f'model_checkpoint_path: "{target}"\n'.encode()})
    with pytest.raises(CheckpointReadError, match="points outside of the archive"), open_checkpoint(archive):
        pass


def test_an_error_of_the_reader_is_no_error_of_the_archive(tmp_path: Path, v1: Path) -> None:
    archive = pack(tmp_path / "net.tgz", {"net.ckpt": v1.read_bytes()})
    with pytest.raises(PermissionError, match="theirs"), open_checkpoint(archive):
        raise PermissionError("theirs")


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "a path upwards": (tarfile.TarInfo("../outside"), "points outside of the archive"),
    "an absolute path": (tarfile.TarInfo("/outside"), "points outside of the archive"),
    "a hidden path upwards": (tarfile.TarInfo("a/../../outside"), "points outside of the archive"),
    "a symbolic link": (link("model.ckpt", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
    "a hard link": (link("model.ckpt", tarfile.LNKTYPE, "/etc/passwd"), "is a link or a device"),
    "a device": (link("model.ckpt", tarfile.CHRTYPE, ""), "is a link or a device"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, what: str, v1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, message = HOSTILE[what]
    archive = tmp_path / "sub" / "hostile.tar"
    archive.parent.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(archive.parent))
    with tarfile.open(archive, "w") as tar:
        tar.add(v1, "good.ckpt")
        tar.addfile(info)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointReadError, match=message), open_checkpoint(archive):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(tmp_path / "bomb.tgz", {"zeros": bytes(2_000_000)})
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 1_000_000)
    with pytest.raises(CheckpointReadError, match="GiB unpacked"), open_checkpoint(archive):
        pass
    many = pack(tmp_path / "many.tgz", {f"file{number}": b"" for number in range(20)})
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 10)
    with pytest.raises(CheckpointReadError, match="over 10 members"), open_checkpoint(many):
        pass


def test_a_damaged_archive_is_refused(tmp_path: Path, v1: Path) -> None:
    random = np.random.RandomState(0)
    archive = pack(tmp_path / "net.tgz", {"net.ckpt": v1.read_bytes(), "README": random.bytes(10_000)})
    whole = archive.read_bytes()
    flipped = []
    for _ in range(40):
        damaged = bytearray(whole)
        # Not the name and the time in the header of gzip, which nothing depends on.
        damaged[random.randint(30, len(whole))] ^= 1 << random.randint(8)
        flipped.append(bytes(damaged))
    for damaged in (b"", whole[: len(whole) // 2], b"no archive at all", *flipped):
        archive.write_bytes(damaged)
        with (
            pytest.raises(CheckpointReadError, match=r"cannot be unpacked|is truncated|net.tgz is corrupt|is refused"),
            open_checkpoint(archive),
        ):
            pass


def damaged_files() -> list[tuple[str, str]]:
    return [
        (version, damage)
        for version in ("V1", "index", "data")
        for damage in ("empty", "truncated", "one bit flipped", "text", "zeros")
    ]


@pytest.mark.parametrize(("which", "damage"), damaged_files())
def test_a_damaged_file_is_refused(tmp_path: Path, which: str, damage: str) -> None:
    prefix = write_checkpoint(tmp_path / "model.ckpt", VALUES, "V1" if which == "V1" else "V2")
    path = {"V1": prefix, "index": Path(f"{prefix}.index"), "data": Path(f"{prefix}.data-00000-of-00001")}[which]
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0x10
    path.write_bytes(
        {
            "empty": b"",
            "truncated": whole[: len(whole) * 2 // 3],
            "one bit flipped": bytes(flipped),
            "text": b"This is a text file.\n" * 20,
            "zeros": bytes(len(whole)),
        }[damage]
    )
    with pytest.raises(CheckpointReadError), open_checkpoint(prefix) as opened:
        dict(opened)


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """No damage may change a number without an error."""
    prefix = write_checkpoint(tmp_path / "model.ckpt", VALUES)
    random = np.random.RandomState(0)
    for path in (Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")):
        whole = path.read_bytes()
        for _ in range(60):
            flipped = bytearray(whole)
            flipped[random.randint(len(whole))] ^= 1 << random.randint(8)
            path.write_bytes(bytes(flipped))
            try:
                with open_checkpoint(prefix) as opened:
                    for name, value in VALUES.items():
                        np.testing.assert_array_equal(opened[name], value)
            except CheckpointReadError:
                pass
        path.write_bytes(whole)


def test_a_missing_shard_is_named(tmp_path: Path, v2: Path) -> None:
    shard = Path(f"{v2}.data-00000-of-00001")
    shard.rename(tmp_path / f"{v2.name}.data-00000-of-00002")
    with pytest.raises(CheckpointReadError, match=r"model.ckpt-42.data-00001-of-00002 missing"), open_checkpoint(v2):
        pass
    (tmp_path / f"{v2.name}.data-00000-of-00002").unlink()
    with pytest.raises(CheckpointReadError, match=r"model.ckpt-42.data-00000-of-00001 missing"), open_checkpoint(v2):
        pass


def test_a_missing_index_is_named(v2: Path) -> None:
    Path(f"{v2}.index").unlink()
    with pytest.raises(CheckpointReadError, match=r"model.ckpt-42.index is missing"), open_checkpoint(v2):
        pass


def test_what_is_not_there_is_answered_with_what_is(tmp_path: Path, v2: Path) -> None:
    with (
        pytest.raises(CheckpointReadError, match=r"Did you mean model.ckpt-42"),
        open_checkpoint(tmp_path / "model.ckpt-41"),
    ):
        pass
    with pytest.raises(CheckpointReadError, match="There is no checkpoint"), open_checkpoint(tmp_path / "no" / "where"):
        pass


def test_directories_that_decide_nothing_are_refused(tmp_path: Path, v2: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointReadError, match="There is no checkpoint in"), open_checkpoint(empty):
        pass
    write_checkpoint(tmp_path / "model.ckpt-43", VALUES)
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
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointReadError, match=message), open_checkpoint(path):
        pass


def test_a_checkpoint_of_tensorflow_2_is_refused_as_such(tmp_path: Path) -> None:
    import tensorflow as tf

    prefix = tf.train.Checkpoint(weights=tf.Variable([1.0])).write(str(tmp_path / "object"))
    with pytest.raises(CheckpointReadError, match="TensorFlow 2 wrote it by object"), open_checkpoint(prefix):
        pass


def test_reading_leaves_the_files_as_they_were(tmp_path: Path, v2: Path) -> None:
    before = files_of(v2)
    copy = shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    with open_checkpoint(copy / v2.name) as opened:
        list(opened.items())
    assert files_of(v2) == before


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
