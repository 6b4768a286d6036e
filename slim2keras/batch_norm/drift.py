"""How far the moving statistics of a layer are from those of the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.modes import moving_statistics
from slim2keras.batch_norm.population import Population
from slim2keras.files.json_values import finite_or_none

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


LARGEST_SHIFT = 0.25
"""Of the normalised activation, in standard deviations."""

LARGEST_VARIANCE_RATIO = 1.5


@dataclass(frozen=True)
class Drift:
    """How far statistics are from others, as the normalised activation feels it.

    Attributes:
        shift: Of the mean, in standard deviations; root mean square over the channels.
        ratio: Of the variances, 1 or greater: the root mean square of its logarithm over the channels.
    """

    shift: float
    ratio: float

    @classmethod
    def between(
        cls,
        mean: NDArray[Any],
        variance: NDArray[Any],
        true_mean: NDArray[Any],
        true_variance: NDArray[Any],
        epsilon: float = 1e-3,
    ) -> Drift:
        """Drift of a mean and a variance, (channels,), from the true ones."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            deviation = np.sqrt(np.maximum(true_variance.astype("float64"), 0.0) + epsilon)
            shifts = (mean.astype("float64") - true_mean) / deviation
            logarithms = np.log((variance.astype("float64") + epsilon) / deviation**2)
            return cls(float(np.sqrt(np.mean(shifts**2))), float(np.exp(np.sqrt(np.mean(logarithms**2)))))

    @classmethod
    def of_layer(cls, layer: tf_keras.layers.Layer, population: Population) -> Drift:
        """Drift of a layer's moving statistics from those of the data."""
        true = population.mean, population.variance(unbiased=bool(layer.fused))
        return cls.between(*moving_statistics(layer), *true, epsilon=layer.epsilon)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.shift + self.ratio))

    @property
    def is_small(self) -> bool:
        """Whether it is what batches differ by anyway; NaN is not."""
        return self.shift <= LARGEST_SHIFT and self.ratio <= LARGEST_VARIANCE_RATIO

    @property
    def size(self) -> float:
        """One number to compare layers by: 1 at the bounds of what is small, infinite for NaN."""
        size = max(self.shift / LARGEST_SHIFT, np.log(self.ratio) / np.log(LARGEST_VARIANCE_RATIO))
        return float(size) if self.is_finite else float("inf")

    def describe(self) -> str:
        """In words."""
        return f"mean shifted by {self.shift:.2g} deviations, variances a factor of {self.ratio:.2g} apart"

    def to_json(self) -> dict[str, Any]:
        """As plain values; JSON has no NaN, it becomes ``None``."""
        return {key: finite_or_none(value) for key, value in asdict(self).items()}
