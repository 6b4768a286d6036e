"""A small network in fine-tuning, and what changed in it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import slim2keras
from slim2keras.errors import MovingStatisticsWarning
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.variables import slim_variables
from slim2keras.optimizers import Momentum
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels

NET = NETS["separable"]
LOGITS = "MobilenetV1/Logits"
X, Y = images(0, (16, *NET.shape)), labels(1, CLASSES, 16)


def tuned_model(
    model: Any = None, *, batch_norm: Any = "update", optimizer: Any = None, run_eagerly: bool = False, **options: Any
) -> Any:
    tuned = slim2keras.finetune(model or build_ours(NET), batch_norm=batch_norm, **options)
    tuned.compile(optimizer or Momentum(0.01, 0.9), SoftmaxCrossEntropy(), run_eagerly=run_eagerly)
    return tuned


def values(model: Any) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in slim_variables(model).items()}


def changed(before: dict[str, np.ndarray], model: Any) -> set[str]:
    return {name for name, value in values(model).items() if not np.array_equal(value, before[name])}


def moving(names: Any) -> set[str]:
    return {name for name in names if name.rpartition("/")[2].startswith("moving_")}


def fit(tuned: Any, **options: Any) -> list[float]:
    options = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MovingStatisticsWarning)
        found: list[float] = tuned.fit(X, Y, **options).history["loss"]
    return found
