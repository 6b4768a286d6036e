"""Why a training step cannot be taken: found in the step, told in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.kernels import explicit_modes
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.batch_norm.soundness import layers_of_negative_variance, statistics_of
from slim2keras.errors import NonFiniteLossError, Slim2KerasError, TrainingDataError
from slim2keras.files.reports import plural
from slim2keras.models.end_points import call_tensors
from slim2keras.models.finite import all_finite, nonfinite_variables
from slim2keras.models.precision import precision_of

if TYPE_CHECKING:
    import tensorflow as tf

LABELS, SINGLE_VALUE, LOSS, STATISTICS = "labels", "single value", "loss", "statistics"
IMAGES, GRADIENT = "images", "gradient"

Suspect = tuple[str, str]
"""What may be at fault, and where: ``(SINGLE_VALUE, layer)``, ``(GRADIENT, variable)``."""


@dataclass(frozen=True)
class FailedStep:
    """A step that was stopped before it changed anything.

    Attributes:
        faults: What is at fault, and where.
        step: Steps done before it.
        images: Inputs of the batch, as the network takes them.
        labels: Targets of the batch, one array an output.
    """

    faults: Sequence[Suspect]
    step: int
    images: Any
    labels: Sequence[Any]


def explain(model: Any, failed: FailedStep) -> Slim2KerasError:
    """The error for a failed step of a fine-tuned model."""
    kind, where = failed.faults[0]
    if kind == LABELS:
        return _explain_labels(failed, model.outputs[0].shape[-1])
    if kind == SINGLE_VALUE:
        return _explain_single_value(failed, where)
    what = {
        LOSS: "the loss is",
        STATISTICS: f"the loss is finite, but the batch statistics of {where} are",
        IMAGES: "the loss is finite, but images of the batch are",
        GRADIENT: f"the loss is finite, but the gradient of {where} is",
    }[kind]
    return NonFiniteLossError(
        f"Step {failed.step + 1} was not taken: {what} NaN or infinite; {_cause(model, failed)}. Weights, slots and "
        f"moving statistics are as they were after step {failed.step}. {_advice(model)}"
    )


def _advice(model: Any) -> str:
    if nonfinite_variables(model, besides=statistics_of(batch_norm_layers(model))):
        return "No step makes them finite: start from an earlier checkpoint."
    if _nonfinite_used(model) or _frozen_negative(model):
        return "Recalibrate the statistics first: `slim2keras recalibrate`, or slim2keras.recalibrate."
    advice = "Lower the learning rate, clip (clip_gradient_norm), or look at the images of this batch."
    if precision_of(model) != "mixed_float16":
        return advice
    return f"{advice} Numbers of mixed_float16 end at 65504; mixed_bfloat16 has the range of float32."


def _nonfinite_used(model: Any) -> list[str]:
    """Variables that a step computes with: moving statistics of frozen layers alone."""
    moving = [layer for layer in batch_norm_layers(model) if model.plan.modes[layer.name] is not BatchNormMode.FROZEN]
    return nonfinite_variables(model, besides=statistics_of(moving))


def _frozen_negative(model: Any) -> list[str]:
    """Layers that normalise with a variance that has no root."""
    return [name for name in layers_of_negative_variance(model) if model.plan.modes[name] is BatchNormMode.FROZEN]


def _explain_labels(failed: FailedStep, classes: int) -> TrainingDataError:
    labels = np.asarray(failed.labels[0])
    return TrainingDataError(
        f"Step {failed.step + 1} has labels from {labels.min()} to {labels.max()}, but the network has {classes} "
        f"classes, 0 to {classes - 1}. Build or convert with the number of classes of the data, num_classes=..., or "
        "number the labels from 0. Nothing was changed."
    )


def _explain_single_value(failed: FailedStep, where: str) -> TrainingDataError:
    batch = len(failed.labels[0]) if failed.labels else 1
    return TrainingDataError(
        f"Step {failed.step + 1} has one value per channel in {plural(len(failed.faults), 'BatchNorm layer')}, the "
        f"first {where}: a batch of {batch} with 1x1 pixels there. The unbiased variance of one value is undefined; "
        "TensorFlow takes 0 for it, and the moving variance would shrink with each such step. Take larger batches (a "
        "last, smaller one is left out by drop_remainder=True), larger images, or batch_norm='batch' or 'frozen' for "
        "these layers. Nothing was changed."
    )


def _cause(model: Any, failed: FailedStep) -> str:
    """Where NaN or infinity comes in: images, a variable, a layer, or the loss itself."""
    import tensorflow as tf

    if not all(all_finite(np.asarray(item)) for item in tf.nest.flatten(failed.images)):
        return "the images have such values already"
    if broken := _nonfinite_used(model):
        return f"such values are in {plural(len(broken), 'variable')} already, the first {broken[0]}"
    if negative := _frozen_negative(model):
        return f"a variance is negative in {plural(len(negative), 'frozen BatchNorm layer')}, the first {negative[0]}"
    if (first := _first_nonfinite_layer(model, failed.images)) is not None:
        return f"the first layer with such an output is {first}"
    if failed.faults[0][0] == STATISTICS:
        return "what the layer gets is finite, but its squares are beyond float32"
    return "the output of every layer is finite, so it comes in behind them"


def _first_nonfinite_layer(model: Any, images: Any) -> str | None:
    import tensorflow as tf
    import tf_keras

    known = model.slim_network
    outputs = (
        {layer.name: layer.output for layer in model.layers} if known is None else call_tensors(model, known.graph)
    )
    with explicit_modes(batch_norm_layers(model), model.plan.modes):
        activations: Mapping[str, tf.Tensor] = tf_keras.Model(model.input, outputs)(images, training=True)
    for name in outputs:
        if not all(all_finite(np.asarray(item)) for item in tf.nest.flatten(activations[name])):
            return name
    return None
