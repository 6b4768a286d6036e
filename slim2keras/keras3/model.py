"""The Keras 3 model that says what its BatchNorm layers do, and otherwise trains as Keras does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import keras

from slim2keras.batch_norm.modes import BatchNormMode, check_flag, match_modes
from slim2keras.batch_norm.outlook import MovingDecay, OutlookReport
from slim2keras.keras3.batch_norm import BatchNormalization
from slim2keras.keras3.naming import to_slim_name
from slim2keras.keras3.registration import registered
from slim2keras.models.functional import deep_recursion
from slim2keras.models.variables import all_layers, restore_stored_variables, stored_variables_config
from slim2keras.nets.spec import network_from_config
from slim2keras.training.outputs import check_takes_logits, num_auxiliary
from slim2keras.training.plan import LearningOptions, learnable_variables


class MovingStatisticsReport(OutlookReport, keras.callbacks.Callback):  # type: ignore[misc]
    """Says at the start of ``fit`` what the decay means for the steps planned; ``finetune`` adds it."""


@registered
class FineTunedModel(MovingDecay, keras.Model):  # type: ignore[misc]
    """A functional model of slim's BatchNorm layers, each in its mode; ``finetune`` makes it.

    Args:
        model: Whose layers it has, BatchNorm slim's.
        options: As given to ``finetune``.

    Attributes:
        slim_network: The network that it is, ``None`` if it is somebody's own.
    """

    def __init__(self, model: keras.Model, options: LearningOptions) -> None:
        with deep_recursion():
            super().__init__(inputs=model.input, outputs=model.output, name=model.name)
        self.slim_network = getattr(model, "slim_network", None)
        self.options = options
        self._apply_modes()
        self._apply_choice()
        if isinstance(options.decay, (int, float)):
            self.set_decay(float(options.decay))

    def _apply_modes(self) -> None:
        layers = {to_slim_name(layer.name): layer for layer in batch_norm_layers(self)}
        modes = match_modes([*layers], self.options.batch_norm)
        for name, layer in layers.items():
            check_flag(layer, modes[name])
            layer.mode = modes[name].value

    def _apply_choice(self) -> None:
        learnable = {to_slim_name(name): variable for name, variable in learnable_variables(self).items()}
        chosen = self.options.choose(learnable, self.name)
        for name, variable in learnable.items():
            variable.trainable = name in chosen

    def moving_layers(self) -> list[BatchNormalization]:
        """BatchNorm layers in mode ``"update"``."""
        return [layer for layer in batch_norm_layers(self) if layer.mode == BatchNormMode.UPDATE.value]

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        **options: Any,
    ) -> None:
        """As Keras' ``compile``; auxiliary logits share the loss of the logits, at ``aux_weight``, and no metrics.

        Raises:
            UnsupportedArgumentError: If the loss takes probabilities, and the network gives logits.
        """
        if self.slim_network is not None and self.slim_network.gives_logits:
            check_takes_logits(keras.tree.flatten(loss))
        auxiliary = self._num_auxiliary
        if auxiliary and loss is not None and not keras.tree.is_nested(loss):
            loss_weights = loss_weights or [1.0, *[self.options.aux_weight] * auxiliary]
            loss = [loss] * (1 + auxiliary)
            metrics = metrics and [metrics, *[[]] * auxiliary]
        super().compile(optimizer=optimizer, loss=loss, loss_weights=loss_weights, metrics=metrics, **options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was, with the slots of its optimizer."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        **options: Any,
    ) -> Any:
        """As Keras' ``fit``; says what the decay of BatchNorm means for the number of steps.

        Raises:
            UnsupportedArgumentError: If the decay is ``"auto"``, and the data do not tell the number of steps.

        Warns:
            MovingStatisticsWarning: If more than 10 % of the old moving statistics will be left.
        """
        report = MovingStatisticsReport(options.get("initial_epoch", 0))
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(report)
        else:
            callbacks = [report, *(callbacks if isinstance(callbacks, (list, tuple)) else filter(None, [callbacks]))]
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **options)

    def train_on_batch(self, *args: Any, **options: Any) -> Any:
        """As Keras'; a decay ``"auto"`` is settled by ``fit`` alone."""
        self.check_settled()
        return super().train_on_batch(*args, **options)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **options: Any) -> Any:
        """As Keras'; auxiliary logits share the labels."""
        return super().compute_loss(x, self._targets(y), y_pred, *args, **options)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """As Keras'; auxiliary logits share the labels."""
        return super().compute_metrics(x, self._targets(y), y_pred, sample_weight)

    @property
    def _num_auxiliary(self) -> int:
        return num_auxiliary([to_slim_name(name) for name in self.output_names])

    def _targets(self, y: Any) -> Any:
        return y if y is None or keras.tree.is_nested(y) or not self._num_auxiliary else [y] * len(self.outputs)

    def get_config(self) -> dict[str, Any]:
        """The functional model, its network, the options, and what became of a decay ``"auto"``."""
        with deep_recursion():
            functional = keras.Model(self.input, self.output, name=self.name)
        return {
            "functional": keras.saving.serialize_keras_object(functional),
            "slim_network": None if self.slim_network is None else self.slim_network.to_config(),
            "options": asdict(self.options),
            "settled_decay": None if self.settled_decay is None else asdict(self.settled_decay),
            "stored_variables": stored_variables_config(self),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> FineTunedModel:
        """Make the model again, its weights not yet loaded."""
        with deep_recursion():
            functional = keras.saving.deserialize_keras_object(config["functional"], custom_objects)
        restore_stored_variables(functional, config["stored_variables"])
        if config["slim_network"] is not None:
            functional.slim_network = network_from_config(config["slim_network"])
        model = cls(functional, LearningOptions(**config["options"]))
        model.take_settled(config["settled_decay"])
        return model


def batch_norm_layers(model: keras.Model) -> list[BatchNormalization]:
    """Slim's BatchNorm layers of a model, in its order, those of models within it too."""
    return [layer for layer in all_layers(model) if isinstance(layer, BatchNormalization)]
