"""How much of the moving statistics is still what training started from, whatever becomes of decay and optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.decay import share_left
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, moving_statistics
from slim2keras.checkpoints.training_record import LayerRecord, TrainingRecord

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


class StatisticsRecord:
    """Kept by a fine-tuned model, and written beside the checkpoints that it exports.

    Args:
        model: Fine-tuned model, with its plan.
    """

    def __init__(self, model: tf_keras.Model) -> None:
        self._model = model
        self._left: dict[str, float | None] = {layer.name: 1.0 for layer in batch_norm_layers(model)}
        self._since = 0
        self._steps_before = 0
        self._noted: tuple[int, dict[str, tuple[NDArray[Any], NDArray[Any]]]] | None = None
        self._is_loaded = False

    def go_on(self) -> None:
        """From here with another decay; what is left so far is what it starts with."""
        record = self.read()
        self._left = {name: layer.old_statistics_left for name, layer in record.layers.items()}
        self._steps_before, self._since = record.steps, self._step

    def start_optimizer(self) -> None:
        """From here with the steps of another optimizer; one that belongs to a loaded model comes with its steps."""
        if not self._is_loaded:
            self._since = self._step
        self._is_loaded = False

    def resume(self, before: TrainingRecord) -> None:
        """From here on with the statistics of a checkpoint; of what is not recorded nothing is known."""
        self._left = {
            name: layer.old_statistics_left if (layer := before.layers.get(name)) else None for name in self._left
        }
        self._steps_before = before.steps

    def note(self) -> None:
        """The statistics are those of training now; whoever changes them after that made them his own."""
        layers = batch_norm_layers(self._model)
        self._noted = self._step, {layer.name: moving_statistics(layer) for layer in layers}

    def read(self) -> TrainingRecord:
        """What training did up to now."""
        steps = self._step - self._since
        layers = {}
        for layer in batch_norm_layers(self._model):
            mode, left = self._model.plan.modes[layer.name], self._left[layer.name]
            if self._is_changed(layer):
                left = None
            elif left is not None and mode is BatchNormMode.UPDATE:
                left *= share_left(layer.momentum, steps * self._model.options.accumulate)
            layers[layer.name] = LayerRecord(mode, float(layer.momentum), left)
        return TrainingRecord(self._steps_before + steps, layers)

    @property
    def _step(self) -> int:
        optimizer = getattr(self._model, "optimizer", None)
        # Of several replicas each has the same; int() of such a variable fails.
        return self._since if optimizer is None else int(optimizer.iterations.numpy())

    def _is_changed(self, layer: tf_keras.layers.Layer) -> bool:
        """Whether somebody else set the statistics, as recalibration does, since training ended."""
        if self._noted is None or self._noted[0] != self._step:
            return False
        return not all(map(np.array_equal, moving_statistics(layer), self._noted[1][layer.name]))

    def to_config(self) -> dict[str, Any]:
        """As plain values, for the config of the model."""
        return {**self.read().to_json(), "since": self._step}

    def restore(self, config: Mapping[str, Any]) -> None:
        """The reverse, before the model is compiled."""
        self.resume(TrainingRecord.from_json(config))
        self._since = config["since"]
        self._is_loaded = True
