"""How good a network is: accuracy, class by class, and what it takes for what."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from slim2keras.evaluation.scores import TOP, Scores
from slim2keras.files.reports import Report, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_CLASSES = 30
"""That a page lists; of more it lists those that are recognised worst."""
_SHOWN = 10


@dataclass(frozen=True)
class ClassScore:
    """How well a class is recognised.

    Attributes:
        number: Of the class, in the network's numbering.
        name: Of the class.
        images: Images of it.
        predicted: Images that were taken for it.
        recall: Part of its images that were taken for it; ``None`` if it has none.
        precision: Part of those taken for it that are of it; ``None`` if there are none.
    """

    number: int
    name: str
    images: int
    predicted: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Confusion:
    """Images of a class that were taken for another."""

    true: str
    predicted: str
    images: int
    share: float
    """Of the images of the true class."""


@dataclass(frozen=True, repr=False)
class Evaluation(Report):
    """What a network says of labelled images.

    Attributes:
        source: What was evaluated.
        data: Where the images are from.
        scores: What it says of each.
        class_names: Name of each class of the network.
        names: What each image is called.
        numbering: How the labels were numbered, in words.
        preprocessing: What became of the images before, in words.
        left_out: Images that cannot be read.
    """

    source: str
    data: str
    scores: Scores
    class_names: Sequence[str]
    names: Sequence[str]
    numbering: str = ""
    preprocessing: str = ""
    left_out: Sequence[str] = ()

    @property
    def images(self) -> int:
        """Number of images, each counted once."""
        return len(self.scores)

    @property
    def correct(self) -> int:
        """Number of images whose likeliest class is their label."""
        return int(np.count_nonzero(self.is_correct))

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Of each image, (images,)."""
        found: NDArray[np.bool_] = self.scores.predicted == self.scores.labels
        return found

    @property
    def accuracy(self) -> float:
        """Part of the images whose likeliest class is their label."""
        return self.correct / self.images

    @property
    def top_5(self) -> float | None:
        """Part of the images whose label is among the five likeliest classes; ``None`` where there are fewer classes.

        Of classes that are equally likely all count, as in slim's ``Recall_5``.

        Source: tensorflow/core/kernels/in_topk_op.h.
        """
        assert self.scores.ranks is not None
        return None if len(self.class_names) < TOP else float(np.mean(self.scores.ranks < TOP))

    @property
    def loss(self) -> float:
        """Mean cross entropy, without regularization and without label smoothing."""
        assert self.scores.losses is not None
        return float(np.mean(self.scores.losses, dtype="float64"))

    @functools.cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Images of each class, a row each, that were taken for each, a column each: (classes, classes)."""
        assert self.scores.labels is not None
        classes = len(self.class_names)
        pairs = self.scores.labels * classes + self.scores.predicted
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype("int64")

    @property
    def per_class(self) -> list[ClassScore]:
        """Every class of the network, also those without images."""
        rows = zip(np.diag(self.confusion), self.confusion.sum(1), self.confusion.sum(0), strict=True)
        return [
            ClassScore(number, name, int(images), int(taken), _share(hit, images), _share(hit, taken))
            for number, (name, (hit, images, taken)) in enumerate(zip(self.class_names, rows, strict=True))
        ]

    def confused(self, count: int = _SHOWN) -> list[Confusion]:
        """What is most often taken for what, most often first."""
        errors = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-errors, axis=None, kind="stable")[:count]
        pairs = [divmod(int(place), len(self.class_names)) for place in order if errors.flat[place]]
        return [
            Confusion(
                self.class_names[true],
                self.class_names[predicted],
                int(errors[true, predicted]),
                float(errors[true, predicted] / self.confusion[true].sum()),
            )
            for true, predicted in pairs
        ]

    def worst(self, count: int) -> NDArray[np.int64]:
        """Places of the images that are wrong with the greatest probability, the greatest first."""
        wrong = np.flatnonzero(~self.is_correct)
        order = np.argsort(-self.scores.probabilities[wrong, 0], kind="stable")
        return wrong[order[:count]]

    def summary(self) -> str:
        """In one line."""
        top_5 = "" if self.top_5 is None else f", top 5 {self.top_5:.1%}"
        return f"accuracy {self.accuracy:.1%}{top_5} on {plural(self.images, 'image')}"

    def page(self) -> Iterator[RenderableType]:
        """Accuracy, the classes, and what is taken for what."""
        yield Text.assemble((f"accuracy {self.accuracy:.2%}", "bold"), f"   {self.correct:,} of {self.images:,} images")
        yield Text(", ".join(self._more()))
        for title, value in self._facts().items():
            yield Text(f"{title}: {value}")
        if self.left_out:
            yield Text(f"left out, cannot be read: {plural(len(self.left_out), 'image')}, {self.left_out[0]}", "yellow")
        yield from self._classes()
        if confused := self.confused():
            yield Text("\nMost often mistaken")
            yield _confusion_table(confused)

    def _more(self) -> Iterator[str]:
        if self.top_5 is not None and len(self.class_names) > TOP:
            yield f"top 5 {self.top_5:.2%}"
        yield f"loss {self.loss:.4f}"
        # Of a share that is estimated from so many images.
        error = math.sqrt(self.accuracy * (1.0 - self.accuracy) / self.images)
        yield f"standard error of the accuracy {error:.2%}"

    def _facts(self) -> dict[str, str]:
        facts = {"images": self.data, "labels": self.numbering, "preprocessing": self.preprocessing}
        return {title: value for title, value in facts.items() if value}

    def _classes(self) -> Iterator[RenderableType]:
        rows = [row for row in self.per_class if row.images or row.predicted]
        yield Text()
        if len(rows) > _MOST_CLASSES:
            rows.sort(key=lambda row: 2.0 if row.recall is None else row.recall)
            yield Text(f"The {_MOST_CLASSES} of {len(rows):,} classes that are recognised worst")
        table = _table("class", "images", "recall", "precision")
        for row in rows[:_MOST_CLASSES]:
            table.add_row(Text(row.name), f"{row.images:,}", _percent(row.recall), _percent(row.precision))
        yield table

    def worst_page(self, count: int) -> Iterator[RenderableType]:
        """The images that are most confidently wrong."""
        found = self.worst_json(count)
        yield Text(f"\nMost confidently wrong, {len(found)} of {plural(self.images - self.correct, 'mistake')}")
        table = _table("image", "probability")
        table.add_column("taken for", overflow="fold")
        table.add_column("is", overflow="fold")
        for row in found:
            table.add_row(Text(row["name"]), f"{row['probability']:.1%}", Text(row["predicted"]), Text(row["label"]))
        yield table

    def worst_json(self, count: int) -> list[dict[str, Any]]:
        """The same as plain values."""
        scores, names = self.scores, self.class_names
        assert scores.labels is not None
        return [
            {
                "name": self.names[place],
                "label": names[scores.labels[place]],
                "predicted": names[scores.predicted[place]],
                "probability": float(scores.probabilities[place, 0]),
            }
            for place in self.worst(count)
        ]

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return {
            "source": self.source,
            "data": self.data,
            "images": self.images,
            "accuracy": self.accuracy,
            "top_5": self.top_5,
            "loss": self.loss,
            "per_class": [asdict(row) for row in self.per_class],
            "confusion": self.confusion.tolist(),
            "labels": self.numbering or None,
            "preprocessing": self.preprocessing or None,
            "left_out": [*self.left_out],
        }


def _confusion_table(confused: Sequence[Confusion]) -> Table:
    table = _table("class", "images", "of its images")
    table.add_column("taken for", overflow="fold")
    for row in confused:
        table.add_row(Text(row.true), f"{row.images:,}", f"{row.share:.1%}", Text(row.predicted))
    return table


def _table(first: str, *numbers: str) -> Table:
    """With a column of names, and columns of numbers."""
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for header in numbers:
        table.add_column(header, justify="right")
    return table


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
