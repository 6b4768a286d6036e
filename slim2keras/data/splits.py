"""A part of the images kept back for validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.examples import Examples
from slim2keras.errors import DataReadError, UnsupportedArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def split_examples(examples: Examples, fraction: float, seed: int = 0) -> tuple[Examples, Examples]:
    """Split images in two, stratified: of each class the same fraction is kept back.

    A class gives ``round(fraction * images)`` of its images, at least one where it has two, and keeps at least one. A
    function of labels, fraction and seed alone.

    Args:
        examples: With or without labels.
        fraction: Kept back, between 0 and 1.
        seed: Of the choice.

    Returns:
        The images for training, and those that are kept back, each in the order listed.

    Raises:
        UnsupportedArgumentError: If the fraction is none.
        DataReadError: If nothing would be left of either.
    """
    if not 0.0 < fraction < 1.0:
        raise UnsupportedArgumentError(f"The part kept back must lie between 0 and 1. Received: {fraction}")
    is_kept_back = np.zeros(len(examples), bool)
    for number, images in enumerate(_of_each_class(examples)):
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, number))))
        is_kept_back[random.permutation(images)[: _kept_back(len(images), fraction)]] = True
    if not is_kept_back.any():
        raise DataReadError(
            f"{len(examples)} images cannot be split: no class has two. Give more, or a folder `validation` of its own."
        )
    return examples.subset(np.flatnonzero(~is_kept_back)), examples.subset(np.flatnonzero(is_kept_back))


def _of_each_class(examples: Examples) -> Iterator[NDArray[Any]]:
    if examples.labels is None:
        yield np.arange(len(examples))
        return
    for number in np.unique(examples.labels):
        yield np.flatnonzero(examples.labels == number)


def _kept_back(images: int, fraction: float) -> int:
    """How many of a class."""
    return 0 if images < 2 else min(max(round(fraction * images), 1), images - 1)
