"""Unpacking ``.tar.gz`` and ``.tgz``, within bounds, whatever the archive claims."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from slim2keras.errors import CheckpointReadError

MAX_ARCHIVE_BYTES = 16 * 2**30
"""Most that an archive may unpack to: four times the largest training checkpoint published with slim."""

MAX_ARCHIVE_MEMBERS = 10_000


@contextlib.contextmanager
def unpacked_archive(archive: Path) -> Iterator[Path]:
    """Unpack a tar archive into a temporary directory, which is gone when the block ends.

    Raises:
        CheckpointReadError: As ``unpack_archive``, or if the disk has no room.
    """
    with tempfile.TemporaryDirectory(prefix="slim2keras-") as name:
        directory = Path(name)
        with _unpack_errors(archive, directory):
            unpack_archive(archive, directory)
        yield directory


def unpack_archive(archive: Path, directory: Path) -> None:
    """Unpack the regular files of a tar archive into an empty directory.

    Raises:
        CheckpointReadError: If the archive is corrupt, or has a member that points outside, is a link or a device, or
            if it unpacks to more than ``MAX_ARCHIVE_BYTES``; nothing outside ``directory`` is ever written.
    """
    total = 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for count, member in enumerate(tar, start=1):
                total += member.size
                _check_member(member, archive, count, total)
                if member.isfile():
                    target = directory / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source = tar.extractfile(member)
                    assert source is not None
                    with source, target.open("wb") as sink:
                        _copy_whole(source, sink, member, archive)
            _check_rest(tar, archive)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename != str(archive):
            raise
        raise CheckpointReadError(
            f"{archive} cannot be unpacked: {error or type(error).__name__}. "
            "It is not a tar archive, or it is truncated or corrupt; fetch it again."
        ) from error


def _check_rest(tar: tarfile.TarFile, archive: Path) -> None:
    """Read what follows the last member: gzip's checksum of the whole stands at its very end."""
    assert tar.fileobj is not None
    rest = 0
    while block := tar.fileobj.read(2**20):
        rest += len(block)
        if rest > MAX_ARCHIVE_BYTES:
            raise CheckpointReadError(
                f"{archive} is refused: over {MAX_ARCHIVE_BYTES / 2**30:.0f} GiB follow its last member."
            )


def _copy_whole(source: IO[bytes], sink: IO[bytes], member: tarfile.TarInfo, archive: Path) -> None:
    shutil.copyfileobj(source, sink, 2**20)
    if sink.tell() != member.size:
        raise CheckpointReadError(
            f"{archive} is truncated: {member.name} has {sink.tell()} of {member.size} bytes. Fetch it again."
        )


def _check_member(member: tarfile.TarInfo, archive: Path, count: int, total: int) -> None:
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts or "\\" in member.name:
        reason = "points outside of the archive"
    elif not (member.isfile() or member.isdir()):
        reason = "is a link or a device"
    elif total > MAX_ARCHIVE_BYTES:
        reason = f"takes the archive over {MAX_ARCHIVE_BYTES / 2**30:.0f} GiB unpacked"
    elif count > MAX_ARCHIVE_MEMBERS:
        reason = f"takes the archive over {MAX_ARCHIVE_MEMBERS} members"
    else:
        return
    raise CheckpointReadError(
        f"{archive} is refused: its member {member.name!r} {reason}. Nothing was unpacked outside a temporary "
        "directory. If you trust the file, unpack it yourself and give the path of what is in it."
    )


@contextlib.contextmanager
def _unpack_errors(archive: Path, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointReadError(
            f"{archive} cannot be unpacked into {directory}: {error.strerror or error}. "
            "Set TMPDIR to a directory with room, or unpack the archive yourself."
        ) from error


def is_archive(path: Path) -> bool:
    """Whether a path is a file that is named as a tar archive."""
    return path.is_file() and path.name.endswith((".tar", ".tar.gz", ".tgz"))
