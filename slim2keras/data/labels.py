"""Which class is which folder, and which number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import DataReadError, UnsupportedArgumentError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS_FILE = "labels.txt"

SHOWN = 5

MOST_CLASSES = 1_000_000
"""Fifty times those of the largest public sets; a larger number is a mistake, and all below it would be classes."""

_LARGEST_FILE = 64 * MOST_CLASSES
"""Bytes of a ``labels.txt``."""

IGNORE_LABELS = "doctor and recalibrate go on without accuracy by labels=False (command line: --ignore-labels)."


@dataclass(frozen=True)
class LabelOptions:
    """What the caller knows about labels.

    Attributes:
        classes: Of the network; ``None`` numbers the data's own from 0.
        offset: Taken off every number that stands in a ``labels.txt``, in records or in an ``.npz``, as slim's flag
            ``labels_offset``.
        wanted: Whether there shall be labels at all.
    """

    classes: int | None = None
    offset: int = 0
    wanted: bool = True

    @property
    def remark(self) -> str:
        """What the offset does, in words."""
        return f", less the labels offset of {self.offset}" if self.offset else ""


@dataclass(frozen=True)
class Numbering:
    """Class of each of some folders.

    Attributes:
        numbers: In the order of the folders.
        class_names: Name of every class of the network.
        words: How they were numbered.
    """

    numbers: Sequence[int]
    class_names: tuple[str, ...]
    words: str


def number_folders(places: Sequence[Path], names: Sequence[str], options: LabelOptions) -> Numbering:
    """Number the classes that folders are called by.

    Args:
        places: Folders in which a ``labels.txt`` may lie; the first that has one counts.
        names: Of the folders, in natural order.
        options: The number of classes, and the offset of the numbers in ``labels.txt``.

    Raises:
        DataReadError: If it is not clear which is which.
        UnsupportedArgumentError: If there is an offset, and no numbers to take it off.
    """
    labels_file = find_labels_file(places)
    if labels_file is not None:
        return _by_labels_file(labels_file, names, options)
    if options.offset:
        raise UnsupportedArgumentError(
            f"labels_offset={options.offset} is taken off numbers that stand in the data, and the folders of "
            f"{places[0]} have none: leave it out (command line: --labels-offset), or write a {LABELS_FILE} there."
        )
    classes = len(names) if options.classes is None else options.classes
    by_number = _own_numbers(names, classes)
    if by_number:
        words = f"{len(names)} folders are called by the numbers of their classes"
        return Numbering(by_number, names_of_classes(dict(zip(names, by_number, strict=True)), classes), words)
    first = classes - len(names)
    if first not in (0, 1):
        raise _unclear(places[0], names, classes)
    numbers = [*range(first, classes)]
    why = "; class 0 is slim's background" if first else ""
    words = f"{len(names)} folders by name, {names[0]} is class {first} and {names[-1]} class {classes - 1}{why}"
    return Numbering(numbers, names_of_classes(dict(zip(names, numbers, strict=True)), classes), words)


def find_labels_file(places: Sequence[Path]) -> Path | None:
    """The first ``labels.txt`` in some folders."""
    return next((place / LABELS_FILE for place in places if (place / LABELS_FILE).is_file()), None)


def _own_numbers(names: Sequence[str], classes: int) -> list[int]:
    """Classes that folders are called by, ``0`` to ``classes - 1``; none if they are called otherwise."""
    if not all(name.isdecimal() for name in names):
        return []
    numbers = [int(name) for name in names]
    return numbers if len(set(numbers)) == len(names) and max(numbers) < classes else []


def _unclear(path: Path, names: Sequence[str], classes: int) -> DataReadError:
    return DataReadError(
        f"{path} has {len(names)} folders ({shown(names)}), and the network {classes} classes, so it is not clear "
        f"which is which. Say it in {path / LABELS_FILE}, a line such as 0:{names[0]} for each. {IGNORE_LABELS}"
    )


def shown(names: Sequence[str]) -> str:
    """The first of some names, and whether there are more."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _by_labels_file(path: Path, names: Sequence[str], options: LabelOptions) -> Numbering:
    known = read_label_names(path)
    numbers = {name: number - options.offset for name, number in known.items()}
    classes = 1 + max(numbers.values()) if options.classes is None else options.classes
    unknown = [name for name in names if name not in known]
    outside = [f"{name} ({known[name]})" for name in names if name in known and not 0 <= numbers[name] < classes]
    problems = []
    if unknown:
        problems.append(f"has no line for {', '.join(unknown[:SHOWN])}.{did_you_mean(unknown[0], known)}")
    if outside:
        problems.append(
            f"numbers beyond the {classes} classes of the network{options.remark}: {', '.join(outside[:SHOWN])}."
        )
    if problems:
        raise DataReadError(f"{path} {' It '.join(problems)} {IGNORE_LABELS}")
    words = f"{len(names)} folders, classes as in {path}{options.remark}"
    return Numbering([numbers[name] for name in names], names_of_classes(numbers, classes), words)


