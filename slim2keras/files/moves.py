"""Drafts that become files under their own names: all of them, by one process at a time, whatever happens in between.

The directory of the drafts is renamed to one name for all processes, ``.NAME.moving``, which only one can have. It
holds a list of what is to be moved, so that whoever finds it after its process was killed moves the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from slim2keras.errors import OutputError, Slim2KerasError
from slim2keras.files.locks import directory_locked

DRAFT_BYTES = 6
"""Of the random part of a name; twice as many digits."""
_LIST = ".moves.json"
"""Inode of each draft by its name, in the order of the moves."""
_PATIENCE = 60.0
"""Seconds: a living process takes a thousandth of one for its moves."""
_PAUSE = 0.005
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
"""The last where a sandbox knows no such call; who may not rename is told by the rename that is tried then."""


def drafts_directory(target: Path) -> Path:
    """Where the drafts of a target lie while they are written, a name that nobody has."""
    return target.with_name(f".{target.name}.{secrets.token_hex(DRAFT_BYTES)}")


def moving_directory(target: Path) -> Path:
    """Where the drafts of a target and its companions lie while they get their names."""
    return target.parent / f".{target.name}.moving"


def to_the_end(work: Callable[[], object]) -> None:
    """Do what may be done twice, and again if Ctrl-C comes in between; that is raised afterwards."""
    try:
        work()
    except KeyboardInterrupt:
        to_the_end(work)
        raise


def remove_all(directory: Path) -> None:
    """Remove a directory with what is in it, as far as that can be.

    Raises:
        KeyboardInterrupt: If Ctrl-C comes; ``shutil`` makes an error of it that comes when it has just closed a file.
    """
    try:
        shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        raise KeyboardInterrupt from None


def list_moves(drafts: Path, names: Sequence[str]) -> None:
    """Write down what is to be moved; the first name comes last: where it is new, all that belongs to it is there.

    Raises:
        OSError: If a draft cannot take the place of what is there, before any is moved.
    """
    ordered = [*names[1:], names[0]]
    for name in ordered:
        _check_kinds(drafts / name, drafts.with_name(name))
    found = {name: (drafts / name).stat().st_ino for name in ordered}
    (drafts / _LIST).write_text(json.dumps(found), encoding="utf-8")
    to_disk(drafts / _LIST)


def to_disk(path: Path) -> None:
    """Wait until the disk has what a file holds, or which names a directory has, where the system can tell.

    Raises:
        OSError: If it has no room after all, which disks of networks may say as late as this.
    """
    is_windows = os.name == "nt"
    if is_windows and path.is_dir():
        return
    opened = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(opened)


def take_turn(drafts: Path, target: Path) -> None:
    """Rename the drafts to the one name, as soon as no other process has it.

    Raises:
        OutputError: If one has it that does not go on.
    """
    moving, deadline = moving_directory(target), time.monotonic() + _PATIENCE
    while True:
        finish_moves_of_the_dead(target)
        try:
            drafts.rename(moving)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return
        if time.monotonic() > deadline:
            raise OutputError(
                f"{target} is being written by another process, which has stopped half way. Let it go on, or end it; "
                f"if there is none, remove {moving}."
            )
        time.sleep(_PAUSE)


def move_all(moving: Path) -> None:
    """Give the drafts their names; what has been moved already stays."""
    for name, inode in _listed(moving).items():
        draft, target = moving / name, moving.with_name(name)
        if not _is(target, inode):
            _move(draft, target)


def finish_moves_of_the_dead(target: Path) -> None:
    """Move what a process had begun to move that was killed; where there are no locks none is known to be dead."""
    moving = moving_directory(target)
    with contextlib.suppress(OSError), directory_locked(moving) as is_free:
        if is_free:
            with contextlib.suppress(OSError, ValueError):  # it would have failed too
                move_all(moving)
            give_up_turn(moving, drafts_directory(target))


def check_no_mixture(target: Path, refusal: type[Slim2KerasError]) -> None:
    """Before a file is read: finish what a process had begun to move that was killed, and wait for one that lives.

    So what is read is of one writing, and so is what belongs to it, such as its report.

    Args:
        target: To be read.
        refusal: Raised where that cannot be.
    """
    target = Path(os.path.abspath(target))
    moving, deadline = moving_directory(target), time.monotonic() + _PATIENCE
    mixture = f"{target} and what belongs to it are a mixture of old and new files"
    while _is_half_moved(moving):
        with contextlib.suppress(FileNotFoundError), directory_locked(moving) as is_free:
            if is_free:
                try:
                    move_all(moving)
                except OSError as error:
                    raise refusal(
                        f"{mixture}: the process that replaced them was killed half way, and to move the rest is not "
                        f"possible here: {error.strerror}. Read it once where that is possible: it lies in {moving}. "
                        f"Or write {target.name} anew."
                    ) from error
                give_up_turn(moving, drafts_directory(target))
                return
        if time.monotonic() > deadline:
            raise refusal(
                f"{mixture}: another process is replacing them, which has stopped half way. Let it go on, or end it; "
                f"if there is none, remove {moving} and write {target.name} anew."
            )
        time.sleep(_PAUSE)


def give_up_turn(moving: Path, drafts: Path) -> None:
    """Let go of the one name, and only then remove what lies there, which takes longer."""
    moving.rename(drafts)
    remove_all(drafts)


def _listed(moving: Path) -> dict[str, int]:
    """What ``list_moves`` wrote; nobody else's list is taken for one.

    Raises:
        OSError, ValueError: If there is none.
    """
    found = json.loads((moving / _LIST).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{moving / _LIST} is no list of moves")  # noqa: TRY004  as json's
    return found


def _is_half_moved(moving: Path) -> bool:
    """Whether some of what is listed has its name and some has not, or an old one is taken away for what has not."""
    try:
        listed = _listed(moving)
        to_come = [name for name, inode in listed.items() if not _is(moving.with_name(name), inode)]
    except (OSError, ValueError):
        return False
    return 0 < len(to_come) < len(listed) or any(_replaced(moving / name).exists() for name in to_come)


def _replaced(draft: Path) -> Path:
    """Where a directory goes whose place a draft takes, if that is two steps."""
    return draft.with_name(f"{draft.name}.replaced")


def _check_kinds(draft: Path, target: Path) -> None:
    code = 0
    if draft.is_dir():
        code = errno.ENOTDIR if os.path.lexists(target) and not target.is_dir() else 0
    elif target.is_dir() and not target.is_symlink():
        code = errno.EISDIR
    if code:
        raise OSError(code, os.strerror(code), str(target))


def _is(path: Path, inode: int) -> bool:
    try:
        return path.lstat().st_ino == inode
    except OSError:
        return False


def _move(draft: Path, target: Path) -> None:
    if draft.is_dir() and target.is_dir():
        if _exchange(draft, target):
            return
        replaced = _replaced(draft)
        target.replace(replaced)
        try:
            draft.replace(target)
        except OSError:
            replaced.replace(target)
            raise
        return
    draft.replace(target)


def _exchange(path: Path, other: Path) -> bool:
    """Exchange two names in one step, which Linux can; whether it could."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(other))
