"""Faults of a training step, found within it: then it is not taken."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from slim2keras.batch_norm.kernels import BatchStatistics
from slim2keras.errors import Slim2KerasError
from slim2keras.losses import SoftmaxCrossEntropy, check_classes, is_one_hot
from slim2keras.training.failed_steps import (
    GRADIENT,
    IMAGES,
    LABELS,
    LOSS,
    SINGLE_VALUE,
    STATISTICS,
    FailedStep,
    Suspect,
    explain,
)

Faults = Mapping[Suspect, tf.Tensor]
"""What may be at fault, and whether it is."""


class StepGuard:
    """Lets the steps of a fine-tuned model happen unless there is a fault, which is told in words then."""

    def __init__(self, model: tf_keras.Model) -> None:
        self._model = model
        self._failed: FailedStep | None = None

    def unless(self, faults: Faults, x: Any, y: Any) -> AbstractContextManager[Any]:
        """Do what is within unless there is a fault; then the step fails.

        XLA compiles neither Python nor assertions: there a step is not checked.
        """
        if not faults or self._model.jit_compile:
            return nullcontext()
        batch = (x, () if y is None else y)
        values = [tf.stack([*faults.values()]), self._model.optimizer.iterations, *tf.nest.flatten(batch)]
        failed_step = functools.partial(_failed_step, [*faults], batch)
        if tf.executing_eagerly():
            if tf.reduce_any(values[0]):
                raise explain(self._model, failed_step(*values))
            return nullcontext()

        def fail(*values: Any) -> None:
            # Told in words where the step was called from: this is another thread, within TensorFlow.
            self._failed = failed_step(*values)
            raise RuntimeError("the step cannot be taken")

        passed = tf.cond(
            tf.reduce_any(values[0]), lambda: tf.py_function(fail, values, tf.bool), lambda: tf.constant(value=True)
        )
        return tf.control_dependencies([passed])  # type: ignore[no-any-return]

    def explaining(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step, with its failure told in words."""

        @functools.wraps(step)
        def run(*args: Any) -> Any:
            try:
                return step(*args)
            except Exception as error:
                failed, self._failed = self._failed, None
                if failed is not None:
                    raise explain(self._model, failed) from None
                # What is raised while a function is traced comes in TensorFlow's own wrapping.
                if not isinstance(error, Slim2KerasError) and isinstance(error.__context__, Slim2KerasError):
                    raise error.__context__ from None
                raise

        return run


def _failed_step(suspects: Sequence[Suspect], structure: Any, flags: Any, step: Any, *batch: Any) -> FailedStep:
    images, labels = tf.nest.pack_sequence_as(structure, batch)
    faults = [suspect for suspect, flag in zip(suspects, np.asarray(flags), strict=True) if flag]
    return FailedStep(faults, int(step), images, [np.asarray(item) for item in tf.nest.flatten(labels)])


def label_faults(model: tf_keras.Model, y: Any) -> Faults:
    """Whether labels that are numbers are no classes; labels with a column a class are checked by their shape."""
    by_column = tf_keras.losses.CategoricalCrossentropy
    by_number = tf_keras.losses.SparseCategoricalCrossentropy
    if y is None or not isinstance(model.loss, (by_column, by_number, SoftmaxCrossEntropy)):
        return {}
    labels, logits = tf.convert_to_tensor(tf.nest.flatten(y)[0]), model.outputs[0]
    if isinstance(model.loss, by_column) or (not isinstance(model.loss, by_number) and is_one_hot(labels, logits)):
        check_classes(labels, logits)
        return {}
    if getattr(model.loss, "ignore_class", None) is not None:
        return {}
    numbers = tf.cast(labels, tf.int64)
    return {(LABELS, ""): tf.reduce_any((numbers < 0) | (numbers >= logits.shape[-1]))}


def single_value_faults(batches: Sequence[BatchStatistics]) -> Faults:
    """Whether layers got one value a channel, which has no unbiased variance."""
    return {(SINGLE_VALUE, batch.layer.name): batch.is_single for batch in batches if batch.is_single is not None}


def loss_faults(loss: tf.Tensor, batches: Sequence[BatchStatistics]) -> Faults:
    """Whether the loss is NaN or infinite, or what the layers saw: a ReLU may pass on zero for NaN."""
    statistics: dict[Suspect, tf.Tensor] = {}
    for item in batches:
        # Of several micro-batches the sum: what is not finite stays so.
        suspect, values = (STATISTICS, item.layer.name), item.mean + item.variance
        statistics[suspect] = statistics[suspect] + values if suspect in statistics else values
    return {(LOSS, ""): _is_nonfinite(loss)} | {
        suspect: _is_nonfinite(tf.reduce_sum(values)) for suspect, values in statistics.items()
    }


def gradient_faults(gradients: Mapping[str, tf.Tensor]) -> Faults:
    """Whether gradients, by name of the variable, are NaN or infinite."""
    return {(GRADIENT, name): _is_nonfinite(tf.nn.l2_loss(item)) for name, item in gradients.items()}


def image_faults(x: Any) -> Faults:
    """Whether what the network gets is NaN or infinite: a ReLU may make zeros of it, and the loss a number."""
    floats = [item for item in map(tf.convert_to_tensor, tf.nest.flatten(x)) if item.dtype.is_floating]
    finite = [tf.reduce_all(tf.math.is_finite(item)) for item in floats]
    return {(IMAGES, ""): tf.logical_not(tf.reduce_all(finite))} if finite else {}


def _is_nonfinite(value: tf.Tensor) -> tf.Tensor:
    return tf.logical_not(tf.math.is_finite(value))
