"""Too little memory: a clear error where Python is asked, and whoever ends the process, nothing is lost.

``python -m tests.faults.memory [NAME ...]`` prints a table. The limit is what a process may map beyond what it has when
the command begins (``RLIMIT_AS``).
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slim2keras.files.output_files import sha256
from tests.faults.commands import COMMANDS, Command, Process, goes_well, import_all, is_a_model, is_there
from tests.faults.tables import print_table

_OF_LOADER = 127
"""With which the system's loader of libraries ends a process that has no memory for one."""
MEBIBYTES = (5, 30, 60, 150, 400, 800, 1600)


def middle_sized(folder: Path) -> None:
    """MobileNet v1, 17 MB."""
    from slim2keras.nets.spec import NetSpec
    from tests.reference import values_of, write_checkpoint

    write_checkpoint(folder / "net.ckpt", values_of(NetSpec.make("mobilenet_v1", (64, 64, 3), {}).trace().variables()))


_CONVERT = ("convert", "net.ckpt", "--input-shape", "64,64,3", "--overwrite", "-o")
MIDDLE_SIZED: Mapping[str, Command] = {
    **{
        f"convert to {target}": Command(middle_sized, (*_CONVERT, target), target, is_a_model)
        for target in ("out.keras", "out.h5", "out.tflite")
    },
    "finetune": replace(COMMANDS["finetune"], target="run"),
}


def of_command(name: str, mebibytes: int, folder: Path) -> tuple[int, list[str]]:
    """Run a command with so much memory, beside an old file where there is one.

    Returns:
        Its exit code; what it did wrong.
    """
    command, target = MIDDLE_SIZED[name], folder / MIDDLE_SIZED[name].target
    before = None
    if not command.goes_on:
        target.write_text("the one before")
        before = sha256(target)
    ended = Process(command.words, folder, lambda: _limit(mebibytes)).end()
    is_as_before = before is not None and sha256(target) == before
    is_whole = is_as_before or not is_there(target) or goes_well(lambda: command.check(target))
    is_told = ended.status <= 0 or ("Traceback" not in ended.says and "defect" not in ended.says)
    is_known = ended.status < 0 or ended.status in (0, 1, 2, 3, _OF_LOADER)
    checks = {
        f"it ended with {ended.status}: {ended.says[-600:]}": is_known,
        f"it is not told: {ended.says[-600:]}": is_told,
        "it never ends": ended.status != -signal.SIGKILL,
        "the target is not whole": is_whole,
        "the old file is gone": before is None or is_as_before or not ended.status,
    }
    return ended.status, [fault for fault, is_well in checks.items() if not is_well]


def _limit(mebibytes: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + mebibytes * 2**20, resource.RLIM_INFINITY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, nargs="*", default=MEBIBYTES)
    parser.add_argument("names", nargs="*", default=[*MIDDLE_SIZED])
    asked = parser.parse_args()
    import_all()
    return print_table(
        ("command", *(f"{mebibytes} MiB" for mebibytes in asked.mebibytes), "faults"),
        (_row(name, asked.mebibytes) for name in asked.names),
    )


def _row(name: str, limits: Sequence[int]) -> tuple[Sequence[object], Sequence[str]]:
    statuses, faults = [], []
    for mebibytes in limits:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            goes_well(lambda: MIDDLE_SIZED[name].make(folder))  # noqa: B023  it is done at once
            status, found = of_command(name, mebibytes, folder)
        statuses.append(status)
        faults += [f"{name}, {mebibytes} MiB: {fault}" for fault in found]
    return (name, *statuses, len(faults)), faults


if __name__ == "__main__":
    sys.exit(main())
