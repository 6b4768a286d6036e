"""The model that trains as slim does: ``slim.learning.create_train_op`` behind Keras' ``fit``.

Sources: tf_slim/training/training.py, ``create_train_op``; research/slim/train_image_classifier.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.batch_norm.kernels import BatchStatistics, averaged_over_replicas, explicit_modes, move_statistics
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, check_layer
from slim2keras.batch_norm.outlook import MovingDecay
from slim2keras.drop_path import scheduled_drop_path
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import check_tf_keras, find_network, keep_network, with_its_decay
from slim2keras.models.variables import restore_stored_variables, slim_variables, stored_variables_config
from slim2keras.nets.spec import network_from_config
from slim2keras.scopes import ema_name
from slim2keras.training.accumulation import Backward, BackwardPass, accumulated
from slim2keras.training.dropouts import dropout_layers, seeded_dropout
from slim2keras.training.first_images import FirstImages, ImagesReport
from slim2keras.training.gradients import scales_loss, transformed_gradients
from slim2keras.training.judged_outputs import judged_outputs, targets_of_outputs
from slim2keras.training.outlook import MovingStatisticsReport
from slim2keras.training.outputs import check_takes_logits, num_auxiliary
from slim2keras.training.plan import FineTuningOptions, learnable_variables, plan_fine_tuning
from slim2keras.training.shadows import add_shadows, move_shadows
from slim2keras.training.state import OptimizerState, apply_optimizer_state, resume
from slim2keras.training.statistics_record import StatisticsRecord
from slim2keras.training.step_guard import (
    StepGuard,
    gradient_faults,
    image_faults,
    label_faults,
    loss_faults,
    single_value_faults,
)


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class FineTunedModel(MovingDecay, tf_keras.Model):  # type: ignore[misc]
    """A functional model with slim's training step; ``finetune`` makes it.

    ``tf_keras.Model(tuned.input, tuned.output)`` is the plain model of the same variables.

    Attributes:
        options: As given to ``finetune``.
        plan: What follows from the options.
        statistics_record: What training did to the moving statistics.
        first_images: What is seen of the first batch of a ``fit``.
        optimizer_state: Slots and step of the checkpoint that is resumed, until ``compile`` takes them.
    """

    def __init__(self, model: tf_keras.Model, options: FineTuningOptions) -> None:
        check_tf_keras(model, "For one of Keras 3 there is slim2keras.keras3.finetune.")
        if not getattr(model, "inputs", None):
            raise UnsupportedArgumentError(
                f"finetune wants a functional model, whose layers it can see. Received: {type(model).__name__}. Make "
                "one with tf_keras.Model(inputs, outputs)."
            )
        network = find_network(model)
        refuse_folded(network, "trained")
        super().__init__(inputs=model.input, outputs=model.output, name=model.name)
        self.slim_network = network
        self.options = options
        self.plan = plan_fine_tuning(model, options)
        self._shadows: list[Any] = []
        self.optimizer_state: OptimizerState | None = None
        self._guard = StepGuard(self)
        self.first_images = FirstImages()
        self.statistics_record = StatisticsRecord(self)
        if options.ema_decay is not None:
            self._shadows = add_shadows(self)
        if options.dropout_seed is not None:
            dropout_layers(self)
        if isinstance(options.decay, (int, float)):
            self.set_decay(float(options.decay))

    @property
    def trainable_weights(self) -> list[Any]:
        """Variables that learn: those chosen, as far as ``trainable`` flags let them."""
        plan = getattr(self, "plan", None)
        if plan is None:
            return super().trainable_weights  # type: ignore[no-any-return]
        return [variable for name, variable in learnable_variables(self).items() if name in plan.chosen]

    @property
    def non_trainable_weights(self) -> list[Any]:
        """All other variables, the shadows among them."""
        learning = {id(variable) for variable in self.trainable_weights}
        return [variable for variable in self.weights if id(variable) not in learning]

    @property
    def shadows(self) -> dict[str, Any]:
        """Name of each ExponentialMovingAverage shadow in slim, and its variable."""
        return dict(zip(map(ema_name, slim_variables(self)), self._shadows, strict=True)) if self._shadows else {}

    def get_config(self) -> dict[str, Any]:
        """The plain model, its network, the options, and what became of a decay ``"auto"``."""
        plain = tf_keras.Model(self.input, self.output, name=self.name)
        settled = None if self.settled_decay is None else asdict(self.settled_decay)
        return {
            "network": plain.get_config(),
            "slim_network": None if self.slim_network is None else self.slim_network.to_config(),
            "options": asdict(self.options),
            "settled_decay": settled,
            "statistics_record": self.statistics_record.to_config(),
            "stored_variables": stored_variables_config(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FineTunedModel:
        """Make the model again, its weights not yet loaded."""
        plain = tf_keras.Model.from_config(config["network"], custom_objects)
        restore_stored_variables(plain, config.get("stored_variables", {}))
        if config.get("slim_network") is not None:
            keep_network(plain, network_from_config(config["slim_network"]))
        model = cls(plain, FineTuningOptions(**config["options"]))
        if "statistics_record" in config:
            model.statistics_record.restore(config["statistics_record"])
        model.take_settled(config.get("settled_decay"))
        return model

    def moving_layers(self) -> list[tf_keras.layers.Layer]:
        """BatchNorm layers in mode ``"update"``."""
        return [layer for layer in batch_norm_layers(self) if self.plan.modes[layer.name] is BatchNormMode.UPDATE]

    def moves_in_step(self) -> int:
        """Once a micro-batch."""
        return int(self.options.accumulate)

    def set_decay(self, decay: float) -> None:
        """Give every layer in mode ``"update"`` a decay, and tell the network and the record of the statistics."""
        # Before: it counts the steps so far with the decay that the layers had.
        self.statistics_record.go_on()
        super().set_decay(decay)
        if self.slim_network is not None:
            self.slim_network = with_its_decay(self, self.slim_network)

    def resume(self, checkpoint: str | Path) -> None:
        """Take weights, moving statistics and shadows of a slim training checkpoint now, the rest in ``compile``."""
        self.optimizer_state = resume(self, checkpoint)
        self.statistics_record.resume(self.optimizer_state.record)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        **options: Any,
    ) -> None:
        """As Keras' ``compile``; auxiliary logits share the loss of the logits, at ``aux_weight``.

        Raises:
            UnsupportedArgumentError: If the loss takes probabilities, and the network gives logits.
            CheckpointMismatchError: If the optimizer does not fit the checkpoint that is resumed.
        """
        if self.slim_network is not None and self.slim_network.gives_logits:
            check_takes_logits(tf.nest.flatten(loss))
        auxiliary = num_auxiliary(self.output_names)
        if loss_weights is None and auxiliary and not tf.nest.is_nested(loss):
            loss_weights = [1.0, *[self.options.aux_weight] * auxiliary]
        self.statistics_record.go_on()
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, loss_weights=loss_weights, **options)
        if isinstance(self.optimizer, tf_keras.optimizers.Optimizer):
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        if self.optimizer_state is not None:
            apply_optimizer_state(self, self.optimizer_state)
            self.optimizer_state = None
        self.statistics_record.start_optimizer()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was."""
        self.compile(**tf_keras.saving.deserialize_keras_object(config))

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
            NonFiniteLossError: If images, a loss or a gradient are NaN or infinite; weights and statistics are not
                touched.
            TrainingDataError: If labels are no classes of the network, or not of its outputs' rank, or a BatchNorm
                layer gets one value a channel.

        Warns:
            MovingStatisticsWarning: If more than 10 % of the old moving statistics will be left.
            PreprocessingWarning: If the first images can hardly be preprocessed as one of slim's networks wants
                them; not under XLA.
        """
        reports = [MovingStatisticsReport(options.get("initial_epoch", 0)), ImagesReport()]
        if isinstance(callbacks, tf_keras.callbacks.CallbackList):
            for report in reports:
                callbacks.append(report)
        else:
            callbacks = [*reports, *(callbacks or [])]
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **options)

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        """As Keras', and a failed step is told in words."""
        if getattr(self, "train_function", None) is None or force:
            self.train_function = self._guard.explaining(super().make_train_function(force))
        return self.train_function

    def make_test_function(self, force: bool = False) -> Callable[[Any], Any]:
        """As Keras', and a failed step is told in words."""
        if getattr(self, "test_function", None) is None or force:
            self.test_function = self._guard.explaining(super().make_test_function(force))
        return self.test_function

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step, in the order of ``slim.learning.create_train_op``."""
        x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        y = targets_of_outputs(self, y)
        self._look_at(x)
        self._check_flags()
        found = self._backward(x, y, sample_weight, 0)
        gradients = transformed_gradients(self, found.gradients, self.trainable_variables)
        faults = {**loss_faults(found.loss, found.batches), **image_faults(x)}
        if not scales_loss(self):
            faults |= gradient_faults(gradients)
        with self._guard.unless(faults, x, y):
            self._apply(gradients)
            for batch in averaged_over_replicas(found.batches):
                move_statistics(batch.layer, batch.mean, batch.variance)
            if self.options.ema_decay is not None:
                move_shadows(self, self._shadows, self.options.ema_decay)
        return self.compute_metrics(x, y, found.outputs, sample_weight)  # type: ignore[no-any-return]

    @property
    def _backward(self) -> BackwardPass:
        """Forward and backward pass of a batch, in micro-batches if gradients are accumulated."""
        count = self.options.accumulate
        return self._backward_at_once if count == 1 else accumulated(self._backward_at_once, count)

    def _backward_at_once(self, x: Any, y: Any, sample_weight: Any, micro_batch: Any) -> Backward:
        variables = self.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            y_pred, batches = self._run(x, y, micro_batch)
            total_loss = self.compute_loss(x, y, y_pred, sample_weight)
            scaled_loss = self._scaled(total_loss)
        return Backward(y_pred, batches, total_loss, tape.gradient(scaled_loss, variables))

    def _run(self, x: Any, y: Any, micro_batch: Any) -> tuple[Any, list[BatchStatistics]]:
        """Outputs in training mode, and what the layers in mode ``"update"`` saw; not of a batch that cannot be."""
        step = self.optimizer.iterations
        with (
            explicit_modes(batch_norm_layers(self), self.plan.modes) as batches,
            scheduled_drop_path(self, step),
            seeded_dropout(self, self.options.dropout_seed, step, micro_batch),
        ):
            y_pred = self(x, training=True)
        with self._guard.unless({**label_faults(self, y), **single_value_faults(batches)}, x, y):
            return tf.nest.map_structure(tf.identity, y_pred), batches

    def _scaled(self, loss: tf.Tensor) -> tf.Tensor:
        return self.optimizer.get_scaled_loss(loss) if scales_loss(self) else loss

    def _apply(self, gradients: Mapping[str, tf.Tensor]) -> None:
        """Have the optimizer take the step, which counts it too."""
        variables = slim_variables(self)
        pairs = [(gradient, variables[name]) for name, gradient in gradients.items()]
        self.optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)

    def test_step(self, data: Any) -> dict[str, Any]:
        """As Keras'; auxiliary logits share the labels."""
        x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        with self._guard.unless(label_faults(self, y), x, y):
            x = tf.nest.map_structure(tf.identity, x)
        return super().test_step((x, targets_of_outputs(self, y), sample_weight))  # type: ignore[no-any-return]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        """As Keras', of outputs as they are judged, see ``judged_outputs``."""
        return super().compute_loss(x, y, judged_outputs(self, y, y_pred), sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
        """As Keras', of outputs as they are judged, see ``judged_outputs``."""
        return super().compute_metrics(x, y, judged_outputs(self, y, y_pred), sample_weight)

    def _look_at(self, x: Any) -> None:
        """Have the first batch of a ``fit`` looked at; the others cost nothing. XLA compiles no Python."""
        if self.slim_network is None or self.jit_compile:
            return
        images = tf.nest.flatten(x)[0]
        look = functools.partial(self.first_images.look, self.slim_network)
        if not tf.executing_eagerly():
            otherwise = functools.partial(tf.constant, value=False)
            tf.cond(self.first_images.is_wanted, lambda: tf.py_function(look, [images], tf.bool), otherwise)
        elif self.first_images.is_wanted:
            look(images)

    def _check_flags(self) -> None:
        """Refuse what may have changed since ``finetune``, and what is not settled."""
        for layer in batch_norm_layers(self):
            check_layer(layer, self.plan.modes[layer.name])
        self.check_settled()
        if not self.trainable_variables:
            raise UnsupportedArgumentError(
                f"Nothing learns: trainable was set to False on every layer of {self.name} that was to learn."
            )
