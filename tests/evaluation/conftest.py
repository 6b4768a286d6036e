from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from tests.conftest import made_once

CLASSES = ("blue", "green", "red")


def write_classes(folder: Path, images: int, classes: tuple[str, ...] = CLASSES) -> Path:
    """A folder of noise a class, in PNG."""
    import tensorflow as tf

    random = np.random.RandomState(images)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(images):
            image = random.randint(0, 255, (30, 30, 3)).astype("uint8")
            tf.io.write_file(str(folder / name / f"{number}.png"), tf.io.encode_png(image))
    return folder


@pytest.fixture(scope="session")
def classes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of each of three classes; not to be changed."""
    return made_once(tmp_path_factory, "three_classes", lambda path: write_classes(path, 5) and None) / "."


@pytest.fixture(scope="session")
def classifier_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of three classes whose answers differ from image to image; not to be changed."""

    def make(directory: Path) -> None:
        model = slim2keras.build("lenet", num_classes=3)
        for variable in model.trainable_variables:
            variable.assign(np.random.RandomState(len(variable.shape)).normal(size=variable.shape) * 0.1)
        model.save(directory / "lenet.keras")

    return made_once(tmp_path_factory, "classifier", make) / "lenet.keras"


@pytest.fixture
def classifier(classifier_file: Path) -> Any:
    return slim2keras.load_model(classifier_file)
