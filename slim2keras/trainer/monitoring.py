"""BatchNorm of a training, watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slim2keras.batch_norm.decay import share_left
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.callbacks import BatchNormMonitor
from slim2keras.data.broken import broken_images_named
from slim2keras.data.images import ImageBatches
from slim2keras.trainer.datasets import evaluation_images
from slim2keras.trainer.images import limited
from slim2keras.trainer.preparing import Training
from slim2keras.training.model import FineTunedModel

_MONITORED_IMAGES = 500
"""Of the validation images, on which batch and moving statistics are compared after each epoch."""


def monitored_images(training: Training) -> ImageBatches:
    """Some of the validation images, the same whenever, in mixed order."""
    seed = training.request.loop.seed
    few = limited(training.images.validation, _MONITORED_IMAGES, seed)
    return evaluation_images(training, few, shuffle_seed=seed)


def monitor_of(training: Training, epochs: int) -> BatchNormMonitor | None:
    """Compares batch and moving statistics on a few images; none of a network without BatchNorm.

    Begun, and to be told of steps and epochs by whoever has it: a run may take more than one ``fit``.

    Args:
        training: That is watched.
        epochs: In all.
    """
    if not batch_norm_layers(training.model):
        return None
    images = monitored_images(training)
    monitor = BatchNormMonitor(images)
    monitor.set_model(training.model)
    monitor.set_params({"epochs": epochs})
    with broken_images_named(images.examples, training.network.input_shape[-1]):
        monitor.on_train_begin()
    return monitor


def old_statistics_left(model: FineTunedModel, step: int) -> float:
    """Largest part of the moving statistics that a run began with, after so many steps.

    Of the layers that normalise with the batch; 0 where there are none.
    """
    moves = step * model.options.accumulate
    parts: dict[BatchNormMode, Callable[[Any], float]] = {
        BatchNormMode.UPDATE: lambda layer: share_left(layer.momentum, moves),
        BatchNormMode.BATCH: lambda _: 1.0,
    }
    modes = {layer: model.plan.modes[layer.name] for layer in batch_norm_layers(model)}
    return max((parts[mode](layer) for layer, mode in modes.items() if mode in parts), default=0.0)
