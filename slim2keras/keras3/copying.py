"""Copies of Keras 3 models whose BatchNorm layers are others: slim's to train with, Keras' own to give away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.keras3.batch_norm import BatchNormalization, check_arguments
from slim2keras.models.functional import deep_recursion
from slim2keras.models.variables import all_layers, share_stored_variables

Replace = Callable[[keras.layers.BatchNormalization], keras.layers.BatchNormalization]


def plain_model(model: keras.Model) -> keras.Model:
    """A copy with Keras' own BatchNorm layers, not compiled: its file loads without slim2keras.

    It gives the same outputs. Trained further it takes the biased variance, in mode ``"update"``.

    Args:
        model: Model of ``finetune``, or any functional model with slim's BatchNorm layers.

    Examples:
        >>> model = slim2keras.to_keras3(slim2keras.load_model("run/model.keras"))
        >>> tuned = slim2keras.keras3.finetune(model, batch_norm="update")
        >>> slim2keras.keras3.plain_model(tuned).save("plain.keras")
    """
    return copy_model(model, _stock_layer)


def copy_model(model: keras.Model, replace: Replace) -> keras.Model:
    """Copy a functional model with its values, not compiled; of every BatchNorm layer make what ``replace`` gives.

    Raises:
        UnsupportedArgumentError: If the model is none whose layers can be seen.
    """
    if not getattr(model, "inputs", None) or not isinstance(model, keras.Model):
        raise UnsupportedArgumentError(
            f"A functional model of Keras 3 is wanted, whose layers can be seen. Received: {type(model).__name__} of "
            f"{type(model).__module__.partition('.')[0]}. Of a tf_keras model slim2keras.to_keras3 makes one."
        )

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.BatchNormalization):
            return replace(layer)
        return type(layer).from_config(layer.get_config())

    with deep_recursion():
        clone = keras.models.clone_model(model, clone_function=copied, recursive=True)
        # The clone is compiled as the model was, and a file of it asks for the optimizer.
        copy = keras.Model(*_ends(clone), name=model.name)
    for ours, theirs in zip(_with_weights(copy), _with_weights(model), strict=True):
        ours.set_weights(theirs.get_weights())
    share_stored_variables(model, copy)
    if hasattr(model, "slim_network"):
        copy.slim_network = model.slim_network
    return copy


def _ends(model: keras.Model) -> tuple[Any, Any]:
    """Inputs and outputs as the model takes and gives them."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def _with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    # A sequential model does not count its input among its layers.
    return [layer for layer in all_layers(model) if layer.weights]


def slim_layer(layer: keras.layers.BatchNormalization) -> BatchNormalization:
    """Slim's BatchNorm layer of Keras' own, or of one of slim's.

    Raises:
        UnsupportedArgumentError: If it is a layer of another class, or has what slim's has no numbers for.
    """
    if type(layer) not in (keras.layers.BatchNormalization, BatchNormalization):
        raise UnsupportedArgumentError(
            f"{layer.name!r} is a {type(layer).__name__}; only keras.layers.BatchNormalization and "
            "slim2keras.keras3.BatchNormalization can be given a mode."
        )
    # Keras would wrap what the constructor raises.
    check_arguments(layer.get_config())
    made: BatchNormalization = BatchNormalization.from_config(layer.get_config())
    return made


def _stock_layer(layer: keras.layers.BatchNormalization) -> keras.layers.BatchNormalization:
    config: dict[str, Any] = layer.get_config()
    config.pop("mode", None)
    return keras.layers.BatchNormalization.from_config(config)
