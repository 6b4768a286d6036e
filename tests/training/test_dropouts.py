"""Dropout whose draws follow from seed, step and layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import slim2keras
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.optimizers import GradientDescent
from slim2keras.training.dropouts import seeded_dropout

X = np.ones((8, 4, 4, 2), "float32")
Y = np.arange(8) % 3


def model(*, rate: float = 0.5, noise_shape: Any = None) -> Any:
    image = tf_keras.Input((4, 4, 2))
    x = tf_keras.layers.Dropout(rate, noise_shape=noise_shape, name="drop")(image)
    x = tf_keras.layers.Dropout(rate, name="drop_again")(x)
    x = tf_keras.layers.Flatten()(x)
    kernel = tf_keras.initializers.RandomNormal(seed=1)
    return tf_keras.Model(image, tf_keras.layers.Dense(3, kernel_initializer=kernel, name="logits")(x))


def losses(seed: int | None, steps: int, first: int = 0, accumulate: int = 1) -> list[float]:
    tuned = slim2keras.finetune(model(), batch_norm="update", dropout_seed=seed, accumulate=accumulate)
    tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy())
    tuned.optimizer.iterations.assign(first)
    return [float(tuned.train_on_batch(X * Y[:, None, None, None], Y)) for _ in range(steps)]


def masks(seed: int, step: int, micro_batch: int = 0, **options: Any) -> np.ndarray:
    layers = model(**options)
    with seeded_dropout(layers, seed, tf.constant(step), micro_batch):
        return np.asarray(layers.get_layer("drop")(X, training=True))


def test_draws_are_those_of_the_step() -> None:
    """A run that begins at the third step draws what one from the start draws there; steps and seeds differ."""
    whole = losses(7, 4)
    assert len(set(whole)) == 4
    assert losses(7, 2, first=2) == whole[2:]
    assert losses(8, 4) != whole


def test_micro_batches_draw_apart() -> None:
    """Two halves of a batch of equal images are not dropped alike."""
    assert not np.array_equal(masks(1, 0, 0), masks(1, 0, 1))
    assert len(set(losses(7, 2, accumulate=2))) == 2


def test_what_is_dropped() -> None:
    """Half of the values are zero and the others doubled; paths are dropped whole; at inference nothing is."""
    drawn = masks(1, 0)
    assert {*np.unique(drawn)} == {0.0, 2.0}
    assert 0.3 < (drawn == 0).mean() < 0.7
    paths = masks(1, 0, noise_shape=(None, 1, 1, 1))
    assert all(len(np.unique(path)) == 1 for path in paths)
    layers = model()
    with seeded_dropout(layers, 1, tf.constant(0)):
        assert np.array_equal(layers.get_layer("drop")(X, training=False), X)


def test_layers_of_one_model_draw_apart() -> None:
    """The name of a layer goes into its draws."""
    layers = model()
    with seeded_dropout(layers, 1, tf.constant(0)):
        first, second = (np.asarray(layers.get_layer(name)(X, training=True)) for name in ("drop", "drop_again"))
    assert not np.array_equal(first, second)


def test_layers_that_draw_otherwise_are_refused() -> None:
    """Noise has a state that no seed can be given, so a run that goes on would differ."""
    image = tf_keras.Input((4,))
    x = tf_keras.layers.GaussianNoise(0.1, name="noise")(image)
    noisy = tf_keras.Model(image, tf_keras.layers.Dense(3)(x))
    with pytest.raises(UnsupportedArgumentError, match=r"noise \(GaussianNoise\)"):
        slim2keras.finetune(noisy, batch_norm="update", dropout_seed=1)
    slim2keras.finetune(noisy, batch_norm="update")
