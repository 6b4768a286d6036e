"""What a program that looks for faults prints: a table as Markdown, and the faults."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def print_table(columns: Sequence[str], rows: Iterable[tuple[Sequence[object], Sequence[str]]]) -> int:
    """Print each row as soon as it is there, its faults at once on stderr, and all of them at the end.

    Args:
        columns: Their names.
        rows: Cells of each, and the faults that were found.

    Returns:
        The exit code of the program: 1 if there is a fault.
    """
    faults: list[str] = []
    _print_row(columns)
    print("|---" * len(columns) + "|", flush=True)
    for cells, found in rows:
        _print_row(cells)
        print(*found, sep="\n", end="\n" * bool(found), file=sys.stderr, flush=True)
        faults += found
    print("", *faults, sep="\n")
    return int(bool(faults))


def _print_row(cells: Sequence[object]) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)
