"""Statistics of a layer's inputs over a whole data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slim2keras.batch_norm.batches import NO_IMAGES
from slim2keras.errors import TrainingDataError

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Population:
    """Statistics of one layer's input over a whole data set, exact up to float64.

    Attributes:
        count: Values per channel: images times pixels.
        mean: (channels,), float64.
        deviations: Sum of squared deviations from the mean, (channels,), float64.
    """

    count: int
    mean: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def joined(self, other: Population) -> Population:
        """With more data.

        Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
        """
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        deviations = self.deviations + other.deviations + shift**2 * (self.count * other.count / count)
        return Population(count, mean, deviations)

    def variance(self, *, unbiased: bool) -> NDArray[np.float64]:
        """Variance, unbiased as slim's fused kernel has it, or biased as the unfused one."""
        return self.deviations / (self.count - 1 if unbiased else self.count)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.deviations).all())


def joined(so_far: Population | None, moments: Sequence[tf.Tensor]) -> Population:
    """With the moments of a batch more, see ``kernels.moments_of``."""
    count, mean, deviations = (value.numpy() for value in moments)
    more = Population(int(count), mean, deviations)
    return more if so_far is None else so_far.joined(more)


def checked_count(population: Population | None, name: str) -> Population:
    """A population that has a variance.

    Raises:
        TrainingDataError: If it has not.
    """
    if population is None:
        raise TrainingDataError(NO_IMAGES)
    if population.count < 2:
        raise TrainingDataError(f"{name} gets one value per channel, whose variance is undefined. Give more images.")
    return population
