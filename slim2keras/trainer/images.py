"""The images of a training: listed, numbered, split, limited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slim2keras.data.examples import Examples, check_for_training
from slim2keras.data.listing import list_examples, splits_of
from slim2keras.data.splits import split_examples
from slim2keras.errors import DataReadError
from slim2keras.trainer.request import DataOptions, TrainingRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VALIDATES = ("validation", "test")
"""Splits that may validate, the better one first."""


@dataclass(frozen=True)
class TrainingImages:
    """What is trained on, and what it is judged by.

    Attributes:
        training: Images that are trained on.
        validation: Images that are not.
        origin: Where the latter are from, in words.
    """

    training: Examples
    validation: Examples
    origin: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the network."""
        return self.training.class_names

    def class_weights(self) -> NDArray[np.float32]:
        """Weights n / (classes * images of the class), of those that there are images of; (classes,)."""
        counts = self.training.class_counts()
        present = np.maximum(counts, 1) * np.count_nonzero(counts)
        return np.where(counts > 0, len(self.training) / present, 0.0).astype(np.float32)


def choose_classes(request: TrainingRequest, of_checkpoint: int | None) -> int:
    """Number of classes to train: the checkpoint's if the data has as many, or one fewer (slim's background).

    Raises:
        DataReadError: If the images cannot be listed, or have no labels.
    """
    # Every image would be decoded for it, and the names of classes do not depend on that.
    own = _lister(replace(request.images, skip_broken=False))(request.data, _training_split(request), None)
    check_for_training(own)
    count = len(own.class_names)
    return of_checkpoint if of_checkpoint in (count, count + 1) else count


def list_images(request: TrainingRequest, classes: int) -> TrainingImages:
    """List the images of a training, numbered for a network of so many classes.

    Raises:
        DataReadError: If they cannot be listed, do not fit, or nothing is left of a split.
    """
    options, seed = request.images, request.loop.seed
    listed = _lister(options)
    training = listed(request.data, _training_split(request), classes)
    validation, origin = _validation(request, classes)
    if validation is None:
        training, validation = split_examples(training, options.validation_split, seed)
        origin = f"{options.validation_split:.0%} of each class, chosen by seed {seed}"
    _check_same_classes(training, validation, origin)
    training, validation = limited(training, options.limit, seed), limited(validation, options.limit, seed)
    check_for_training(training)
    return TrainingImages(training, validation, origin)


def _lister(options: DataOptions) -> Callable[[Path, str | None, int | None], Examples]:
    def listed(path: Path, split: str | None, classes: int | None) -> Examples:
        return list_examples(
            path,
            split=split,
            classes=classes,
            labels_offset=options.labels_offset,
            skip_broken=options.skip_broken,
        )

    return listed


def _training_split(request: TrainingRequest) -> str | None:
    """The split to train on; ``None`` where there are no splits, and none but the usual one was asked for."""
    split = request.images.split
    return split if splits_of(request.data) or split != DataOptions.split else None


def _validation(request: TrainingRequest, classes: int) -> tuple[Examples | None, str]:
    """Validation images that are there as such, and where; ``None`` if a part of the training images has to do."""
    options = request.images
    path = options.validation or request.data
    splits = [name for name in _VALIDATES if name in splits_of(path) and (options.validation or name != options.split)]
    if not splits and options.validation is None:
        return None, ""
    split = splits[0] if splits else None
    found = _lister(options)(path, split, classes)
    return found, f"split {split!r} of {path}" if split else str(path)


def _check_same_classes(training: Examples, validation: Examples, origin: str) -> None:
    if training.class_names != validation.class_names:
        raise DataReadError(
            f"Training and validation images have other classes: {_listed(training)}, and in the {origin} "
            f"{_listed(validation)}. Give both the same folders, or one labels.txt."
        )


def _listed(examples: Examples) -> str:
    names = examples.class_names
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def limited(examples: Examples, limit: int | None, seed: int) -> Examples:
    """At most so many images, of each class its share, chosen by a seed; in the order listed."""
    if limit is None or len(examples) <= limit:
        return examples
    labels = examples.known_labels()
    shares = np.empty(len(labels))
    for number in np.unique(labels):
        places = np.flatnonzero(labels == number)
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, int(number)))))
        # The k-th image of a class comes before the k + 1-th of any, in proportion to what there is of it.
        shares[random.permutation(places)] = (np.arange(len(places)) + 0.5) / len(places)
    return examples.subset(np.sort(np.argsort(shares, kind="stable")[:limit]))
