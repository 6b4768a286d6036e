"""How much of the moving statistics is still what fine-tuning started from, whatever becomes of decay and optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm import BatchNormMode, batch_norm_layers, moving_statistics, share_left
from slim2keras.training_record import LayerRecord
from slim2keras.training_state import optimizer_of

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
        self._left: Mapping[str, float] = {}
        self._since = 0
        self._steps_before = 0
        self._noted: tuple[int, dict[str, tuple[NDArray[Any], NDArray[Any]]]] | None = None
        self._is_loaded = False

    def go_on(self) -> None:
        """From here with another decay; what is left so far is what it starts with."""
        step = self._step
        self._left = {name: layer.old_statistics_left for name, layer in self._layers().items()}
        self._steps_before += step - self._since
        self._since = step

    def start_optimizer(self) -> None:
        """From here with the steps of another optimizer; one that belongs to a loaded model comes with its steps."""
        if not self._is_loaded:
            self._since = self._step
        self._is_loaded = False

    def note(self) -> None:
        """The statistics are those of training now; whoever changes them after that made them his own."""
        layers = batch_norm_layers(self._model)
        self._noted = self._step, {layer.name: moving_statistics(layer) for layer in layers}

    def layers(self) -> dict[str, LayerRecord]:
        """What training did to each layer; nothing without training, or of statistics that were changed since."""
        if not self._steps_before and self._step == self._since:
            return {}
        return {name: layer for name, layer in self._layers().items() if not self._is_changed(name)}

    def _layers(self) -> dict[str, LayerRecord]:
        steps = self._step - self._since
        found = {}
        for layer in batch_norm_layers(self._model):
            mode, left = self._model.plan.modes[layer.name], self._left.get(layer.name, 1.0)
            if mode is BatchNormMode.UPDATE:
                left *= share_left(layer.momentum, steps)
            found[layer.name] = LayerRecord(mode, float(layer.momentum), left)
        return found

    @property
    def _step(self) -> int:
        return self._since if optimizer_of(self._model) is None else int(self._model.optimizer.iterations)

    def _is_changed(self, name: str) -> bool:
        """Whether somebody else set the statistics, as recalibration does, since training ended."""
        if self._noted is None or self._noted[0] != self._step:
            return False
        layer = next(layer for layer in batch_norm_layers(self._model) if layer.name == name)
        return not all(map(np.array_equal, moving_statistics(layer), self._noted[1][name]))

    def to_config(self) -> dict[str, Any]:
        """As plain values, for the config of the model."""
        left = {name: layer.old_statistics_left for name, layer in self.layers().items()}
        return {"left": left, "since": self._step, "steps_before": self._steps_before + self._step - self._since}

    def restore(self, config: Mapping[str, Any]) -> None:
        """The reverse, before the model is compiled."""
        self._left, self._since = dict(config["left"]), config["since"]
        self._steps_before = config["steps_before"]
        self._is_loaded = True
