"""Output files that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slim2keras.errors import NoSpaceError, OutputError, Slim2KerasError
from slim2keras.files.locks import directory_locked
from slim2keras.files.run_layout import check_is_not_of_run

_FORMATS = (
    *(".keras", ".h5", ".hdf5", ".weights", ".pb", ".pbtxt", ".tf", ".tflite", ".onnx", ".npz", ".npy", ".pt", ".pth"),
    *(".pkl", ".json", ".csv", ".txt", ".zip", ".tar", ".gz", ".tgz", ".index", ".meta"),
)
"""Suffixes of files that somebody who gives such a name expects."""
RUNTIMES = {".tflite": "LiteRT", ".onnx": "ONNX Runtime"}
"""What runs a file of which no model is read again, by its suffix."""
_DRAFT_BYTES, _UNNAMED_BYTES = 6, 12
"""Of the random part of a name; twice as many digits."""
_UNNAMED = re.compile(rf"\.[0-9a-f]{{{2 * _UNNAMED_BYTES}}}")
_LONG_AGO = 3600
"""Seconds: no living process takes them between making a directory and giving it its name."""
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def report_path(target: Path) -> Path:
    """Where the report of an output file lies: beside it, ``.json`` appended."""
    return target.with_name(f"{target.name}.json")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_files(directory: Path) -> dict[str, str]:
    """SHA-256 of every file in a directory and those below it, by its path from there."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): sha256(path) for path in files}


def describe_files(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What a report says of files: path, bytes and SHA-256 of each."""
    return [{"path": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths]


def check_no_format(path: Path, wanted: str) -> None:
    """Refuse a name whose suffix is that of a file format, or nearly so, where files without one are written.

    Numbers are none (``resnet_v1.5``), and neither is a checkpoint's ``.ckpt-5000``.

    Args:
        path: To write.
        wanted: What names there can be, for the message.

    Raises:
        OutputError: If it looks like a format.
    """
    suffix = path.suffix.lower()
    if not suffix[1:2].isalpha() or suffix.startswith(".ckpt"):
        return
    near = difflib.get_close_matches(suffix, _FORMATS, n=1, cutoff=0.7)
    if near:
        is_meant = path.suffix != near[0] and near[0] in wanted
        meant = f" Did you mean {path.with_suffix(near[0]).name}?" if is_meant else ""
        raise OutputError(f"{path} has an unknown format: {path.suffix}.{meant} Give {wanted}.")


def check_free(*paths: Path, overwrite: bool) -> None:
    """Check before any work is done that files may be written there; their last directory will be made.

    Raises:
        OutputError: If the directory above that is missing, one is a part of a RUN, or one exists and ``overwrite`` is
            false.
    """
    directory = paths[0].parent
    if not directory.is_dir() and not directory.parent.is_dir():
        raise OutputError(f"{paths[0]} cannot be written: there is no directory {directory.parent}. Create it first.")
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{paths[0]} cannot be written: {directory} is a file, not a directory.")
    for path in paths:
        check_is_not_of_run(path)
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already and is left as it is. Choose another name, or replace it with overwrite=True "
                "(command line: --overwrite)."
            )


def check_space(target: Path, num_bytes: int) -> None:
    """Check that the disk has room, before anything is written.

    Raises:
        NoSpaceError: If it has not.
    """
    free = shutil.disk_usage(target.parent if target.parent.is_dir() else target.parent.parent).free
    if free < num_bytes:
        raise NoSpaceError(
            f"{target} cannot be written: no space is left on the device, {num_bytes / 2**20:,.0f} MiB are needed and "
            f"{free / 2**20:,.0f} MiB are free. Free some space, or write elsewhere."
        )


@contextlib.contextmanager
def whole_or_not_at_all(*targets: Path) -> Iterator[list[Path]]:
    """Give drafts to write to, and move them to their targets when the block has ended well.

    The drafts lie in a hidden directory beside the first target, so that a move is one step of the file system; killed
    at any moment, a target is there whole or not at all. An error or Ctrl-C removes the drafts, and the directory of
    the targets if it was made for them. Those of a process that was killed are removed by the next one that writes the
    same target.

    Raises:
        OutputError: If the drafts cannot be written.
        NoSpaceError: If the disk is full.
    """
    with _write_errors(targets[0]), contextlib.ExitStack() as stack:
        directory = targets[0].parent
        drafts_directory = targets[0].with_name(f".{targets[0].name}.{secrets.token_hex(_DRAFT_BYTES)}")
        is_made = not directory.exists()
        try:
            # Within the try: Ctrl-C may come right after the directory is there.
            directory.mkdir(exist_ok=True)
            clear_dead_drafts(targets[0])
            stack.enter_context(_made_and_locked(drafts_directory))
            drafts = [drafts_directory / target.name for target in targets]
            yield drafts
            for draft, target in zip(drafts, targets, strict=True):
                if target.is_dir():
                    target.replace(drafts_directory / f"{target.name}.replaced")
                draft.replace(target)
        finally:
            shutil.rmtree(drafts_directory, ignore_errors=True)
            if is_made:
                with contextlib.suppress(OSError):  # it holds what was written
                    directory.rmdir()


@contextlib.contextmanager
def _made_and_locked(directory: Path) -> Iterator[None]:
    """A directory that is locked from the first moment at which anybody can find it by its name."""
    unnamed = directory.with_name(f".{secrets.token_hex(_UNNAMED_BYTES)}")
    try:
        unnamed.mkdir()
        with directory_locked(unnamed):
            unnamed.rename(directory)
            yield
    finally:
        with contextlib.suppress(OSError):
            unnamed.rmdir()


def clear_dead_drafts(target: Path) -> None:
    """Remove drafts of a target that belong to no living process; where there are no locks none is known to be dead."""
    own = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{{2 * _DRAFT_BYTES}}}")
    for path in [path for path in target.parent.iterdir() if path.name.startswith(".")]:
        with contextlib.suppress(OSError):  # another process removed it
            if own.fullmatch(path.name) and path.is_dir():
                with directory_locked(path) as is_free:
                    if is_free:
                        shutil.rmtree(path, ignore_errors=True)
            elif _UNNAMED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _LONG_AGO:
                path.rmdir()


@contextlib.contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except Slim2KerasError:
        raise
    except Exception as error:
        # HDF5 and TensorFlow pack the reason into the message, and only sometimes into errno.
        message = str(error)
        if getattr(error, "errno", None) in _FULL_DISK or "No space left" in message or "errno = 28" in message:
            raise NoSpaceError(
                f"{target} cannot be written: no space is left on the device. Nothing of it remains; free some space, "
                "or write elsewhere."
            ) from error
        if isinstance(error, OSError):
            raise OutputError(
                f"{target} cannot be written: {error.strerror or error}. Nothing of it remains."
            ) from error
        raise
