"""Whether values are numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.models.variables import slim_variables

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite, without an array of booleans the size of the weights."""
    # NaN and infinity survive in a sum of squares, so a finite sum proves finite values; only an overflow needs a look.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(values.ravel(), values.ravel())
    return bool(np.isfinite(total)) or bool(np.isfinite(values).all())


def nonfinite_variables(model: tf_keras.Model, besides: Collection[Any] = ()) -> list[str]:
    """Slim names of the variables of a model that have NaN or infinite values.

    Args:
        besides: Variables that are not looked at.
    """
    passed_over = {id(variable) for variable in besides}
    return [
        name
        for name, variable in slim_variables(model).items()
        if variable.dtype.is_floating and id(variable) not in passed_over and not all_finite(variable.numpy())
    ]
