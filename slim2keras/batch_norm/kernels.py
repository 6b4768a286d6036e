"""What stock BatchNorm layers do in each mode, with slim's numbers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.modes import BatchNormMode
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.overrides import Overrides
from slim2keras.models.strategies import mean_over_replicas

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


@dataclass(frozen=True)
class BatchStatistics:
    """What a layer in mode ``"update"`` saw of a batch.

    Attributes:
        layer: The layer.
        mean: Of each channel, (channels,).
        variance: Of each channel; unbiased where the kernel is fused, as in slim.
        is_single: Whether there was one value per channel, whose unbiased variance is undefined; ``None`` where the
            images are too large for that.
    """

    layer: tf_keras.layers.Layer
    mean: tf.Tensor
    variance: tf.Tensor
    is_single: tf.Tensor | None


def move_statistics(
    layer: tf_keras.layers.Layer, mean: tf.Tensor, variance: tf.Tensor, decay: float | None = None
) -> None:
    """Take a batch into the moving statistics of a layer: ``moving -= (moving - batch) * (1 - decay)``.

    As in slim, the decay, the layer's own if left out, is rounded to float32 before it is taken from one.

    Source: tf_slim/layers/layers.py, ``batch_norm``, and the layer of tf_keras that it makes in a graph.
    """
    rate = np.float32(1.0) - np.float32(layer.momentum if decay is None else decay)
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign_sub((moving - batch) * rate)


def averaged_over_replicas(batches: Sequence[BatchStatistics]) -> list[BatchStatistics]:
    """The means of what the replicas saw, so that the moving statistics of all stay the same."""
    values = mean_over_replicas([value for batch in batches for value in (batch.mean, batch.variance)])
    pairs = zip(batches, values[::2], values[1::2], strict=True)
    return [replace(batch, mean=mean, variance=variance) for batch, mean, variance in pairs]


@contextlib.contextmanager
def explicit_modes(
    layers: Sequence[tf_keras.layers.Layer], modes: Mapping[str, BatchNormMode]
) -> Iterator[list[BatchStatistics]]:
    """Within it the layers do in training mode what their modes say; at inference nothing changes.

    The layers are stock ones and stay so: for the time being their ``call`` is ours. Nothing is assigned; the list
    that is given fills with the batch statistics of the layers in mode ``"update"``.
    """
    seen: list[BatchStatistics] = []
    with _calls_replaced(layers, lambda layer: functools.partial(_call, layer, modes[layer.name], seen)):
        yield seen


@contextlib.contextmanager
def observed_inputs(layers: Sequence[tf_keras.layers.Layer]) -> Iterator[dict[str, tuple[tf.Tensor, ...]]]:
    """Within it the layers normalise with the batch, and the dict given fills with the moments of what they get.

    Layer name to count, mean and sum of squared deviations per channel, in float64.
    """
    moments: dict[str, tuple[tf.Tensor, ...]] = {}
    with _calls_replaced(layers, lambda layer: functools.partial(_observe, layer, moments)):
        yield moments


@contextlib.contextmanager
def _calls_replaced(
    layers: Sequence[tf_keras.layers.Layer], make_call: Callable[[tf_keras.layers.Layer], Callable[..., tf.Tensor]]
) -> Iterator[None]:
    with Overrides() as overrides:
        for layer in layers:
            overrides.set(layer, "call", make_call(layer))
        yield


def _observe(
    layer: tf_keras.layers.Layer,
    moments: dict[str, tuple[tf.Tensor, ...]],
    inputs: tf.Tensor,
    training: Any = None,
    mask: Any = None,
) -> tf.Tensor:
    if layer.name in moments:
        raise UnsupportedArgumentError(f"{layer.name!r} is called twice, or two layers have that name: not supported.")
    moments[layer.name] = moments_of(inputs)
    if not training:
        return type(layer).call(layer, inputs, training=False, mask=mask)
    return _normalise_with_batch(layer, inputs)[0]


def moments_of(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Count, mean and sum of squared deviations of each channel, in float64."""
    import tensorflow as tf

    values = tf.reshape(tf.cast(inputs, tf.float64), (-1, inputs.shape[-1]))
    mean = tf.reduce_mean(values, 0)
    return tf.shape(values, tf.int64)[0], mean, tf.reduce_sum(tf.square(values - mean), 0)


def _call(
    layer: tf_keras.layers.Layer,
    mode: BatchNormMode,
    seen: list[BatchStatistics],
    inputs: tf.Tensor,
    training: Any = None,
    mask: Any = None,
) -> tf.Tensor:
    if mode is BatchNormMode.FROZEN or not training:
        return type(layer).call(layer, inputs, training=False, mask=mask)
    outputs, mean, variance = _normalise_with_batch(layer, inputs)
    if mode is BatchNormMode.UPDATE:
        seen.append(BatchStatistics(layer, mean, variance, _is_single(inputs)))
    return outputs


def _normalise_with_batch(layer: tf_keras.layers.Layer, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Outputs, mean and variance of a batch, by the kernel that the stock layer uses."""
    import tensorflow as tf

    channels, dtype = layer.moving_mean.shape, layer.moving_mean.dtype
    gamma = tf.ones(channels, dtype) if layer.gamma is None else layer.gamma
    beta = tf.zeros(channels, dtype) if layer.beta is None else layer.beta
    if layer.fused:
        return tf.compat.v1.nn.fused_batch_norm(  # type: ignore[no-any-return]
            inputs,
            gamma,
            beta,
            epsilon=layer.epsilon,
            is_training=True,
            data_format="NHWC" if inputs.shape.rank == 4 else "NDHWC",
        )
    # Half precision would lose the statistics.
    wide = tf.cast(inputs, dtype)
    mean, variance = tf.nn.moments(wide, list(range(inputs.shape.rank - 1)))
    outputs = tf.nn.batch_normalization(wide, mean, variance, layer.beta, layer.gamma, layer.epsilon)
    return tf.cast(outputs, inputs.dtype), mean, variance


def _is_single(inputs: tf.Tensor) -> tf.Tensor | None:
    import tensorflow as tf

    if (inputs.shape[1:-1].num_elements() or 1) > 1:
        return None
    return tf.size(inputs) <= inputs.shape[-1]
