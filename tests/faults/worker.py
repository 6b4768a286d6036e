"""Runs commands on damaged files, one after the other: a folder and a seed a line in, what came of it a line out.

Beyond a limit of memory, or of time, the process ends; whoever started it sees which input did that.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
import time
from pathlib import Path

from tests.faults.mutations import mutated
from tests.faults.samples import SAMPLES

MEMORY = 6 * 2**30
"""Bytes that the process may grow by."""


def main() -> None:
    import tensorflow as tf  # noqa: F401

    from slim2keras.cli.app import app  # noqa: F401  imported before the limit

    faulthandler.enable()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    out = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(run(job["kind"], Path(job["folder"]), job["seed"])), file=out, flush=True)


def run(kind: str, folder: Path, seed: int) -> dict[str, object]:
    """Damage the file in a folder of good ones, run the command, and tell what is left."""
    from tests.cli.running import Result

    sample = SAMPLES[kind]
    path = folder / sample.damaged
    path.write_bytes(mutated(path.read_bytes(), seed))
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
        "names_file": any(name in text for name in sample.names),
        "left": left if result.status else [],
        "unchanged": path.is_file() and path.read_bytes() == damaged,
    }


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("out")}


if __name__ == "__main__":
    main()
