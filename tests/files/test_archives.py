"""Archives are unpacked, read and cleaned up; hostile and damaged ones leave nothing."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import CheckpointReadError
from slim2keras.files import archives
from tests.reference import TRAINED_VALUES, files_of, write_checkpoint


def pack(archive: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(archive, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_an_archive_is_read_and_cleaned_up(
    tmp_path: Path, suffix: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed or not, of either version: what was unpacked is gone afterwards."""
    prefix = write_checkpoint(tmp_path / "model.ckpt", TRAINED_VALUES, version)
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
        np.testing.assert_array_equal(opened["net/weights"], TRAINED_VALUES["net/weights"])
    assert not list(unpacked.iterdir())


def test_an_archive_with_two_checkpoints_is_ambiguous(tmp_path: Path, v1: Path) -> None:
    """Both are named, none is guessed."""
    archive = pack(tmp_path / "two.tgz", {"a.ckpt": v1.read_bytes(), "b.ckpt": v1.read_bytes()})
    with pytest.raises(CheckpointReadError, match=r"2 checkpoints .* a.ckpt, b.ckpt"), open_checkpoint(archive):
        pass


@pytest.mark.parametrize("absolute", [True, False])
def test_a_state_file_in_an_archive_cannot_point_outside(tmp_path: Path, v1: Path, absolute: bool) -> None:
    """No file of this machine is read on behalf of an archive."""
    target = str(v1) if absolute else "../" * 20 + str(v1).lstrip("/")
    archive = pack(tmp_path / "net.tgz", {"checkpoint": f'model_checkpoint_path: "{target}"\n'.encode()})
    with pytest.raises(CheckpointReadError, match="points outside of the archive"), open_checkpoint(archive):
        pass


def test_an_error_of_the_reader_is_no_error_of_the_archive(tmp_path: Path, v1: Path) -> None:
    """What the user's own code raises comes through as it is."""
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
    """Paths outside, links and devices are refused before anything is unpacked."""
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
    """By its size unpacked, and by the number of its members."""
    archive = pack(tmp_path / "bomb.tgz", {"zeros": bytes(2_000_000)})
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 1_000_000)
    with pytest.raises(CheckpointReadError, match="GiB unpacked"), open_checkpoint(archive):
        pass
    many = pack(tmp_path / "many.tgz", {f"file{number}": b"" for number in range(20)})
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 10)
    with pytest.raises(CheckpointReadError, match="over 10 members"), open_checkpoint(many):
        pass


def test_a_damaged_archive_is_refused(tmp_path: Path, v1: Path) -> None:
    """Cut, empty or with one bit off, it is an error in words."""
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


def test_an_error_names_the_archive_and_not_where_it_was_unpacked(tmp_path: Path) -> None:
    """The directory is gone when the message is read."""
    prefix = write_checkpoint(tmp_path / "model.ckpt-1", TRAINED_VALUES)
    members = {**files_of(prefix), "checkpoint": b'model_checkpoint_path: "model.ckpt-2"\n'}
    archive = pack(tmp_path / "net.tar.gz", members)
    with (
        pytest.raises(CheckpointReadError, match=r"no checkpoint .*/net\.tar\.gz/model\.ckpt-2"),
        open_checkpoint(archive),
    ):
        pass
