"""Outputs and labels as loss and metrics are to have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.errors import TrainingDataError
from slim2keras.losses import wide
from slim2keras.training.outputs import num_auxiliary


def targets_of_outputs(model: tf_keras.Model, y: Any) -> Any:
    """The labels of every output: auxiliary logits share those of the logits."""
    if num_auxiliary(model.output_names) and y is not None and not tf.nest.is_nested(y):
        return [y] * len(model.outputs)
    return y


def judged_outputs(model: tf_keras.Model, y: Any, y_pred: Any) -> Any:
    """Outputs in float32, and logits of one pixel without it, where the labels are of images.

    Keras' metrics would compare each image with the labels of all others, and say nothing.

    Raises:
        TrainingDataError: If logits are of pixels and the labels of images, in a model whose network nobody knows.
    """
    outputs = [wide(output) for output in tf.nest.flatten(y_pred)]
    labels = [y.get(name) for name in model.output_names] if isinstance(y, Mapping) else tf.nest.flatten(y)
    # Outputs by name are flattened in another order.
    if not isinstance(y_pred, Mapping) and len(labels) == len(outputs):
        outputs = [_of_images(model, *pair) for pair in zip(outputs, labels, strict=True)]
    return tf.nest.pack_sequence_as(y_pred, outputs)


def _of_images(model: tf_keras.Model, logits: tf.Tensor, labels: Any) -> tf.Tensor:
    if labels is None or (logits.shape.rank or 0) < 4 or tf.TensorShape(labels.shape).rank not in (1, 2):
        return logits
    if model.slim_network is not None and logits.shape[1:-1].num_elements() == 1:
        return tf.reshape(logits, (-1, logits.shape[-1]))
    raise TrainingDataError(
        f"The logits of {model.name} are {tuple(logits.shape)}, of pixels, and the labels {tuple(labels.shape)}, of "
        "images: Keras would compare each image with the labels of all others. Put tf_keras.layers.Flatten() (one "
        "pixel) or GlobalAveragePooling2D() between features and head; the features of num_classes=0 keep height "
        "and width, as in slim."
    )
