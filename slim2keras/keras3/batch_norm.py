"""BatchNorm of Keras 3 that trains with slim's numbers, and says itself what it does in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from slim2keras.batch_norm.modes import BatchNormMode, check_mode
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.keras3.registration import registered

_FUSED_RANKS = (4, 5)
"""Of the activations for which TensorFlow has a fused kernel, whose moving variance is unbiased."""


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of Keras' layer that slim has no numbers for.

    Raises:
        UnsupportedArgumentError: With the name.
    """
    for name in ("renorm", "synchronized"):
        if arguments.get(name):
            raise UnsupportedArgumentError(f"slim's BatchNormalization has no {name}. Received: {name}=True")


@registered
class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """``keras.layers.BatchNormalization`` with the numbers of slim and of tf_keras, on every backend.

    Both normalise with the biased variance of the batch. Into the moving variance slim and tf_keras take the unbiased
    one, ``n / (n - 1)`` times as large, n being the values of a channel, at rank 4 and 5; Keras 3 takes the biased one
    everywhere. What a batch does to the moving statistics is ``moving -= (moving - batch) * (1 - momentum)``, with the
    momentum rounded to float32 first. A channel with one value has the unbiased variance 0. (An epsilon of less than
    1.001e-5 was raised to that by TensorFlow 1, and is on GPUs; TensorFlow 2.21 and this layer take it as it is.)

    Args:
        mode: What happens in training: ``"update"`` normalises with the batch and moves the moving statistics,
            ``"batch"`` normalises with the batch and leaves them, ``"frozen"`` normalises with them. Whether gamma and
            beta learn is none of its business; ``trainable = False`` means moving statistics, as in Keras.
        kwargs: Those of ``keras.layers.BatchNormalization`` but ``renorm`` and ``synchronized``.

    Raises:
        UnsupportedArgumentError: If the mode is unknown, or for an argument that slim has no numbers for.

    Examples:
        >>> layer = slim2keras.keras3.BatchNormalization(mode="frozen", momentum=0.997, epsilon=1e-5)

    Source: tf_slim/layers/layers.py, ``batch_norm``; tensorflow/python/ops/nn_impl.py, ``fused_batch_norm``.
    """

    def __init__(self, *, mode: str = "update", **kwargs: Any) -> None:
        check_arguments(kwargs)
        check_mode(mode)
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (batch, ..., channels)."""
        if mask is not None:
            raise UnsupportedArgumentError(f"{self.name!r} got a mask, which slim's BatchNormalization does not take.")
        # Half precision would lose the statistics.
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        if training and self.trainable and self.mode != BatchNormMode.FROZEN.value:
            mean, variance = self._moments_of(wide)
            if self.mode == BatchNormMode.UPDATE.value:
                self._move(mean, variance * self._correction(wide))
        else:
            mean, variance = (ops.cast(item, wide.dtype) for item in (self.moving_mean, self.moving_variance))
        return ops.cast(self._normalised(wide, mean, variance), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), "mode": self.mode}

    def _axes(self, inputs: Any) -> tuple[int, ...]:
        rank = len(inputs.shape)
        return tuple(axis for axis in range(rank) if axis != self.axis % rank)

    def _moments_of(self, inputs: Any) -> tuple[Any, Any]:
        """Mean and biased variance of each channel; about the mean, where torch's own take a difference of squares."""
        axes = self._axes(inputs)
        mean = ops.mean(inputs, axes, keepdims=True)
        return ops.squeeze(mean, axes), ops.mean(ops.square(inputs - ops.stop_gradient(mean)), axes)

    def _correction(self, inputs: Any) -> Any:
        """What the biased variance of a batch is multiplied with on its way into the moving one."""
        if len(inputs.shape) not in _FUSED_RANKS:
            return 1.0
        shape = ops.shape(inputs)
        count = ops.cast(math.prod(shape[axis] for axis in self._axes(inputs)), inputs.dtype)
        return count / ops.maximum(count - 1.0, 1.0)

    def _move(self, mean: Any, variance: Any) -> None:
        rate = np.float32(1.0) - np.float32(self.momentum)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving - (moving - ops.cast(batch, moving.dtype)) * rate)

    def _normalised(self, inputs: Any, mean: Any, variance: Any) -> Any:
        return ops.batch_normalization(
            inputs,
            mean,
            variance,
            self.axis,
            offset=None if self.beta is None else ops.cast(self.beta, inputs.dtype),
            scale=None if self.gamma is None else ops.cast(self.gamma, inputs.dtype),
            epsilon=self.epsilon,
        )
