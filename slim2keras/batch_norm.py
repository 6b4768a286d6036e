"""BatchNorm in training: slim's decay, the three modes and their truth table.

| slim | normalises with | moving statistics | mode |
|---|---|---|---|
| ``is_training=True``, update ops run | batch | move by ``1 - decay`` | ``"update"`` |
| ``is_training=True``, update ops not run (pit one), or ``trainable=False`` | batch | stay | ``"batch"`` |
| ``is_training=False`` | moving | stay | ``"frozen"`` |

Whether gamma and beta learn is none of the three's business. In stock Keras it is: ``layer.trainable = False`` freezes
them and switches to the moving statistics.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.loading import all_layers
from slim2keras.overrides import Overrides
from slim2keras.scopes import first_matches

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

AUTO = "auto"
"""A decay that is picked when the number of steps is known."""
LARGEST_SHARE_LEFT = 0.1
"""Of the statistics that training started from; with more left, ``is_training=False`` is not the trained network."""
AUTO_SHARE_LEFT = 1e-4
"""What a decay that is picked leaves of the old statistics: it averages over the last tenth of the steps.

To forget the start is not enough: while the weights move, statistics of long ago are not theirs.
"""
SMALLEST_AUTO_DECAY = 0.9
"""Below it the moving statistics are little more than those of the last few batches."""


class BatchNormMode(Enum):
    """What a BatchNorm layer does in training; the module's docstring has the truth table."""

    UPDATE = "update"
    BATCH = "batch"
    FROZEN = "frozen"


ModeArgument = str | Mapping[str, str]
"""One mode for all layers, or pattern to mode, where the first match wins."""


def batch_norm_layers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """BatchNorm layers of a model, in its order, those of models within it too."""
    import tf_keras

    # The class of SyncBatchNormalization and of TensorFlow 1's layer derive from it, and are refused by name.
    base = tf_keras.layers.BatchNormalization.__bases__[0]
    return [layer for layer in all_layers(model) if isinstance(layer, base)]


def moving_statistics(layer: tf_keras.layers.Layer) -> tuple[NDArray[Any], NDArray[Any]]:
    """Moving mean and variance of a layer, (channels,) each."""
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def plan_modes(layers: Sequence[tf_keras.layers.Layer], batch_norm: ModeArgument) -> dict[str, BatchNormMode]:
    """Choose the mode of every layer.

    Returns:
        Layer name to mode.

    Raises:
        UnsupportedArgumentError: If a mode is unknown, a pattern matches no layer or a layer no pattern, if a layer is
            none that can be given a mode, or if its ``trainable`` flag contradicts its mode.
    """
    patterns = batch_norm if isinstance(batch_norm, Mapping) else {".*": batch_norm}
    known = [mode.value for mode in BatchNormMode]
    for pattern, mode in patterns.items():
        if mode not in known:
            where = f" for {pattern!r}" if isinstance(batch_norm, Mapping) else ""
            raise UnsupportedArgumentError(
                f"batch_norm must be one of {', '.join(known)}{where}. Received: {mode!r}. "
                "update: batch statistics, moving ones follow; batch: batch statistics, moving ones stay; frozen: "
                "moving statistics."
            )
    names = [layer.name for layer in layers]
    if not names and not isinstance(batch_norm, Mapping):
        return {}
    matches = first_matches(patterns, names, "batch_norm")
    unmatched = [name for name in names if name not in matches]
    if unmatched:
        raise UnsupportedArgumentError(
            f"batch_norm says nothing of {len(unmatched)} of {len(names)} BatchNorm layers, first {unmatched[0]!r}. "
            'Add a last pattern for the rest, such as ".*": "update".'
        )
    modes = {name: BatchNormMode(patterns[pattern]) for name, pattern in matches.items()}
    for layer in layers:
        check_layer(layer, modes[layer.name])
    return modes


def check_layer(layer: tf_keras.layers.Layer, mode: BatchNormMode) -> None:
    """Refuse a layer that cannot be in a mode.

    Raises:
        UnsupportedArgumentError: If it is not a stock layer over the last axis, or if ``layer.trainable`` is false,
            which in Keras means the moving statistics, and the mode is another.
    """
    import tf_keras

    rank = layer.input_spec.ndim
    stock = type(layer) is tf_keras.layers.BatchNormalization and not getattr(layer, "synchronized", False)
    if not stock or list(layer.axis) != [rank - 1]:
        raise UnsupportedArgumentError(
            f"{layer.name!r} is a {type(layer).__name__} over axis {list(layer.axis)} of rank {rank}; only a stock, "
            "unsynchronized BatchNormalization over the last axis can be given a mode."
        )
    if not layer.trainable and mode is not BatchNormMode.FROZEN:
        raise UnsupportedArgumentError(
            f"{layer.name!r} has trainable = False, which in Keras means moving statistics and a fixed gamma and beta, "
            f"but batch_norm says {mode.value!r}. Say 'frozen' of it, or set trainable = True and keep gamma and beta "
            "fixed with exclude_from_training."
        )


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


def check_decay(decay: float | str | None, *, auto: bool = False) -> None:
    """Refuse a decay that is no fraction.

    Args:
        decay: To check; ``None`` passes.
        auto: Whether ``"auto"`` passes too.

    Raises:
        UnsupportedArgumentError: If it is not from 0 to 1.
    """
    is_fraction = isinstance(decay, (int, float)) and 0.0 <= decay <= 1.0
    if decay is not None and not is_fraction and not (auto and decay == AUTO):
        choices = "from 0 to 1" + (', or "auto"' if auto else "")
        raise UnsupportedArgumentError(f"decay must be the fraction kept, {choices}. Received: decay={decay!r}")


def share_left(decay: float, steps: int) -> float:
    """What part of the moving statistics is still the value they started from."""
    return float(decay**steps)


def steps_for(decay: float) -> int:
    """Steps after which no more than ``LARGEST_SHARE_LEFT`` of the old statistics is left, for a decay below 1."""
    return math.ceil(math.log(LARGEST_SHARE_LEFT) / math.log(decay)) if 0.0 < decay < 1.0 else 1


@dataclass(frozen=True)
class SettledDecay:
    """What a decay ``"auto"`` became.

    Attributes:
        decay: The number.
        steps: Steps that it was picked for.
        slowest: The network's own decay, which none that is picked exceeds.
    """

    decay: float
    steps: int
    slowest: float


def decay_for(steps: int, slowest: float) -> float:
    """A decay that leaves 0.01 % of the old statistics after a number of steps.

    Args:
        steps: Steps planned.
        slowest: Decay not to be exceeded, the network's own.
    """
    return float(min(max(AUTO_SHARE_LEFT ** (1.0 / steps), SMALLEST_AUTO_DECAY), slowest))
