"""Runs commands on damaged files, one after the other: a folder and a seed a line in, what came of it a line out.

Beyond a limit of memory, or of time, the process that runs them ends, and the line says how.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from tests.faults.samples import ALL

MEMORY = 6 * 2**30
"""Bytes that the process may grow by."""
SECONDS = 120
"""That a command may take on a busy machine, for files of a few kilobytes."""


def main() -> None:
    """Fork a process that runs inputs, and another one when an input has ended it: forks have all imported."""
    import tensorflow as tf  # noqa: F401

    from slim2keras.cli.app import app  # noqa: F401  imported before the limit

    faulthandler.enable()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    with os.fdopen(os.dup(1), "w") as out:
        while child := os.fork():
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if not status:
                return
            print(json.dumps({"ended": status}), file=out, flush=True)
        for line in iter(sys.stdin.readline, ""):
            job = json.loads(line)
            signal.alarm(SECONDS)  # ends it, in native code too
            found = run(job["kind"], Path(job["folder"]), job["seed"])
            signal.alarm(0)
            print(json.dumps(found), file=out, flush=True)


def run(kind: str, folder: Path, seed: int | None) -> dict[str, object]:
    """Damage the file in a folder of good ones, run the command, and tell what is left.

    Args:
        seed: Of the damage, ``None`` for none.
    """
    from tests.cli.running import Result

    sample = ALL[kind]
    path = folder / sample.damaged
    if seed is not None:
        path.write_bytes(sample.damage(path.read_bytes(), seed))
    damaged, before = path.read_bytes(), _names(folder)
    os.chdir(folder)
    began = time.perf_counter()
    result = Result(*sample.command)
    seconds = time.perf_counter() - began
    text = result.err
    left = sorted(_names(folder) - before)
    return {
        "kind": kind,
        "seed": seed,
        "status": result.status,
        "seconds": seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "says": text[-600:],
        # What doctor finds is a page, and no message.
        "names_file": any(name in text for name in sample.names) or (bool(result.out) and not text),
        "left": left if result.status else [],
        "unchanged": path.is_file() and path.read_bytes() == damaged,
    }


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("out")}


if __name__ == "__main__":
    main()
