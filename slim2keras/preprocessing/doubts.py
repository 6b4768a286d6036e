"""Images that can hardly be such as a network wants them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import PreprocessingWarning
from slim2keras.graphs.network import Network
from slim2keras.models.networks import find_network
from slim2keras.preprocessing.factory import pipeline_of, preprocessing_meaning
from slim2keras.preprocessing.pipelines import PIPELINES

if TYPE_CHECKING:
    import tf_keras


_STANDARDISED = (-16.0, 16.0)
"""Pixels of mean 0 and deviation 1 hardly reach further."""

_WIDE_RANGE = 50.0
"""Values further apart are pixels that were shifted; of values closer together, pixels that were scaled too."""

_SCALED_SPREAD = 3.0
"""Images scaled to [0, 1] or [-1, 1] spread less; those less a mean colour spread more, as any two colours do."""


def doubt_about(images: Any, network: Network) -> str | None:
    """Why images can hardly be preprocessed as a network wants them, ``None`` if nothing speaks against it.

    Args:
        images: A batch, as the network would get it.
        network: The network.
    """
    if network.preprocessing not in PIPELINES:
        return None
    seen = _seen(np.asarray(images), pipeline_of(network).value_range or _STANDARDISED)
    if seen is None:
        return None
    return (
        f"The images {seen}, and {network.name} wants them preprocessed: {preprocessing_meaning(network)}. "
        "slim2keras.preprocessing.preprocess(images, model) does that, from uint8. Ignore this if the network was "
        "trained on such images."
    )


def _seen(images: np.ndarray[Any, Any], wanted: tuple[float, float]) -> str | None:
    """What is seen of images that cannot be in a range, in words."""
    if images.dtype.kind in "iub":
        return f"are {images.dtype}"
    # TensorFlow's half precision is no type of NumPy's own.
    values = images.astype("float32", copy=False)
    low, high = (float(bound) for bound in (np.min(values, initial=np.inf), np.max(values, initial=-np.inf)))
    if low == high or not np.isfinite([low, high]).all():
        return None
    width = wanted[1] - wanted[0]
    if low >= 0.0 and wanted[1] + max(0.05 * width, 1.0) < high <= 255.0:
        return "look like pixels of 0 to 255"
    if low < wanted[0] - width / 2 or high > wanted[1] + width / 2:
        return f"have values from {low:.4g} to {high:.4g}"
    if width > _WIDE_RANGE and high - low < _SCALED_SPREAD:
        return f"have values from {low:.4g} to {high:.4g} only"
    return None


def warn_if_doubtful(images: Any, model: tf_keras.Model, stacklevel: int = 2) -> None:
    """Warn of images that can hardly be such as a network of slim2keras wants; of anybody else's nothing is known.

    Warns:
        PreprocessingWarning: What is seen of them, and what the network wants.
    """
    network = find_network(model)
    doubt = None if network is None else doubt_about(images, network)
    if doubt is not None:
        warnings.warn(doubt, PreprocessingWarning, stacklevel=stacklevel + 1)
