"""Which images a step trains on: a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingOrder:
    """An endless stream of images, one permutation of them after the other, cut into batches.

    Batches run across epochs, as those of slim's queue do, so that every batch is full.

    Attributes:
        count: Images.
        batch_size: Images a batch, of all workers together.
        seed: Of the permutations.
        shuffle: Whether there are permutations, or each epoch has the order listed.
        worker: Of which this is the order.
        workers: That share each batch in equal parts.
    """

    count: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    worker: int = 0
    workers: int = 1

    @property
    def share(self) -> int:
        """Images of a batch that this worker has."""
        return self.batch_size // self.workers

    def batch(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The images of a step, and the place of each in the stream."""
        first = int(step) * self.batch_size + self.worker * self.share
        places = np.arange(first, first + self.share, dtype=np.int64)
        epochs, rows = np.divmod(places, self.count)
        if not self.shuffle:
            return rows, places
        chosen = np.empty_like(rows)
        for epoch in np.unique(epochs):
            within = epochs == epoch
            chosen[within] = permutation(self.count, self.seed, int(epoch))[rows[within]]
        return chosen, places


def batches_of_worker(count: int, worker: int, workers: int) -> NDArray[np.int64]:
    """Which of so many batches a worker has: every ``workers``-th.

    The last two stay with one worker, for whom a small last one may join the one before, as on one device.
    """
    turns = np.minimum(np.arange(count), max(count - 2, 0))
    return np.flatnonzero(turns % workers == worker).astype(np.int64)


@lru_cache(maxsize=4)
def permutation(count: int, seed: int, epoch: int) -> NDArray[Any]:
    """Order of an epoch; ``RandomState`` never changes its stream, which NumPy's newer generators may."""
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, epoch))))
    return random.permutation(count)
