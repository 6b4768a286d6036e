"""The backward pass of a batch, at once or in micro-batches whose gradients are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import tensorflow as tf

from slim2keras.batch_norm.kernels import BatchStatistics
from slim2keras.errors import TrainingDataError


@dataclass(frozen=True)
class Backward:
    """What a batch gives in training mode.

    Attributes:
        outputs: Of the model, of every image.
        batches: What the layers in mode ``"update"`` saw, a layer once a micro-batch, in the order of these.
        loss: Total loss, with regularization.
        gradients: Of each variable that learns, scaled as the optimizer scales the loss; ``None`` where none arrives.
    """

    outputs: Any
    batches: Sequence[BatchStatistics]
    loss: tf.Tensor
    gradients: Sequence[tf.Tensor | None]


BackwardPass: TypeAlias = Callable[[Any, Any, Any, Any], Backward]
"""Takes images, labels, weights, and the number of the micro-batch."""


def accumulated(backward: BackwardPass, count: int) -> BackwardPass:
    """A backward pass over ``count`` micro-batches one after the other: mean loss and mean gradients.

    The activations of one micro-batch are there at a time. Nothing is assigned before all are done, so that the
    faults of any of them stop the whole step.
    """

    def over_micro_batches(x: Any, y: Any, sample_weight: Any, _: Any) -> Backward:
        parts = tf.nest.map_structure(lambda item: _split(item, count), (x, y, sample_weight))

        def part(number: Any) -> Backward:
            x, y, sample_weight = tf.nest.map_structure(lambda item: _taken(item, number), parts)
            return backward(x, y, sample_weight, number)

        return _mean_of(part, count)

    return over_micro_batches


def _mean_of(part: Callable[[Any], Backward], count: int) -> Backward:
    first = part(0)  # outside of the loop it says what there is to add up
    sums = [first.loss, *(item for item in first.gradients if item is not None)]
    kept = _kept(first)
    arrays = [tf.TensorArray(item.dtype, count, element_shape=item.shape).write(0, item) for item in kept]

    def body(number: Any, sums: Any, arrays: Any) -> Any:
        found = part(number)
        more = [found.loss, *(item for item in found.gradients if item is not None)]
        sums = [total + item for total, item in zip(sums, more, strict=True)]
        arrays = [array.write(number, item) for array, item in zip(arrays, _kept(found), strict=True)]
        return number + 1, sums, arrays

    _, sums, arrays = tf.while_loop(
        lambda number, *_: number < count, body, (tf.constant(1), sums, arrays), parallel_iterations=1
    )
    loss, *gradients = [total / tf.cast(count, total.dtype) for total in sums]
    means = iter(gradients)
    outputs, batches = _joined(first, [array.stack() for array in arrays], count)
    return Backward(outputs, batches, loss, [None if item is None else next(means) for item in first.gradients])


def _kept(found: Backward) -> list[tf.Tensor]:
    """What is kept of every micro-batch: outputs, and what the layers saw."""
    seen = [value for batch in found.batches for value in (batch.mean, batch.variance)]
    return [*tf.nest.flatten(found.outputs), *seen]


def _joined(first: Backward, stacked: Sequence[tf.Tensor], count: int) -> tuple[Any, list[BatchStatistics]]:
    """Outputs of all images, and what each layer saw of each micro-batch, from what was kept."""
    flat = tf.nest.flatten(first.outputs)
    outputs = [tf.reshape(item, (-1, *item.shape[2:])) for item in stacked[: len(flat)]]
    means, variances = stacked[len(flat) :: 2], stacked[len(flat) + 1 :: 2]
    batches = [
        BatchStatistics(batch.layer, mean[number], variance[number], None)
        for number in range(count)
        for batch, mean, variance in zip(first.batches, means, variances, strict=True)
    ]
    return tf.nest.pack_sequence_as(first.outputs, outputs), batches


def _split(item: Any, count: int) -> Any:
    """(batch, ...) as (count, micro-batch, ...).

    Raises:
        TrainingDataError: If it cannot be, and its size is known.
    """
    if item is None:
        return None
    item = tf.convert_to_tensor(item)
    size = item.shape[0]
    if size is not None and size % count:
        raise TrainingDataError(
            f"A batch of {size} images cannot be split into {count} micro-batches (accumulate={count}). Give batches "
            f"of a multiple of {count}; a data set by batch(size, drop_remainder=True)."
        )
    return tf.reshape(item, tf.concat([[count, -1], tf.shape(item)[1:]], 0))


def _taken(item: Any, number: Any) -> Any:
    return None if item is None else item[number]
