"""Full disks, quotas, disks that nobody may write, and targets that cannot be: a clear error, and nothing is lost.

``python -m tests.faults.disks [NAME ...]`` prints a table. Disks are small file systems in memory, where one may mount
them (root); a quota is the limit of a process on the size of its files, which anybody may set.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slim2keras.errors import ExitStatus
from slim2keras.files.output_files import sha256_of_files
from tests.faults.commands import COMMANDS, Command, Ended, Process, goes_well, hidden_in, import_all, is_there
from tests.faults.tables import print_table

PARTS = (0.1, 0.5, 0.9)
"""Of the room that a target takes."""
READ_ONLY = "disk that is read only"
_PAGE = 4096
_ALL = 2**28
"""Bytes, more than any of the targets."""


@dataclass(frozen=True)
class Found:
    """What came of a command on a disk; no fault, no text.

    Attributes:
        status: Its exit code.
        fault: What it did wrong.
    """

    status: int
    fault: str = ""


def may_mount() -> bool:
    """Whether a disk can be mounted here."""
    with tempfile.TemporaryDirectory() as name:
        try:
            with mounted(Path(name), _PAGE):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@contextlib.contextmanager
def mounted(place: Path, num_bytes: int) -> Iterator[None]:
    """A disk of that size."""
    _run("mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "none", place)
    try:
        yield
    finally:
        _run("umount", "-l", place)


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def on_disk(command: Command) -> Command:
    """The same command, that writes to ``disk/``."""
    target = f"disk/{command.target}"
    words = tuple(target if word == command.target else word for word in command.words)
    return replace(command, words=words, target=target)


def bytes_of(folder: Path) -> int:
    """Room that the files take, in whole pages."""
    return sum(-(-path.stat().st_size // _PAGE) * _PAGE for path in folder.rglob("*") if path.is_file())


def run_on_disk(
    command: Command,
    folder: Path,
    *,
    wanted: tuple[int, ...],
    says: tuple[str, ...],
    prepare: Callable[[], object] | None = None,
) -> Found:
    """Run a command whose target cannot be written, or only just; nothing else of the disk may change."""
    disk = folder / "disk"
    before = sha256_of_files(disk)
    ended = Process(command.words, folder, prepare).end()
    return Found(ended.status, _fault(command, folder, ended, before, wanted, says))


def _fault(
    command: Command, folder: Path, ended: Ended, before: object, wanted: tuple[int, ...], says: tuple[str, ...]
) -> str:
    disk, target = folder / "disk", folder / command.target
    told = ended.says[-600:]
    if ended.status == 0 and 0 in wanted:
        return "" if goes_well(lambda: command.check(target)) else "it says that all is well, and it is not whole"
    is_run, now = bool(command.goes_on), sha256_of_files(disk)
    is_plain = "Traceback" not in ended.says and "defect" not in ended.says
    is_lost = is_run and is_there(target) and not goes_well(lambda: command.check(target))
    checks = {
        f"it ended with {ended.status}: {told}": ended.status in wanted,
        f"it does not say why: {told}": is_plain and any(text in ended.says for text in says),
        # The converter of TFLite has files of its own on the way.
        f"it does not name what is full: {told}": str(Path(command.target).parent) in ended.says
        or "TMPDIR" in ended.says,
        f"left: {hidden_in(disk)}": not hidden_in(disk),
        f"the disk had {before}, and has {now}": is_run or now == before,
        "the last state is not whole": not is_lost,
    }
    return next((fault for fault, is_well in checks.items() if not is_well), "")


FULL = ("no space is left",)


def of_command(name: str, folder: Path, parts: Sequence[float] = PARTS) -> Iterator[tuple[str, Found]]:
    """Run a command on all kinds of disks; what each was, and what came of it.

    Args:
        name: Key of ``COMMANDS``.
        folder: Empty.
        parts: Of the room that it takes.
    """
    command = on_disk(COMMANDS[name])
    goes_well(lambda: command.make(folder))
    disk = folder / "disk"
    disk.mkdir()
    plain = run_on_disk(command, folder, wanted=(0,), says=())
    if plain.fault:
        raise RuntimeError(f"{name}: {plain.fault}")
    old = folder / "old"
    shutil.copytree(disk, old)
    used, largest = bytes_of(disk), max(path.stat().st_size for path in disk.rglob("*") if path.is_file())
    _empty(disk)
    can_mount = may_mount()
    for part in parts:
        for has_old in (False,) if bool(command.goes_on) else (False, True):
            beside = ", beside an old file" if has_old else ""
            if can_mount:
                with mounted(disk, int(used * (part + has_old))):
                    _put_old(old, disk, has_old=has_old)
                    yield f"disk of {part:.0%}{beside}", run_on_disk(command, folder, wanted=(0, 1), says=FULL)
            _put_old(old, disk, has_old=has_old)
            limit = int(largest * part)
            found = run_on_disk(command, folder, wanted=(1,), says=FULL, prepare=lambda: _limit_files(limit))  # noqa: B023
            yield f"quota of {part:.0%}{beside}", found
            _empty(disk)
    if can_mount:
        yield READ_ONLY, _read_only(command, folder, old)


def _read_only(command: Command, folder: Path, old: Path) -> Found:
    disk = folder / "disk"
    with mounted(disk, _ALL):
        _put_old(old, disk, has_old=not bool(command.goes_on))
        _run("mount", "-o", "remount,ro", disk)
        return run_on_disk(command, folder, wanted=(ExitStatus.USAGE,), says=("Read-only file system",))


def _put_old(old: Path, disk: Path, *, has_old: bool) -> None:
    if has_old:
        shutil.copytree(old, disk, dirs_exist_ok=True)


def _empty(disk: Path) -> None:
    shutil.rmtree(disk)
    disk.mkdir()


def _limit_files(num_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=float, nargs="*", default=PARTS, help="of the room that a target takes")
    parser.add_argument("names", nargs="*", default=[*COMMANDS])
    asked = parser.parse_args()
    import_all()
    columns = ("command", "disks and quotas", "exit code 1", "read only, exit code 2", "faults")
    return print_table(columns, (_row(name, asked.parts) for name in asked.names))


def _row(name: str, parts: Sequence[float]) -> tuple[Sequence[object], Sequence[str]]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        found = dict(of_command(name, work, parts))
    faults = [f"{name}, {disk}: {item.fault}" for disk, item in found.items() if item.fault]
    statuses = [item.status for disk, item in found.items() if disk != READ_ONLY]
    is_refused = READ_ONLY in found and found[READ_ONLY].status == ExitStatus.USAGE
    return (name, len(statuses), statuses.count(ExitStatus.UNEXPECTED), int(is_refused), len(faults)), faults


if __name__ == "__main__":
    sys.exit(main())
