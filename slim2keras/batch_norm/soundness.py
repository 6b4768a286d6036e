"""Values that no network can be used with: what it makes of an image is then a matter of kernels, and no answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.errors import NonFiniteError
from slim2keras.files.reports import plural
from slim2keras.models.finite import nonfinite_variables

if TYPE_CHECKING:
    import tf_keras


def check_values(model: tf_keras.Model) -> None:
    """Refuse a model with values that are NaN or infinite, or variances that have no root.

    A compiled network may hide them: the ReLU that TensorFlow fuses with a convolution makes zeros of NaN.

    Raises:
        NonFiniteError: With the first of them.
    """
    if broken := nonfinite_variables(model):
        raise NonFiniteError(
            f"{model.name} has {plural(len(broken), 'variable')} with NaN or infinite values, first {broken[0]}: what "
            "it says then is no answer. If these are moving statistics alone, `slim2keras recalibrate` makes them "
            "anew; else take an earlier checkpoint."
        )
    if negative := layers_of_negative_variance(model):
        raise NonFiniteError(
            f"{model.name} has {plural(len(negative), 'BatchNorm layer')} with a negative variance, which has no root, "
            f"first {negative[0]}: what it says then is no answer. `slim2keras recalibrate` makes the statistics anew."
        )


def check_weights(model: tf_keras.Model) -> None:
    """Refuse a model with values, but moving statistics, that are NaN or infinite.

    Raises:
        NonFiniteError: With the first of them.
    """
    if broken := nonfinite_variables(model, besides=statistics_of(batch_norm_layers(model))):
        raise NonFiniteError(
            f"{model.name} has {plural(len(broken), 'variable')} with NaN or infinite values besides its moving "
            f"statistics, first {broken[0]}, which no statistics make good: take an earlier checkpoint. Nothing was "
            "changed."
        )


def statistics_of(layers: Iterable[tf_keras.layers.Layer]) -> list[Any]:
    """Moving means and variances of layers, as variables."""
    return [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]


def layers_of_negative_variance(model: tf_keras.Model) -> Sequence[str]:
    """Names of the BatchNorm layers that divide by the root of a negative number when they use moving statistics."""
    return [layer.name for layer in batch_norm_layers(model) if np.any(layer.moving_variance.numpy() < -layer.epsilon)]
