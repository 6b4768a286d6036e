"""Networks of slim in Keras 3, on any of its backends.

Importing this package registers what a file may need, layers and optimizers, and imports Keras 3 with the backend of
``KERAS_BACKEND``; TensorFlow is needed to make a model of a tf_keras one and for slim checkpoints, and not to load, run
or train it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slim2keras.keras3 import batch_norm as batch_norm
from slim2keras.keras3 import layers as layers
from slim2keras.keras3 import model as model
from slim2keras.keras3 import optimizers as optimizers

if TYPE_CHECKING:
    from slim2keras.keras3.batch_norm import BatchNormalization
    from slim2keras.keras3.building import to_keras3
    from slim2keras.keras3.copying import plain_model
    from slim2keras.keras3.finetuning import finetune
    from slim2keras.keras3.loading import end_points, export_checkpoint, load_checkpoint, load_model
    from slim2keras.keras3.optimizers import Momentum, RMSProp

__all__ = [
    "BatchNormalization",
    "Momentum",
    "RMSProp",
    "end_points",
    "export_checkpoint",
    "finetune",
    "load_checkpoint",
    "load_model",
    "plain_model",
    "to_keras3",
]

_HOME = {
    "BatchNormalization": "batch_norm",
    "Momentum": "optimizers",
    "RMSProp": "optimizers",
    "end_points": "loading",
    "export_checkpoint": "loading",
    "finetune": "finetuning",
    "load_checkpoint": "loading",
    "load_model": "loading",
    "plain_model": "copying",
    "to_keras3": "building",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'slim2keras.keras3' has no attribute {name!r}")
    return getattr(importlib.import_module(f"slim2keras.keras3.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
