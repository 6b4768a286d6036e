"""Layers of our own as Keras 3 finds them when it loads a file."""

from __future__ import annotations

from typing import TypeVar

import keras

PACKAGE = "slim2keras"

_Class = TypeVar("_Class", bound=type)


def registered(layer: _Class) -> _Class:
    """Class decorator: a file names the layer ``slim2keras>NAME``."""
    found: _Class = keras.saving.register_keras_serializable(package=PACKAGE)(layer)
    return found


def is_ours(layer: keras.layers.Layer) -> bool:
    """Whether a file with this layer needs ``import slim2keras.keras3`` before it is loaded."""
    return str(keras.saving.get_registered_name(type(layer))).startswith(f"{PACKAGE}>")


def own_layers(model: keras.Model) -> list[str]:
    """Classes of the layers without which a file of the model cannot be loaded, for people: with the ops they apply."""
    found = {f"{type(layer).__name__}{getattr(layer, 'says', '')}" for layer in model.layers if is_ours(layer)}
    return sorted(found)
