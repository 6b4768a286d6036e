"""``slim2keras.data.open_dataset``: a path in, batches out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from tests.data.files import write_classes, write_image


def test_a_model_is_trained_and_evaluated_on_a_path(tmp_path: Path) -> None:
    """The few lines that a user writes: it learns colours that are told apart at a glance."""
    for split in ("train", "validation"):
        for number, name in enumerate(("dark", "bright")):
            for k in range(6):
                write_image(tmp_path / split / name / f"{k}.png", (200 * number + 5 * k,) * 3)
    model = slim2keras.build("lenet", num_classes=2, input_shape=(28, 28, 3))
    tuned = slim2keras.finetune(model, batch_norm="update")
    tuned.compile(
        slim2keras.optimizers.Adam(3e-3),
        slim2keras.losses.SoftmaxCrossEntropy(),
        metrics=["sparse_categorical_accuracy"],
    )
    train = slim2keras.data.open_dataset(tmp_path, split="train", network=tuned, batch_size=4, training=True, seed=1)
    held_out = slim2keras.data.open_dataset(tmp_path, split="validation", network=tuned, batch_size=5)
    tuned.fit(train, steps_per_epoch=8, verbose=0)
    assert tuned.evaluate(held_out, verbose=0, return_dict=True)["sparse_categorical_accuracy"] == 1.0


def test_images_alone(tmp_path: Path) -> None:
    """Without labels batches are images, as predict takes them."""
    write_image(tmp_path / "a.png")
    network = slim2keras.build("lenet", num_classes=2, input_shape=(28, 28, 3))
    (images,) = slim2keras.data.open_dataset(tmp_path, network=network, batch_size=5)
    assert images.shape == (1, 28, 28, 3)
    assert images.dtype == np.float32


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """One class to train on, and a model that nobody knows."""
    import tf_keras

    write_classes(tmp_path, "a")
    network = slim2keras.build("lenet", num_classes=1, input_shape=(28, 28, 3))
    with pytest.raises(DataReadError, match="of one class"):
        slim2keras.data.open_dataset(tmp_path, network=network, batch_size=2, training=True)
    stranger = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(UnsupportedArgumentError, match="cannot be told: it is not a network of slim2keras"):
        slim2keras.data.open_dataset(tmp_path, network=stranger, batch_size=2)
