"""Fine-tuning a Keras model as slim trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tf_keras

from slim2keras.batch_norm.modes import ModeArgument
from slim2keras.training.model import FineTunedModel
from slim2keras.training.plan import FineTuningOptions


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
    accumulate: int = 1,
    dropout_seed: int | None = None,
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
        accumulate: Micro-batches that a batch is split into, one after the other; their mean gradient makes the step,
            and moving statistics move with each. A batch must be a multiple.
        dropout_seed: Makes what dropout and drop-path draw a function of this seed, the step and the layer, so that a
            run that goes on draws the same; by default they draw from Keras' own state.
        resume_from: slim training checkpoint to go on from: weights, moving statistics, optimizer slots,
            ``global_step`` and shadows.

    Returns:
        The model; its ``trainable_variables`` are those that learn.

    Raises:
        UnsupportedArgumentError: If an argument has no meaning, a pattern matches nothing, or a ``trainable`` flag of a
            layer contradicts the arguments.
        CheckpointReadError: If ``resume_from`` cannot be read.
        CheckpointMismatchError: If it lacks a variable, or (from ``compile``) the slots of the optimizer.

    Examples:
        >>> model = slim2keras.convert("train_dir/")
        >>> tuned = slim2keras.finetune(model, batch_norm="update", decay=0.8, train_only=["resnet_v1_50/logits"])
        >>> tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
        >>> history = tuned.fit(images, labels, batch_size=4, epochs=5, verbose=0)
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
        accumulate=accumulate,
        dropout_seed=dropout_seed,
    )
    tuned = FineTunedModel(model, options)
    if resume_from is not None:
        tuned.resume(resume_from)
    return tuned
