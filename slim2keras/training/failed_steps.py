"""Why a training step cannot be taken: found in the step, told in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.kernels import explicit_modes
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.checkpoints.loading import all_finite
from slim2keras.errors import NonFiniteLossError, Slim2KerasError, TrainingDataError
from slim2keras.models.end_points import call_tensors
from slim2keras.models.precision import precision_of
from slim2keras.models.variables import slim_variables

if TYPE_CHECKING:
    import tensorflow as tf

LABELS, SINGLE_VALUE, LOSS, STATISTICS, GRADIENT = "labels", "single value", "loss", "statistics", "gradient"

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
        GRADIENT: f"the loss is finite, but the gradient of {where} is",
    }[kind]
    return NonFiniteLossError(
        f"Step {failed.step + 1} was not taken: {what} NaN or infinite; {_first_nonfinite(model, failed)}. Weights, "
        f"slots and moving statistics are as they were after step {failed.step}. Lower the learning rate, clip "
        f"(clip_gradient_norm), or look at the images of this batch.{_advice_on_precision(model)}"
    )


def _advice_on_precision(model: Any) -> str:
    if precision_of(model) != "mixed_float16":
        return ""
    return " Numbers of mixed_float16 end at 65504; mixed_bfloat16 has the range of float32."


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
        f"Step {failed.step + 1} has one value per channel in {len(failed.faults)} BatchNorm layers, the first "
        f"{where}: a batch of {batch} with 1x1 pixels there. The unbiased variance of one value is undefined and would "
        "poison the moving variance. Take larger batches (a last, smaller one is left out by drop_remainder=True), "
        "larger images, or batch_norm='batch' or 'frozen' for these layers. Nothing was changed."
    )


def _first_nonfinite(model: Any, failed: FailedStep) -> str:
    """Where NaN or infinity comes in: images, a variable, a layer, or the loss itself."""
    import tensorflow as tf
    import tf_keras

    if not all(all_finite(np.asarray(item)) for item in tf.nest.flatten(failed.images)):
        return "the images have such values already"
    broken = [name for name, variable in slim_variables(model).items() if not all_finite(np.asarray(variable))]
    if broken:
        return f"{len(broken)} variables have such values already, the first {broken[0]}"
    known = model.slim_network
    outputs = (
        {layer.name: layer.output for layer in model.layers} if known is None else call_tensors(model, known.graph)
    )
    with explicit_modes(batch_norm_layers(model), model.plan.modes):
        activations: Mapping[str, tf.Tensor] = tf_keras.Model(model.input, outputs)(failed.images, training=True)
    for name in outputs:
        if not all(all_finite(np.asarray(item)) for item in tf.nest.flatten(activations[name])):
            return f"the first layer with such an output is {name}"
    return "the output of every layer is finite, so it comes in behind them"
