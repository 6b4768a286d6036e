from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.nets.spec import NetSpec
from tests.conftest import made_once
from tests.reference import (
    SHALLOW_NET,
    SMALL_SHAPE,
    images,
    labels,
    shallow_resnets,
    values_of,
    write_checkpoint,
    write_meta,
)


@pytest.fixture(scope="session")
def grey_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey net of 96 pixels with another decay than the default, its .meta as slim's trainer writes it."""

    def make(directory: Path) -> None:
        arguments = {"num_classes": 2, "depth_multiplier": 0.125, "batch_norm_decay": 0.9}
        with shallow_resnets():
            spec = NetSpec.make(SHALLOW_NET, (96, 96, 1), arguments)
            values = values_of(spec.trace().variables())
            path = write_checkpoint(directory / "model.ckpt-9", {**values, "global_step": np.int64(9)})
            write_meta(path, spec)

    return made_once(tmp_path_factory, "grey", make) / "model.ckpt-9"


@pytest.fixture(scope="session")
def tuned_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network in the middle of fine-tuning, saved by Keras; loss and metric are functions that only we have."""

    def own_loss(y: Any, x: Any) -> Any:
        return slim2keras.losses.SoftmaxCrossEntropy()(y, x)

    def make(directory: Path) -> None:
        tuned = slim2keras.finetune(slim2keras.build("lenet", num_classes=5), batch_norm="update", ema_decay=0.9)
        tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), own_loss)
        for step in range(3):
            tuned.train_on_batch(images(step, (4, 28, 28, 1)), labels(step, 5, 4))
        tuned.save(directory / "tuned.keras")

    return made_once(tmp_path_factory, "tuned", make) / "tuned.keras"


@pytest.fixture(scope="session")
def images_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the small network with labels."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    data = np.random.RandomState(0).normal(size=(12, *SMALL_SHAPE)).astype("float32")
    np.savez(path, images=data, labels=np.zeros(12, int))
    return path
