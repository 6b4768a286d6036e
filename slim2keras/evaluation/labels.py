"""The labels of images as a network numbers its classes, and the names of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from slim2keras.data.examples import Examples
from slim2keras.data.labels import SHOWN, known_names, names_of_classes
from slim2keras.data.sources import ImageFiles
from slim2keras.errors import DataReadError, did_you_mean


def numbered_by_names(list_images: Callable[[int | None], Examples], labels_file: Path, num_classes: int) -> Examples:
    """Images whose labels are numbered by the names of their classes, so that a part of the classes is enough.

    Args:
        list_images: Lists them for a network of so many classes, or with the data's own numbers.
        labels_file: Name of each class of the network.
        num_classes: Of the network.

    Raises:
        DataReadError: If there are no labels, or classes that the network has not.
    """
    known = known_names(labels_file, num_classes)
    found = list_images(None)
    labels = found.known_labels()
    there = [found.class_names[number] for number in np.unique(labels)]
    if _has_numbers_alone(found, known):
        return replace(list_images(num_classes), class_names=names_of_classes(known, num_classes))
    _check_known(there, known, labels_file)
    numbers = np.array([known.get(name, -1) for name in found.class_names], np.int64)
    return replace(
        found,
        labels=numbers[labels],
        class_names=names_of_classes(known, num_classes),
        numbering=f"by the names in {labels_file}",
    )


def _has_numbers_alone(found: Examples, known: Mapping[str, int]) -> bool:
    """Whether the classes of images have no names; their numbers are the network's then, whatever it calls a class."""
    numbers = np.unique(found.known_labels())
    there = [found.class_names[number] for number in numbers]
    are_strange = not known.keys() & there and all(name.isdecimal() for name in there)
    # Folders have the names that they have, be they numbers.
    return are_strange or (not isinstance(found.source, ImageFiles) and there == [*map(str, numbers)])


def _check_known(names: list[str], known: Mapping[str, int], labels_file: Path) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataReadError(
            f"The data has classes that the network has not: {', '.join(unknown[:SHOWN])}."
            f"{did_you_mean(unknown[0], known)} Those of the network stand in {labels_file}."
        )
