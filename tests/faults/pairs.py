"""Two processes that write one target at once: all of one, or all of the other, and nothing is left.

``python -m tests.faults.pairs [--pairs N] [TARGET ...]`` prints a table.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slim2keras.errors import ExitStatus
from tests.faults.commands import Process, goes_well, hidden_in, import_all, is_a_checkpoint, is_a_model, is_there
from tests.faults.tables import print_table

PAIRS = 20
TARGETS: Mapping[str, Callable[[Path], object]] = {
    "out.keras": is_a_model,
    "out.h5": is_a_model,
    "out": is_a_model,
    "out.tflite": is_a_model,
    "model.ckpt-1": is_a_checkpoint,
}
"""What each must be; that of a checkpoint is its own checksums."""


def write_two(folder: Path) -> None:
    """Two checkpoints of LeNet with other values, and a model of each."""
    from slim2keras.conversion.converting import convert_to_file
    from slim2keras.nets.spec import NetSpec
    from tests.reference import values_of, write_checkpoint

    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    for name, factor in (("one", 1), ("other", 2)):
        path = write_checkpoint(folder / f"{name}.ckpt", {key: value * factor for key, value in values.items()})
        convert_to_file(path, folder / f"{name}.keras")


def faults_of(target: str, folder: Path, *, overwrite: bool) -> tuple[tuple[int, ...], list[str]]:
    """Run two at once in a folder with what they need, and what came of it.

    Returns:
        Their exit codes, the smaller first; what they did wrong.
    """
    first = ("export", "one.keras") if target.startswith("model.ckpt") else ("convert", "one.ckpt")
    words = (*first, "-o", target, *(["--overwrite"] if overwrite else []))
    processes = [Process([word.replace("one.", f"{name}.") for word in words], folder) for name in ("one", "other")]
    ended = sorted((process.end() for process in processes), key=lambda item: item.status)
    statuses, path = tuple(item.status for item in ended), folder / target
    says = [item.says[-500:] for item in ended if item.status]
    wanted = [(0, 0)] if overwrite else [(0, int(ExitStatus.USAGE))]
    checks = {
        f"they ended with {statuses}: {says}": statuses in wanted,
        f"no word of the other: {says}": all("exists already" in text or "meanwhile" in text for text in says),
        "it is a mixture": is_there(path) and goes_well(lambda: TARGETS[target](path)),
        f"left: {hidden_in(folder)}": not hidden_in(folder),
    }
    return statuses, [fault for fault, is_well in checks.items() if not is_well]


def race(target: str, pairs: int, *, overwrite: bool) -> tuple[Counter[tuple[int, ...]], list[str]]:
    """So many pairs; how often each exit codes came, and all faults."""
    statuses, faults = Counter[tuple[int, ...]](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        goes_well(lambda: write_two(folder))
        for _ in range(pairs):
            if not overwrite:
                _remove(folder, target)
            codes, wrong = faults_of(target, folder, overwrite=overwrite)
            statuses[codes] += 1
            faults += wrong
    return statuses, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of each target, half of them with --overwrite")
    parser.add_argument("targets", nargs="*", default=[*TARGETS])
    asked = parser.parse_args()
    import_all()
    columns = (
        "target",
        "pairs without a file before",
        "exit codes",
        "pairs with `--overwrite`",
        "exit codes",
        "faults",
    )
    return print_table(columns, (_row(target, -(-asked.pairs // 2)) for target in asked.targets))


def _row(target: str, pairs: int) -> tuple[Sequence[object], Sequence[str]]:
    cells: list[object] = [f"`{target}`"]
    faults: list[str] = []
    for overwrite in (False, True):
        statuses, found = race(target, pairs, overwrite=overwrite)
        cells += [statuses.total(), ", ".join(f"{codes} {count} times" for codes, count in statuses.items())]
        faults += [f"{target}: {fault}" for fault in found]
    return (*cells, len(faults)), faults


def _remove(folder: Path, target: str) -> None:
    for path in folder.glob(f"{target}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
