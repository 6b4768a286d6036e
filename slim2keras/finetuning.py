"""The explicit training step: what ``slim.learning.create_train_op`` does, in that order, behind Keras' ``fit``.

Sources: tf_slim/training/training.py, ``create_train_op``; research/slim/train_image_classifier.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from slim2keras.batch_norm import (
    AUTO,
    BatchNormMode,
    BatchStatistics,
    ModeArgument,
    SettledDecay,
    batch_norm_layers,
    check_layer,
    decay_for,
    explicit_modes,
    move_statistics,
)
from slim2keras.drop_path import scheduled_drop_path
from slim2keras.errors import Slim2KerasError, TrainingDataError, UnsupportedArgumentError
from slim2keras.failed_steps import GRADIENT, LABELS, LOSS, SINGLE_VALUE, STATISTICS, FailedStep, Suspect, explain
from slim2keras.first_images import FirstImages, ImagesReport
from slim2keras.keras_model import find_network
from slim2keras.loading import slim_variables
from slim2keras.losses import SoftmaxCrossEntropy, check_classes, is_one_hot, wide
from slim2keras.nets.spec import network_from_config
from slim2keras.outlook import MovingStatisticsReport
from slim2keras.scopes import ema_name
from slim2keras.statistics_record import StatisticsRecord
from slim2keras.training_plan import FineTuningOptions, learnable_variables, plan_fine_tuning
from slim2keras.training_state import OptimizerState, apply_optimizer_state, resume

_OF_PROBABILITIES = ("categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy")


def finetune(
    model: tf_keras.Model,
    *,
    batch_norm: ModeArgument,
    decay: float | str | None = None,
    train_only: Sequence[str] | None = None,
    exclude_from_training: Sequence[str] | None = None,
    clip_gradient_norm: float = 0.0,
    gradient_multipliers: Mapping[str, float] | None = None,
    aux_weight: float = 0.4,
    ema_decay: float | None = None,
    resume_from: str | Path | None = None,
) -> FineTunedModel:
    """Make a model that trains as slim does: ``compile`` it, ``fit`` it, ``evaluate`` it.

    It shares layers and variables with the model given, so what it learns is there too, and ``model.save`` writes a
    plain model at any time. Dropout is active in training, whatever the mode of BatchNorm.

    Patterns are regular expressions of slim scopes, whole parts between slashes.

    Under ``mixed_bfloat16`` and ``mixed_float16`` outputs, losses, gradients, statistics and slots are float32; with
    the latter Keras scales the loss.

    Args:
        model: Model of ``build`` or ``convert``, or any functional model, such as one with a head of your own on top.
        batch_norm: ``"update"`` normalises with the batch and moves the moving statistics, slim's training with update
            ops; ``"batch"`` normalises with the batch and leaves them, slim without update ops; ``"frozen"`` normalises
            with them. One for all layers, or a pattern to mode dict in which the first match wins:
            ``{"resnet_v1_50/block[1-3]": "frozen", ".*": "update"}``.
        decay: Fraction of the moving statistics that a step keeps in the layers in mode ``"update"``; theirs if left
            out. ``"auto"`` picks one when ``fit`` knows the number of steps, an average over their last tenth, and says
            which; each ``fit`` picks anew, unless it goes on with a run: by its ``initial_epoch``, or because the model
            was saved in one and loaded.
        train_only: Scopes that learn, slim's ``trainable_scopes``; all by default. gamma and beta are variables like
            others here.
        exclude_from_training: Scopes that do not learn.
        clip_gradient_norm: Norm to which the gradient of each variable is clipped; 0 for no clipping.
        gradient_multipliers: Scope or variable to the factor of its gradients; the first match wins.
        aux_weight: Weight of the loss of auxiliary logits, unless ``compile`` gets ``loss_weights``.
        ema_decay: Decay of ``tf.train.ExponentialMovingAverage`` with ``num_updates=global_step``, over all variables
            of the network, moving statistics too; none by default.
        resume_from: slim training checkpoint to go on from: weights, moving statistics, optimizer slots,
            ``global_step`` and shadows.

    Returns:
        The model; its ``trainable_variables`` are those that learn.

    Raises:
        UnsupportedArgumentError: If an argument has no meaning, a pattern matches nothing, or a ``trainable`` flag of a
            layer contradicts the arguments.
        CheckpointReadError: If ``resume_from`` cannot be read.
        CheckpointMismatchError: If it lacks a variable, or (from ``compile``) the slots of the optimizer.

    Example:
        >>> tuned = finetune(model, batch_norm="update", decay=0.95, train_only=["resnet_v1_50/logits"])
        >>> tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
        >>> tuned.fit(images, labels, epochs=5)
    """
    options = FineTuningOptions(
        batch_norm=batch_norm,
        decay=decay,
        train_only=train_only,
        exclude_from_training=exclude_from_training,
        clip_gradient_norm=clip_gradient_norm,
        gradient_multipliers=gradient_multipliers or {},
        aux_weight=aux_weight,
        ema_decay=ema_decay,
    )
    tuned = FineTunedModel(model, options)
    if resume_from is not None:
        tuned.resume(resume_from)
    return tuned


@tf_keras.utils.register_keras_serializable(package="slim2keras")
class FineTunedModel(tf_keras.Model):  # type: ignore[misc]
    """A functional model with slim's training step; ``finetune`` makes it.

    ``tf_keras.Model(tuned.input, tuned.output)`` is the plain model of the same variables.

    Attributes:
        options: As given to ``finetune``.
        settled_decay: What a decay ``"auto"`` became in the last ``fit``, ``None`` before the first.
        plan: What follows from the options.
        statistics_record: What training did to the moving statistics.
        first_images: What is seen of the first batch of a ``fit``.
        optimizer_state: Slots and step of the checkpoint that is resumed, until ``compile`` takes them.
    """

    def __init__(self, model: tf_keras.Model, options: FineTuningOptions) -> None:
        if not getattr(model, "inputs", None):
            raise UnsupportedArgumentError(
                f"finetune wants a functional model, whose layers it can see. Received: {type(model).__name__}. Make "
                "one with tf_keras.Model(inputs, outputs)."
            )
        super().__init__(inputs=model.input, outputs=model.output, name=model.name)
        self.slim_network = find_network(model)
        self.options = options
        self.plan = plan_fine_tuning(model, options)
        self._shadows: Sequence[Any] = ()
        self.optimizer_state: OptimizerState | None = None
        self.settled_decay: SettledDecay | None = None
        self._is_loaded = False
        self._failed: FailedStep | None = None
        self.first_images = FirstImages()
        self.statistics_record = StatisticsRecord(self)
        if options.ema_decay is not None:
            self._shadows = [self._new_shadow(name, item) for name, item in slim_variables(self).items()]
        if isinstance(options.decay, (int, float)):
            self._set_decay(float(options.decay))

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

    @property
    def _num_auxiliary(self) -> int:
        """Outputs that are auxiliary logits, all those behind the first; outputs of another name are none."""
        others = self.output_names[1:]
        return len(others) if all(name.rpartition("/")[2] == "AuxLogits" for name in others) else 0

    def _new_shadow(self, name: str, variable: Any) -> Any:
        # Of several replicas the first one's, as slim averages its first clone.
        shadow = self.add_weight(
            name=ema_name(name),
            shape=variable.shape,
            dtype=variable.dtype,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        shadow.assign(variable)
        return shadow

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
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FineTunedModel:
        """Make the model again, its weights not yet loaded."""
        plain = tf_keras.Model.from_config(config["network"], custom_objects)
        if config.get("slim_network") is not None:
            plain.slim_network = network_from_config(config["slim_network"])
        model = cls(plain, FineTuningOptions(**config["options"]))
        if "statistics_record" in config:
            model.statistics_record.restore(config["statistics_record"])
        settled = config.get("settled_decay")
        if settled is not None:
            model.settled_decay, model._is_loaded = SettledDecay(**settled), True
        return model

    def moving_layers(self) -> list[tf_keras.layers.Layer]:
        """BatchNorm layers in mode ``"update"``."""
        return [layer for layer in batch_norm_layers(self) if self.plan.modes[layer.name] is BatchNormMode.UPDATE]

    def settle_decay(self, steps: int, *, is_resumed: bool) -> None:
        """Turn a decay ``"auto"`` into the number for the steps planned.

        Args:
            steps: Of this ``fit``.
            is_resumed: Whether it goes on with a run, whose decay is kept then. So does the first ``fit`` of a model
                that was saved in a run and loaded.
        """
        if self.options.decay != AUTO:
            return
        before = self.settled_decay
        if before is not None and (is_resumed or self._is_loaded):
            self._is_loaded = False
            return
        slowest = max(layer.momentum for layer in self.moving_layers()) if before is None else before.slowest
        self.settled_decay = SettledDecay(decay_for(steps, slowest), steps, slowest)
        self._set_decay(self.settled_decay.decay)
        if before is not None and before.decay != self.settled_decay.decay:
            # The step was traced with the decay as a constant.
            self.make_train_function(force=True)

    def _set_decay(self, decay: float) -> None:
        layers = self.moving_layers()
        if not layers:
            raise UnsupportedArgumentError(
                f"decay={decay} concerns BatchNorm layers in mode 'update', and there are none. Leave it out."
            )
        self.statistics_record.go_on()
        for layer in layers:
            layer.momentum = decay

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
            _check_takes_logits(loss)
        if loss_weights is None and self._num_auxiliary and not tf.nest.is_nested(loss):
            loss_weights = [1.0, *[self.options.aux_weight] * self._num_auxiliary]
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
            NonFiniteLossError: If a loss or gradient is NaN or infinite; weights and statistics are not touched.
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
            self.train_function = self._explaining(super().make_train_function(force))
        return self.train_function

    def make_test_function(self, force: bool = False) -> Callable[[Any], Any]:
        """As Keras', and a failed step is told in words."""
        if getattr(self, "test_function", None) is None or force:
            self.test_function = self._explaining(super().make_test_function(force))
        return self.test_function

    def _explaining(self, step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def run(*args: Any) -> Any:
            try:
                return step(*args)
            except Exception as error:
                failed, self._failed = self._failed, None
                if failed is not None:
                    raise explain(self, failed) from None
                # What is raised while a function is traced comes in TensorFlow's own wrapping.
                if not isinstance(error, Slim2KerasError) and isinstance(error.__context__, Slim2KerasError):
                    raise error.__context__ from None
                raise

        return run

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step, in the order of ``slim.learning.create_train_op``.

        Total loss with regularization, gradients of the chosen variables, multipliers, clipping, check for NaN,
        optimizer, moving statistics, step counter, shadows.
        """
        x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        y = self._targets_of_outputs(y)
        self._look_at(x)
        variables = self.trainable_variables
        self._check_flags()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            with (
                explicit_modes(batch_norm_layers(self), self.plan.modes) as batches,
                scheduled_drop_path(self, self.optimizer.iterations),
            ):
                y_pred = self(x, training=True)
            with self._unless({**self._label_faults(y), **_single_value_faults(batches)}, x, y):
                y_pred = tf.nest.map_structure(tf.identity, y_pred)
            loss = self.compute_loss(x, y, y_pred, sample_weight)
            scaled = self.optimizer.get_scaled_loss(loss) if self._scales_loss else loss
        gradients = self._transformed(tape.gradient(scaled, variables), variables)
        # A ReLU may pass on zero for NaN: then the loss is finite, and the moving statistics would not be.
        faults = {(LOSS, ""): _is_nonfinite(loss), **_nonfinite_statistics(batches)}
        if not self._scales_loss:
            faults |= {(GRADIENT, name): _is_nonfinite(tf.nn.l2_loss(item)) for name, item in gradients.items()}
        by_name = slim_variables(self)
        with self._unless(faults, x, y):
            self.optimizer.apply_gradients(
                [(gradient, by_name[name]) for name, gradient in gradients.items()], skip_gradients_aggregation=True
            )
            for batch in batches:
                move_statistics(batch.layer, batch.mean, batch.variance)
            self._move_shadows()
        return self.compute_metrics(x, y, y_pred, sample_weight)  # type: ignore[no-any-return]

    def test_step(self, data: Any) -> dict[str, Any]:
        """As Keras'; auxiliary logits share the labels."""
        x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        with self._unless(self._label_faults(y), x, y):
            x = tf.nest.map_structure(tf.identity, x)
        return super().test_step((x, self._targets_of_outputs(y), sample_weight))  # type: ignore[no-any-return]

    def _targets_of_outputs(self, y: Any) -> Any:
        if self._num_auxiliary and y is not None and not tf.nest.is_nested(y):
            return [y] * len(self.outputs)
        return y

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        """As Keras', of outputs as they are judged, see ``_judged``."""
        return super().compute_loss(x, y, self._judged(y, y_pred), sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
        """As Keras', of outputs as they are judged, see ``_judged``."""
        return super().compute_metrics(x, y, self._judged(y, y_pred), sample_weight)

    def _judged(self, y: Any, y_pred: Any) -> Any:
        """Outputs in float32, and logits of one pixel without it, where the labels are of images.

        Keras' metrics would compare each image with the labels of all others, and say nothing.

        Raises:
            TrainingDataError: If logits are of pixels and the labels of images, in a network that is not slim's.
        """
        outputs = [wide(output) for output in tf.nest.flatten(y_pred)]
        labels = [y.get(name) for name in self.output_names] if isinstance(y, Mapping) else tf.nest.flatten(y)
        # Outputs by name are flattened in another order.
        if not isinstance(y_pred, Mapping) and len(labels) == len(outputs):
            outputs = [self._of_images(*pair) for pair in zip(outputs, labels, strict=True)]
        return tf.nest.pack_sequence_as(y_pred, outputs)

    def _of_images(self, logits: tf.Tensor, labels: Any) -> tf.Tensor:
        if labels is None or (logits.shape.rank or 0) < 4 or tf.TensorShape(labels.shape).rank not in (1, 2):
            return logits
        if self.slim_network is not None and logits.shape[1:-1].num_elements() == 1:
            return tf.reshape(logits, (-1, logits.shape[-1]))
        raise TrainingDataError(
            f"The logits of {self.name} are {tuple(logits.shape)}, of pixels, and the labels {tuple(labels.shape)}, of "
            "images: Keras would compare each image with the labels of all others. Put tf_keras.layers.Flatten() (one "
            "pixel) or GlobalAveragePooling2D() between features and head; the features of num_classes=0 keep height "
            "and width, as in slim."
        )

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
        if self.options.decay == AUTO and self.settled_decay is None:
            raise UnsupportedArgumentError(
                'decay="auto" depends on the number of steps, which only fit knows. Finetune with a number, or use fit.'
            )
        if not self.trainable_variables:
            raise UnsupportedArgumentError(
                f"Nothing learns: trainable was set to False on every layer of {self.name} that was to learn."
            )

    @property
    def _scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, so that gradients in half precision do not vanish."""
        return hasattr(self.optimizer, "get_scaled_loss")

    def _transformed(self, gradients: Sequence[Any], variables: Sequence[Any]) -> dict[str, tf.Tensor]:
        """Gradients as the optimizer is to have them: unscaled, of all replicas, multiplied, clipped one by one.

        Returns:
            By name of the variable; those that the loss does not depend on are left out.
        """
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        names = {id(variable): name for name, variable in slim_variables(self).items()}
        found = {names[id(v)]: item for v, item in zip(variables, gradients, strict=True) if item is not None}
        without = [name for name in self.plan.multipliers if name not in found]
        if without or not found:
            raise UnsupportedArgumentError(f"No gradient reaches {', '.join(without) or 'any variable that learns'}.")
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Clipping the sum is what one device would do with the whole batch.
            found = context.all_reduce(tf.distribute.ReduceOp.SUM, found)
        multipliers, norm = self.plan.multipliers, self.options.clip_gradient_norm
        found = {name: item * multipliers[name] if name in multipliers else item for name, item in found.items()}
        return {name: tf.clip_by_norm(item, norm) for name, item in found.items()} if norm else found

    def _move_shadows(self) -> None:
        """Move the averages, slower at first.

        Source: tensorflow/python/training/moving_averages.py, ``ExponentialMovingAverage.apply`` with ``num_updates``.
        """
        if not self._shadows:
            return
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(tf.constant(self.options.ema_decay, tf.float32), (1.0 + step) / (10.0 + step))
        for variable, shadow in zip(slim_variables(self).values(), self._shadows, strict=True):
            shadow.assign_sub((shadow - variable) * (1.0 - decay))

    def _label_faults(self, y: Any) -> dict[Suspect, tf.Tensor]:
        """Whether labels that are numbers are no classes; labels with a column a class are checked by their shape."""
        by_column = tf_keras.losses.CategoricalCrossentropy
        by_number = tf_keras.losses.SparseCategoricalCrossentropy
        if y is None or not isinstance(self.loss, (by_column, by_number, SoftmaxCrossEntropy)):
            return {}
        labels, logits = tf.convert_to_tensor(tf.nest.flatten(y)[0]), self.outputs[0]
        if isinstance(self.loss, by_column) or (not isinstance(self.loss, by_number) and is_one_hot(labels, logits)):
            check_classes(labels, logits)
            return {}
        if getattr(self.loss, "ignore_class", None) is not None:
            return {}
        numbers = tf.cast(labels, tf.int64)
        return {(LABELS, ""): tf.reduce_any((numbers < 0) | (numbers >= logits.shape[-1]))}

    def _unless(self, faults: Mapping[Suspect, tf.Tensor], x: Any, y: Any) -> AbstractContextManager[Any]:
        """Do what is within unless there is a fault; then the step fails.

        XLA compiles neither Python nor assertions: there a step is not checked.
        """
        if not faults or self.jit_compile:
            return nullcontext()
        batch = (x, () if y is None else y)
        values = [tf.stack([*faults.values()]), self.optimizer.iterations, *tf.nest.flatten(batch)]
        failed_step = functools.partial(_failed_step, [*faults], batch)
        if tf.executing_eagerly():
            if tf.reduce_any(values[0]):
                raise explain(self, failed_step(*values))
            return nullcontext()

        def fail(*values: Any) -> None:
            # Told in words where the step was called from: this is another thread, within TensorFlow.
            self._failed = failed_step(*values)
            raise RuntimeError("the step cannot be taken")

        passed = tf.cond(
            tf.reduce_any(values[0]), lambda: tf.py_function(fail, values, tf.bool), lambda: tf.constant(value=True)
        )
        return tf.control_dependencies([passed])  # type: ignore[no-any-return]


def _failed_step(suspects: Sequence[Suspect], structure: Any, flags: Any, step: Any, *batch: Any) -> FailedStep:
    images, labels = tf.nest.pack_sequence_as(structure, batch)
    faults = [suspect for suspect, flag in zip(suspects, np.asarray(flags), strict=True) if flag]
    return FailedStep(faults, int(step), images, [np.asarray(item) for item in tf.nest.flatten(labels)])


def _single_value_faults(batches: Sequence[BatchStatistics]) -> dict[Suspect, tf.Tensor]:
    return {(SINGLE_VALUE, batch.layer.name): batch.is_single for batch in batches if batch.is_single is not None}


def _nonfinite_statistics(batches: Sequence[BatchStatistics]) -> dict[Suspect, tf.Tensor]:
    return {(STATISTICS, b.layer.name): _is_nonfinite(tf.reduce_sum(b.mean + b.variance)) for b in batches}


def _is_nonfinite(value: tf.Tensor) -> tf.Tensor:
    return tf.logical_not(tf.math.is_finite(value))


def _check_takes_logits(loss: Any) -> None:
    """Refuse a loss of probabilities: on logits it runs, and is quietly wrong."""
    for item in tf.nest.flatten(loss):
        if isinstance(item, tf_keras.losses.Loss):
            wrong = item.get_config().get("from_logits") is False
        else:
            wrong = getattr(item, "__name__", item) in _OF_PROBABILITIES
        if wrong:
            raise UnsupportedArgumentError(
                f"The network gives logits, and the loss takes probabilities. Received: loss={item!r}. Give "
                "slim2keras.losses.SoftmaxCrossEntropy(), or a loss of Keras with from_logits=True."
            )
