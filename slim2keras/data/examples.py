"""Images with labels that are listed, and not read yet."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.sources import Source
from slim2keras.errors import DataReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REMEMBERED_BATCHES = 256
"""More than are ever between the choice of a batch's images and its use."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with labels that are listed, not read yet.

    Attributes:
        source: Where the images are.
        labels: Class of each, int64, as the network numbers them; ``None`` if unknown or unwanted.
        class_names: Name of each class number; numbers as text where nobody knows the names. Empty if the number of
            classes is unknown.
        numbering: How the labels were numbered, or why there are none, in words.
        broken: Names of what was left out because it cannot be read.
        recent: Images of the batches that were read last, the newest at the end; for the culprit of an error.
    """

    source: Source = field(repr=False)
    labels: NDArray[np.int64] | None = field(repr=False)
    class_names: tuple[str, ...] = ()
    numbering: str = ""
    broken: tuple[str, ...] = ()
    recent: deque[NDArray[Any]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_BATCHES), repr=False)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    @property
    def names(self) -> Sequence[str]:
        """What each image is called: its path relative to the data, or its file of records and number in it."""
        return self.source.names

    def subset(self, indices: Sequence[int] | NDArray[Any]) -> Examples:
        """Those of the given places, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, source=self.source.subset(chosen), labels=labels, recent=deque(maxlen=_REMEMBERED_BATCHES))

    def class_counts(self) -> NDArray[np.int64]:
        """Images of each class.

        Raises:
            DataReadError: If there are no labels.
        """
        return np.bincount(self.known_labels(), minlength=len(self.class_names)).astype(np.int64)

    def known_labels(self) -> NDArray[np.int64]:
        """The labels.

        Raises:
            DataReadError: If there are none.
        """
        if self.labels is None:
            raise DataReadError(
                f"There are no labels, which training and accuracy need ({self.numbering or 'nobody gave any'}). Give "
                "one folder a class, slim's TFRecords, or an .npz with labels."
            )
        return self.labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, of names, labels, sizes and the first and last 64 KiB of each file.

        Raises:
            DataReadError: If a file cannot be read.
        """
        found = hashlib.sha256()
        for name in self.names:
            found.update(name.encode("utf-8", "surrogateescape") + b"\n")
        if self.labels is not None:
            found.update(self.labels.tobytes())
        for part in self.source.hashed_parts():
            found.update(part)
        return found.hexdigest()


def _as_text(name: str) -> str:
    """A name without the bytes that are no UTF-8."""
    return name.encode("utf-8", "ignore").decode()


def check_for_training(examples: Examples) -> None:
    """Refuse what no classifier can learn from.

    Raises:
        DataReadError: If there are no labels, all are of one class, or the name of a class is no line of a text, as
            ``labels.txt`` has it.
    """
    odd = [name for name in examples.class_names if [name] != _as_text(name).strip().splitlines()]
    if odd:
        raise DataReadError(
            f"{', '.join(map(repr, odd))}: names of classes that labels.txt cannot hold, since they are no UTF-8, or "
            "have line breaks, or spaces at an end. Rename the folders."
        )
    counts = examples.class_counts()
    present = np.flatnonzero(counts)
    if len(present) < 2:
        names = ", ".join(examples.class_names[number] for number in present)
        raise DataReadError(
            f"All {len(examples)} images are of one class ({names}); there is nothing to tell apart. Give a folder "
            "with one folder for each of two classes or more."
        )
