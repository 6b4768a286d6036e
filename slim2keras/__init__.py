"""Keras-migration layer for TF-Slim: slim checkpoints as equivalent ``tf.keras`` models, with the same numbers.

Importing this package does not import TensorFlow; the functions do when they need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slim2keras.version import __version__ as __version__

if TYPE_CHECKING:
    from slim2keras.checkpoints.loading import load_checkpoint
    from slim2keras.conversion.converting import convert
    from slim2keras.conversion.integrity import verify_file
    from slim2keras.conversion.reading import load_model
    from slim2keras.deployment.deploying import deploy
    from slim2keras.doctor import diagnose
    from slim2keras.doctor.recalibration import recalibrate
    from slim2keras.evaluation.evaluating import evaluate
    from slim2keras.evaluation.predicting import predict
    from slim2keras.keras3.building import to_keras3
    from slim2keras.models.building import build
    from slim2keras.models.end_points import end_points
    from slim2keras.models.folding import fold_batch_norm
    from slim2keras.nets import list_nets
    from slim2keras.parity.comparing import verify
    from slim2keras.trainer.request import training_request
    from slim2keras.trainer.resuming import resumed_request
    from slim2keras.trainer.training import plan_training, train
    from slim2keras.training.export import export_checkpoint
    from slim2keras.training.finetuning import finetune

__all__ = [
    "build",
    "convert",
    "deploy",
    "diagnose",
    "end_points",
    "evaluate",
    "export_checkpoint",
    "finetune",
    "fold_batch_norm",
    "list_nets",
    "load_checkpoint",
    "load_model",
    "plan_training",
    "predict",
    "recalibrate",
    "resumed_request",
    "to_keras3",
    "train",
    "training_request",
    "verify",
    "verify_file",
]

_HOME = {
    "build": "models.building",
    "convert": "conversion.converting",
    "deploy": "deployment.deploying",
    "diagnose": "doctor",
    "end_points": "models.end_points",
    "evaluate": "evaluation",
    "export_checkpoint": "training.export",
    "finetune": "training.finetuning",
    "fold_batch_norm": "models.folding",
    "list_nets": "nets",
    "load_checkpoint": "checkpoints.loading",
    "load_model": "conversion.reading",
    "plan_training": "trainer.training",
    "predict": "evaluation",
    "recalibrate": "doctor.recalibration",
    "resumed_request": "trainer.resuming",
    "to_keras3": "keras3.building",
    "train": "trainer.training",
    "training_request": "trainer.request",
    "verify": "parity.comparing",
    "verify_file": "conversion.integrity",
}

_MODULES = frozenset(
    {"callbacks", "data", "drop_path", "errors", "keras3", "keras_layers", "losses", "optimizers", "preprocessing"}
)
"""Modules that are reached through the package, ``slim2keras.drop_path``, without an import of their own."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"slim2keras.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'slim2keras' has no attribute {name!r}")
    return getattr(importlib.import_module(f"slim2keras.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
