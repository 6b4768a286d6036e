"""BatchNorm of a training, watched."""

from __future__ import annotations

from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.callbacks import BatchNormMonitor
from slim2keras.trainer.datasets import evaluation_dataset
from slim2keras.trainer.images import limited
from slim2keras.trainer.preparing import Training
from slim2keras.training.model import FineTunedModel

MONITORED_IMAGES = 300
"""Of the validation images, on which batch and moving statistics are compared after each epoch."""


def monitor_of(training: Training) -> BatchNormMonitor | None:
    """Compares batch and moving statistics on a few images; none of a network without BatchNorm."""
    if not batch_norm_layers(training.model):
        return None
    seed = training.request.loop.seed
    few = limited(training.images.validation, MONITORED_IMAGES, seed)
    return BatchNormMonitor(evaluation_dataset(training, few, shuffle_seed=seed))


def old_statistics_left(model: FineTunedModel) -> float:
    """Largest part of the checkpoint's moving statistics that is left in a layer that normalises with the batch."""
    layers = model.statistics_record.read().layers.values()
    parts = [layer.old_statistics_left for layer in layers if layer.mode is not BatchNormMode.FROZEN]
    return max((1.0 if part is None else part for part in parts), default=1.0)
