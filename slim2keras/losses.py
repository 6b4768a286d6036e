"""slim's losses: cross entropies of logits, with label smoothing, averaged over the weights that are not zero.

Source: tensorflow/python/ops/losses/losses_impl.py, which ``slim.losses`` and ``tf.losses`` are.
"""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.errors import TrainingDataError, UnsupportedArgumentError


class SlimLoss(tf_keras.losses.Loss):  # type: ignore[misc]
    """What the losses share: ``SUM_BY_NONZERO_WEIGHTS``.

    Keras divides the weighted sum by the number of values, slim by the number of values whose weight is not zero.
    Several replicas each divide by their own count, as slim's clones do.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str | None = None) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise UnsupportedArgumentError(
                f"label_smoothing must be at least 0 and below 1. Received: label_smoothing={label_smoothing!r}"
            )
        super().__init__(name=name)
        self.label_smoothing = label_smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """Average over the values whose weight is not zero; 0 if there are none.

        Args:
            y_true: Targets.
            y_pred: Logits, (batch, ..., classes); those in half precision are taken into float32 first.
            sample_weight: Broadcast to the losses, slim's ``weights``.
        """
        losses = self.call(y_true, wide(tf.convert_to_tensor(y_pred)))
        if sample_weight is None:
            return tf.reduce_mean(losses)
        weights = tf.cast(sample_weight, losses.dtype)
        while weights.shape.rank < losses.shape.rank:
            weights = weights[..., tf.newaxis]
        # Keras gives the weights of images the rank of the logits.
        while weights.shape.rank > losses.shape.rank:
            weights = weights[..., 0]
        weights *= tf.ones_like(losses)
        return tf.math.divide_no_nan(
            tf.reduce_sum(losses * weights), tf.math.count_nonzero(weights, dtype=losses.dtype)
        )

    @abc.abstractmethod
    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Losses one by one."""

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the loss again."""
        return {"label_smoothing": self.label_smoothing, "name": self.name}


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class SoftmaxCrossEntropy(SlimLoss):
    """``slim.losses.softmax_cross_entropy``, and ``sparse_softmax_cross_entropy`` where the labels are numbers.

    With label smoothing the target is ``onehot * (1 - label_smoothing) + label_smoothing / num_classes``.

    Examples:
        >>> loss = slim2keras.losses.SoftmaxCrossEntropy(label_smoothing=0.1)
        >>> float(loss([0, 1], [[9.0, 0.0], [0.0, 9.0]]))
        0.45...
    """

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Loss of each image, (batch,), from one-hot labels, (batch, classes), or numbers, (batch,) or (batch, 1)."""
        labels = tf.convert_to_tensor(y_true)
        classes = y_pred.shape[-1]
        if y_pred.shape[1:-1].num_elements() == 1:
            # DenseNet's logits, and those of a network built without spatial_squeeze, keep their one pixel.
            y_pred = tf.reshape(y_pred, (-1, classes))
        if is_one_hot(labels, y_pred):
            check_classes(labels, y_pred)
            onehot = tf.cast(labels, y_pred.dtype)
        else:
            labels = tf.cast(labels, tf.int64)
            labels = labels[..., 0] if labels.shape.rank == y_pred.shape.rank else labels
            if not self.label_smoothing:
                return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y_pred)
            onehot = tf.one_hot(labels, classes, dtype=y_pred.dtype)
        if self.label_smoothing:
            onehot = onehot * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        return tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(onehot), y_pred)


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class SigmoidCrossEntropy(SlimLoss):
    """``slim.losses.sigmoid_cross_entropy``: labels that do not exclude each other, one loss each.

    With label smoothing the target is ``labels * (1 - label_smoothing) + label_smoothing / 2``.

    Examples:
        >>> loss = slim2keras.losses.SigmoidCrossEntropy()
        >>> float(loss([[1, 0]], [[9.0, -9.0]]))
        0.0001...
    """

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Losses of images and labels, (batch, labels)."""
        labels = tf.cast(y_true, y_pred.dtype)
        if self.label_smoothing:
            labels = labels * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, y_pred)


def wide(logits: tf.Tensor) -> tf.Tensor:
    """Logits in float32 at least: a loss in half precision has two or three digits, and its mean fewer."""
    return tf.cast(logits, tf.float32) if logits.dtype in (tf.float16, tf.bfloat16) else logits


def is_one_hot(labels: tf.Tensor, logits: tf.Tensor) -> bool:
    """Whether labels have a column for each class, and are not numbers of classes."""
    return bool(labels.shape.rank == logits.shape.rank and (labels.shape[-1] != 1 or logits.shape[-1] == 1))


def check_classes(labels: tf.Tensor, logits: tf.Tensor) -> None:
    """Refuse labels with another number of columns than there are classes.

    Raises:
        TrainingDataError: With both numbers.
    """
    if labels.shape[-1] != logits.shape[-1]:
        raise TrainingDataError(
            f"The labels have {labels.shape[-1]} classes and the network {logits.shape[-1]}. Build or convert with "
            f"num_classes={labels.shape[-1]}."
        )
