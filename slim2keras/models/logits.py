"""The logits of classes among a model's outputs, and labels as their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import TrainingDataError

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray


def first_logits(outputs: Any) -> tf.Tensor:
    """(batch, pixels, classes) in float32, of one pixel where the first output is no map."""
    import tensorflow as tf

    logits = tf.nest.flatten(outputs)[0]
    return tf.reshape(tf.cast(logits, tf.float32), (tf.shape(logits)[0], -1, logits.shape[-1]))


def class_numbers(labels: Any, images: int, pixels: int, num_classes: int) -> NDArray[np.int64]:
    """Class of each image or pixel, (images, pixels), from numbers or a column a class.

    Raises:
        TrainingDataError: If there are more or fewer, or one is no class.
    """
    numbers = np.asarray(labels)
    if numbers.size != images * pixels and numbers.ndim > 1 and numbers.shape[-1] > 1:
        numbers = numbers.argmax(-1)
    if numbers.size != images * pixels or numbers.min() < 0 or numbers.max() >= num_classes:
        where = f", of {pixels} pixels each" if pixels > 1 else ""
        raise TrainingDataError(
            f"There are {numbers.size} labels from {numbers.min()} to {numbers.max()} for {images} images{where}, and "
            f"the network has {num_classes} classes. Give labels that number them from 0, or images alone."
        )
    return numbers.reshape(images, pixels).astype("int64")
