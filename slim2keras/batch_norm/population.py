"""Statistics of a layer's inputs over a whole data set."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slim2keras.batch_norm.batches import NO_IMAGES
from slim2keras.errors import TrainingDataError
from slim2keras.models.strategies import Team

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


def of_all_workers(
    populations: Mapping[str, Population | None], channels: Mapping[str, int], team: Team
) -> dict[str, Population | None]:
    """Layer by layer the populations of all workers joined, the first one's first.

    Args:
        populations: Layer name to what this worker saw, ``None`` for nothing.
        channels: Layer name to number of channels, in the order of the model.
        team: To ask.
    """
    if team.workers == 1:
        return dict(populations)
    row = np.concatenate([_as_row(populations.get(name), size) for name, size in channels.items()])
    rows = np.split(
        team.gathered(row[np.newaxis]), np.cumsum([1 + 2 * size for size in channels.values()])[:-1], axis=1
    )
    return {name: _from_rows(part) for name, part in zip(channels, rows, strict=True)}


def _as_row(population: Population | None, channels: int) -> NDArray[np.float64]:
    """Count, mean and deviations in one; a count is exact in float64 up to 2 ** 53."""
    if population is None:
        return np.zeros(1 + 2 * channels)
    return np.concatenate([[float(population.count)], population.mean, population.deviations])


def _from_rows(rows: NDArray[np.float64]) -> Population | None:
    found = [Population(int(row[0]), *np.split(row[1:], 2)) for row in rows if row[0]]
    return functools.reduce(Population.joined, found) if found else None


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
