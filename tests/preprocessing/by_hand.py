"""What pipelines do, once more in NumPy."""

from __future__ import annotations

import numpy as np


def resized_by_hand(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, corners at the origin."""
    values = image.astype("float64")
    for axis, size in enumerate((height, width)):
        length = values.shape[axis]
        places = np.arange(size) * (length / size)
        low = places.astype(int)
        high = np.minimum(low + 1, length - 1)
        part = (places - low).reshape([-1 if axis == other else 1 for other in range(values.ndim)])
        values = values.take(low, axis) * (1.0 - part) + values.take(high, axis) * part
    return values


def standardised_by_hand(image: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1, which does not fall below one over the root of the number of values."""
    standardised: np.ndarray = (image - image.mean()) / max(image.std(), 1.0 / np.sqrt(image.size))
    return standardised
