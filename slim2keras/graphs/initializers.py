"""slim's initializers and its regularizer, as Keras serialises them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Serialised = Mapping[str, Any]

ZEROS: Serialised = {"class_name": "Zeros", "config": {}}
XAVIER: Serialised = {"class_name": "GlorotUniform", "config": {}}
"""``slim.xavier_initializer()``, the default of slim's layers."""

# Keras divides the standard deviation of a truncated normal by that of the unit normal cut at two sigma; slim
# multiplies the variance by 1.3 instead. The scale makes Keras draw with slim's deviation, sqrt(1.3 * 2 / fan_in).
_UNIT_TRUNCATED_STDDEV = 0.87962566103423978


def variance_scaling(mode: str = "fan_in") -> Serialised:
    """``slim.variance_scaling_initializer(mode=mode)``: factor 2, truncated normal."""
    scale = 2.6 * _UNIT_TRUNCATED_STDDEV**2
    config = {"scale": scale, "mode": mode, "distribution": "truncated_normal"}
    return {"class_name": "VarianceScaling", "config": config}


def truncated_normal(stddev: float) -> Serialised:
    """``tf.truncated_normal_initializer(0.0, stddev)``."""
    return {"class_name": "TruncatedNormal", "config": {"mean": 0.0, "stddev": stddev}}


def constant(value: float) -> Serialised:
    """``tf.constant_initializer(value)``."""
    return {"class_name": "Constant", "config": {"value": value}}


def center_initializer(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Kernel of (frames, 1, 1, channels, channels) that passes the middle frame on; Keras has no such initializer.

    Source: research/slim/nets/i3d_utils.py, ``center_initializer``.
    """
    import numpy as np

    kernel = np.zeros(shape, "float32")
    kernel[shape[0] // 2, 0, 0] = np.eye(shape[-1])
    return kernel


def l2_regularizer(scale: float) -> Serialised | None:
    """``slim.l2_regularizer(scale)``: the loss is ``scale * sum(w**2) / 2``, where Keras' L2 has no half."""
    return {"class_name": "L2", "config": {"l2": scale / 2}} if scale else None
