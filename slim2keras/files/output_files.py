"""Output files that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import mmap
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from slim2keras.errors import NoSpaceError, OutOfMemoryError, OutputError, Slim2KerasError, is_out_of_memory
from slim2keras.files.locks import directory_locked
from slim2keras.files.moves import (
    DRAFT_BYTES,
    drafts_directory,
    finish_moves_of_the_dead,
    list_moves,
    move_all,
    moving_directory,
    remove_all,
    take_turn,
    to_disk,
    to_the_end,
)
from slim2keras.files.run_layout import check_is_not_of_run

_FORMATS = (
    *(".keras", ".h5", ".hdf5", ".weights", ".pb", ".pbtxt", ".tf", ".tflite", ".onnx", ".npz", ".npy", ".pt", ".pth"),
    *(".pkl", ".json", ".csv", ".txt", ".zip", ".tar", ".gz", ".tgz", ".index", ".meta"),
)
"""Suffixes of files that somebody who gives such a name expects."""
RUNTIMES = {".tflite": "LiteRT", ".onnx": "ONNX Runtime"}
"""What runs a file of which no model is read again, by its suffix."""
_RANDOM = re.compile(rf"[0-9a-f]{{{2 * DRAFT_BYTES}}}")
_UNNAMED_BYTES = 12
_UNNAMED = re.compile(rf"\.[0-9a-f]{{{2 * _UNNAMED_BYTES}}}")
_LONG_AGO = 3600
"""Seconds: no living process takes them between making a directory and giving it its name."""
_RESERVE = 2**22
"""Bytes, which nobody touches until drafts have to be removed by a process that has no memory left."""
_LISTENERS: list[list[Path]] = []
_FULL_DISK = {
    errno.ENOSPC: "no space is left on the device",
    errno.EDQUOT: "no space is left of the disk quota",
    errno.EFBIG: "no space is left, the file would be larger than files may be here (File too large)",
}


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


def describe_contents(path: Path) -> dict[str, Any]:
    """What a report says of what was written: bytes and SHA-256, of a directory that of every file."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return {"bytes": size, "files": sha256_of_files(path)}
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


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
    if difflib.get_close_matches(suffix, _FORMATS, n=1, cutoff=0.7):
        offered = [name for name in _FORMATS if re.search(rf"{re.escape(name)}\b", wanted) and name != path.suffix]
        near = difflib.get_close_matches(suffix, offered, n=1, cutoff=0.7)
        meant = f" Did you mean {path.with_suffix(near[0]).name}?" if near else ""
        raise OutputError(f"{path} has an unknown format: {path.suffix}.{meant} Give {wanted}.")


