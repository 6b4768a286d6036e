"""Which class is which folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.errors import DataReadError, did_you_mean

if TYPE_CHECKING:
    pass


_LABELS_FILE = "labels.txt"

SHOWN = 5

IGNORE_LABELS = "To go on without accuracy: labels=False (command line: --ignore-labels)."


def number_folders(path: Path, names: Sequence[str], classes: int) -> tuple[list[int], str]:
    """Class of each folder, and how it was found, in words."""
    labels_file = path / _LABELS_FILE
    if labels_file.is_file():
        numbers = _numbers_of_labels_file(labels_file, names, classes)
        return numbers, f"{len(names)} folders, classes as in {labels_file}"
    if all(name.isdecimal() for name in names) and len(set(map(int, names))) == len(names):
        by_number = [int(name) for name in names]
        if max(by_number) < classes:
            return by_number, f"{len(names)} folders are called by the numbers of their classes"
    first = classes - len(names)
    if first not in (0, 1):
        raise _unclear(path, names, classes)
    why = "; class 0 is slim's background" if first else ""
    return [*range(first, classes)], (
        f"{len(names)} folders by name, {names[0]} is class {first} and {names[-1]} class {classes - 1}{why}"
    )


def _unclear(path: Path, names: Sequence[str], classes: int) -> DataReadError:
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return DataReadError(
        f"{path} has {len(names)} folders ({shown}), and the network {classes} classes, so it is not clear which is "
        f"which. Say it in {path / _LABELS_FILE}, a line such as 0:{names[0]} for each. {IGNORE_LABELS}"
    )


def _numbers_of_labels_file(path: Path, names: Sequence[str], classes: int) -> list[int]:
    known = read_label_names(path)
    unknown = [name for name in names if name not in known]
    outside = [f"{name} ({known[name]})" for name in names if name in known and known[name] >= classes]
    problems = []
    if unknown:
        problems.append(f"has no line for {', '.join(unknown[:SHOWN])}.{did_you_mean(unknown[0], known)}")
    if outside:
        problems.append(f"numbers beyond the {classes} classes of the network: {', '.join(outside[:SHOWN])}.")
    if problems:
        raise DataReadError(f"{path} {' It '.join(problems)} {IGNORE_LABELS}")
    return [known[name] for name in names]


def read_label_names(path: Path) -> dict[str, int]:
    """Read a ``labels.txt``: name of a class to its number.

    Args:
        path: Lines ``0:daisy``, as slim's ``dataset_utils.write_label_file`` writes them; or a name a line, from 0.

    Raises:
        DataReadError: If it cannot be read, is empty, or gives a name or a number twice.

    Source: research/slim/datasets/dataset_utils.py.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataReadError(f"{path} cannot be read as text: {error}.") from error
    numbered = [match.groups() for line in lines if (match := re.fullmatch(r"(\d{1,9}):(.+)", line))]
    pairs = numbered if len(numbered) == len(lines) else [(str(number), line) for number, line in enumerate(lines)]
    found = {name.strip(): int(number) for number, name in pairs}
    if not lines or (numbered and pairs is not numbered) or len({*found.values()}) < len(lines):
        raise DataReadError(
            f"{path} is no list of {len(lines)} classes: wanted are lines such as 0:daisy, or a name a line, each once."
        )
    return found
