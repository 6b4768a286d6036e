"""Fine-tuning in Keras 3 with slim's BatchNorm, by plain ``compile`` and ``fit``, on every backend."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from slim2keras.batch_norm.modes import ModeArgument
from slim2keras.keras3.copying import copy_model, slim_layer
from slim2keras.keras3.model import FineTunedModel
from slim2keras.models.folding import refuse_folded
from slim2keras.training.plan import LearningOptions


def finetune(
    model: keras.Model,
    *,
    batch_norm: ModeArgument | None = None,
    decay: float | str | None = None,
    train_only: Sequence[str] | None = None,
    exclude_from_training: Sequence[str] | None = None,
    aux_weight: float = 0.4,
) -> FineTunedModel:
    """Make a copy of a Keras 3 model in which every BatchNorm layer is in a mode of slim's: ``compile`` and ``fit`` it.

    Keras' own BatchNorm layers become slim's: they have no mode ``"batch"``, none that uses the moving statistics while
    gamma and beta learn, and they take the biased variance. ``plain_model`` makes Keras' own of them again.

    Patterns are regular expressions of slim scopes, whole parts between slashes.

    Args:
        model: Model of ``to_keras3``, or any functional model of Keras 3, such as one with a head of your own on top.
        batch_norm: Has to be said. ``"update"`` normalises with the batch and moves the moving statistics, slim's
            training with update ops; ``"batch"`` normalises with the batch and leaves them, slim without update ops;
            ``"frozen"`` normalises with them. One for all layers, or a pattern to mode dict in which the first match
            wins: ``{"resnet_v1_50/block[1-3]": "frozen", ".*": "update"}``.
        decay: Fraction of the moving statistics that a step keeps in the layers in mode ``"update"``; theirs if left
            out. ``"auto"`` picks one when ``fit`` knows the number of steps, an average over their last tenth, and says
            which.
        train_only: Scopes that learn, slim's ``trainable_scopes``; all by default. gamma and beta are variables like
            others here.
        exclude_from_training: Scopes that do not learn.
        aux_weight: Weight of the loss of auxiliary logits, unless ``compile`` gets ``loss_weights``.

    Returns:
        The copy; modes, choice and decay are saved with it.

    Raises:
        UnsupportedArgumentError: If ``batch_norm`` is left out, an argument has no meaning, a pattern matches nothing,
            a ``trainable`` flag of a layer contradicts its mode, or BatchNorm is folded.

    Examples:
        >>> model = slim2keras.to_keras3(slim2keras.convert("train_dir/"))
        >>> tuned = slim2keras.keras3.finetune(model, batch_norm="update", train_only=["resnet_v1_50/logits"])
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> tuned.compile(slim2keras.keras3.Momentum(0.01, 0.9), loss)
        >>> history = tuned.fit(images, labels, epochs=1, verbose=0)
    """
    refuse_folded(getattr(model, "slim_network", None), "trained")
    options = LearningOptions(batch_norm, decay, train_only, exclude_from_training, aux_weight)
    return FineTunedModel(copy_model(model, slim_layer), options)