def check_free(*paths: Path, overwrite: bool) -> None:
    """Check before any work is done that files may be written there; their last directory will be made.

    What a process had begun to give the first its name that was killed is finished before.

    Raises:
        OutputError: If the directory above that is missing, one is a part of a RUN, or no file, or one exists and
            ``overwrite`` is false.
    """
    directory = paths[0].parent
    if not directory.is_dir() and not directory.parent.is_dir():
        raise OutputError(f"{paths[0]} cannot be written: there is no directory {directory.parent}. Create it first.")
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{paths[0]} cannot be written: {directory} is a file, not a directory.")
    finish_moves_of_the_dead(paths[0])
    for path in paths:
        check_is_not_of_run(path)
        if path.exists() and not (path.is_file() or path.is_dir() or path.is_symlink()):
            raise OutputError(f"{path} is a device, a pipe or a socket, and stays. Choose another name.")
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
def whole_or_not_at_all(
    *targets: Path, overwrite: bool = True, at_last: Callable[[Path], object] | None = None
) -> Iterator[list[Path]]:
    """Give drafts to write to, and move them to their targets when the block has ended well.

    The drafts lie in a hidden directory beside the first target, so that a move is one step of the file system; killed
    at any moment, a target is there whole or not at all; what they hold is on the disk before they get their names, so
    that this is so of a machine that dies, too. The first target is moved last: where it is new, all of them
    are there. Of several processes one moves at a time, all of its drafts, and what one had begun to move that was
    killed is moved by the next (``moves``). An error or Ctrl-C removes the drafts, and the directory of the targets if
    it was made for them; Ctrl-C between two moves waits for the last. Drafts of a process that was killed are removed
    by the next one that writes the same target.

    Args:
        targets: To write, all in one directory.
        overwrite: Replace the first target, should another process have written it meanwhile.
        at_last: Called with the draft of the first target when no other process can write that any more, to make it of
            what is there by then.

    Raises:
        OutputError: If the drafts cannot be written.
        NoSpaceError: If the disk is full.
    """
    with _write_errors(targets[0]), contextlib.ExitStack() as stack:
        directory = targets[0].parent
        place, moving = drafts_directory(targets[0]), moving_directory(targets[0])
        # Not within the try: from Python 3.12 on Ctrl-C within a comprehension may pass by a finally around it.
        names = [target.name for target in targets]
        drafts = [place / name for name in names]
        is_made = not directory.exists()
        inode, reserve = None, mmap.mmap(-1, _RESERVE)

        def remove() -> None:
            reserve.close()
            _remove(place, moving, inode, directory if is_made else None)

        try:
            try:
                # Within the try: Ctrl-C may come right after the directory is there.
                directory.mkdir(exist_ok=True)
                clear_dead_drafts(targets[0])
                stack.enter_context(_made_and_locked(place))
                inode = place.stat().st_ino
                yield drafts
                for path in place.rglob("*"):
                    to_disk(path)
                take_turn(place, targets[0])
                if not overwrite:
                    _check_still_free(targets[0])
                if at_last is not None:
                    at_last(moving / targets[0].name)
                    to_disk(moving / targets[0].name)
                list_moves(moving, names)
                to_the_end(lambda: _move_and_tell(moving, targets[0]))
            finally:
                to_the_end(remove)
        except KeyboardInterrupt:  # it may come on the way there
            to_the_end(remove)
            raise


def _move_and_tell(moving: Path, target: Path) -> None:
    move_all(moving)
    for written in _LISTENERS:
        if target not in written:
            written.append(target)


def _check_still_free(target: Path) -> None:
    if target.exists():
        raise OutputError(
            f"{target} was written by another process meanwhile, and is left as it is. Choose another name, or replace "
            "it with overwrite=True (command line: --overwrite)."
        )


def _remove(place: Path, moving: Path, inode: int | None, made: Path | None) -> None:
    """Remove drafts, wherever they are by now, and the directory that was made for them, unless it holds something."""
    with contextlib.suppress(OSError):
        if moving.stat().st_ino == inode:
            moving.rename(place)
            to_disk(place.parent)  # the new names, before what they replace is removed, and while others may move
    remove_all(place)
    if made is not None:
        with contextlib.suppress(OSError):
            made.rmdir()


@contextlib.contextmanager
def targets_told() -> Iterator[list[Path]]:
    """Gives a list of what is written within it."""
    written: list[Path] = []
    _LISTENERS.append(written)
    try:
        yield written
    finally:
        _LISTENERS.pop()


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
    own = f".{target.name}."
    for path in [path for path in target.parent.iterdir() if path.name.startswith(".")]:
        with contextlib.suppress(OSError):  # another process removed it
            if path.name.startswith(own) and _RANDOM.fullmatch(path.name, len(own)) and path.is_dir():
                with directory_locked(path) as is_free:
                    if is_free:
                        remove_all(path)
            elif _UNNAMED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _LONG_AGO:
                path.rmdir()


def _lack_of_space(error: Exception) -> str | None:
    """What is said of a full disk; ``None`` of any other error."""
    code, text = getattr(error, "errno", None), str(error)
    for number, lack in _FULL_DISK.items():
        # HDF5 and TensorFlow pack the reason into the message, and only sometimes into errno.
        if code == number or os.strerror(number) in text or f"errno = {number}," in text:
            return lack
    return None


@contextlib.contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except Slim2KerasError:
        raise
    except Exception as error:
        lack = _lack_of_space(error)
        if lack is not None:
            raise NoSpaceError(
                f"{target} cannot be written: {lack}. Nothing of it remains; free some space, or write elsewhere."
            ) from error
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{target} cannot be written: memory ran out ({type(error).__name__}). Nothing of it remains; give the "
                "process more, or ask for less at a time."
            ) from error
        if isinstance(error, OSError):
            raise OutputError(
                f"{target} cannot be written: {error.strerror or error}. Nothing of it remains."
            ) from error
        raise
