"""Folded networks in Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import slim2keras
from slim2keras import keras3
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.building import build_model
from slim2keras.models.networks import network_of
from tests.reference import assign_values, values_of
from tests.trainer.runs import tiny_network

REFUSED: dict[str, Callable[[Any, Path], Any]] = {
    "trained": lambda model, path: keras3.finetune(model, batch_norm="frozen"),
    "written as a slim checkpoint": lambda model, path: keras3.export_checkpoint(model, path / "model.ckpt"),
    "given the values of a checkpoint": lambda model, path: keras3.load_checkpoint(model, path / "none.ckpt"),
}


@pytest.fixture(scope="module")
def folded() -> Any:
    model = build_model(tiny_network())
    assign_values(model, values_of(network_of(model).graph.variables()))
    return slim2keras.fold_batch_norm(model)


def test_a_folded_model_becomes_one_of_keras_3(folded: Any) -> None:
    """Without BatchNorm there too."""
    model = slim2keras.to_keras3(folded)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    images = np.random.RandomState(0).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    assert np.allclose(model(images), folded(images, training=False), atol=1e-6)


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_batch_norm_refuses_a_folded_model(folded: Any, tmp_path: Path, what: str) -> None:
    """As in tf_keras."""
    with pytest.raises(UnsupportedArgumentError, match=f"tiny is folded.*cannot be {what}"):
        REFUSED[what](slim2keras.to_keras3(folded), tmp_path)