def names_of_classes(numbers: Mapping[str, int], classes: int) -> tuple[str, ...]:
    """Name of every class, its number as text where it has none."""
    names = {number: name for name, number in numbers.items()}
    return tuple(names.get(number, str(number)) for number in range(classes))


def class_names(labels_file: Path | None, num_classes: int) -> tuple[str, ...]:
    """Name of each class, its number as text where nobody knows one.

    Raises:
        DataReadError: If the file cannot be read, or has classes that the network has not.
    """
    return names_of_classes({} if labels_file is None else known_names(labels_file, num_classes), num_classes)


def known_names(labels_file: Path, num_classes: int) -> dict[str, int]:
    """Numbers of the classes of a network that a file names, by name.

    Raises:
        DataReadError: If the file cannot be read, or has classes that the network has not.
    """
    known = read_label_names(labels_file)
    beyond = [f"{name} ({number})" for name, number in known.items() if number >= num_classes]
    if beyond:
        raise DataReadError(
            f"{labels_file} numbers beyond the {num_classes} classes of the network: {', '.join(beyond[:SHOWN])}. "
            "Numbers are the network's, from 0."
        )
    return known


def checked_numbers(found: NDArray[Any], names: Sequence[str], options: LabelOptions, where: str) -> NDArray[np.int64]:
    """Labels as the network numbers them, from those that stand in the data.

    Args:
        found: Integers, (count,).
        names: What each image is called.
        options: The number of classes, and the offset that is taken off.
        where: The data, for the message.

    Raises:
        DataReadError: If one is no class; it names the first, and counts all.
    """
    labels = found.astype(np.int64) - options.offset
    classes = MOST_CLASSES if options.classes is None else options.classes
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        first = int(outside[0])
        of_network = "" if options.classes is None else f" of the network, which has {classes}"
        raise DataReadError(
            f"{where} has {len(outside)} labels that are no classes{of_network}, 0 to "
            f"{classes - 1}{options.remark}: the first is {found[first]}, of {names[first]}."
            f"{_offset_hint(labels, classes)} {IGNORE_LABELS}"
        )
    return labels


def _offset_hint(labels: NDArray[np.int64], classes: int) -> str:
    """Names slim's offset where every label fits after taking it off."""
    if labels.min() < 1 or labels.max() > classes:
        return ""
    return " Labels that count a background class 0 which the network has not want labels_offset=1 (--labels-offset 1)."


def read_label_names(path: Path) -> dict[str, int]:
    """Read a ``labels.txt``: name of a class to its number.

    Args:
        path: Lines ``0:daisy``, as slim's ``dataset_utils.write_label_file`` writes them; or a name a line, from 0.

    Raises:
        DataReadError: If it cannot be read, is empty, or gives a name or a number twice.

    Source: research/slim/datasets/dataset_utils.py.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DataReadError(f"{path} is no list of classes: it has {path.stat().st_size:,} bytes.")
        # Notepad begins a file with a mark of its encoding.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataReadError(f"{path} cannot be read as text: {error}.") from error
    if len(lines) > MOST_CLASSES:
        raise DataReadError(f"{path} is no list of classes: it has {len(lines):,} lines.")
    numbered = [match.groups() for line in lines if (match := re.fullmatch(r"(\d{1,9}):(.+)", line))]
    pairs = numbered if len(numbered) == len(lines) else [(str(number), line) for number, line in enumerate(lines)]
    found = {name.strip(): int(number) for number, name in pairs}
    if not lines or (numbered and pairs is not numbered) or len({*found.values()}) < len(lines):
        raise DataReadError(
            f"{path} is no list of {len(lines)} classes: wanted are lines such as 0:daisy, or a name a line, each once."
        )
    if max(found.values()) >= MOST_CLASSES:
        raise DataReadError(f"{path} numbers a class {max(found.values())}: numbers go from 0 to {MOST_CLASSES - 1}.")
    return found
