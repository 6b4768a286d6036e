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
