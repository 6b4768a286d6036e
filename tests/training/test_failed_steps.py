"""A step that cannot be taken is an error that says why, and changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import NonFiniteLossError, TrainingDataError
from slim2keras.models.variables import slim_variables
from slim2keras.optimizers import GradientDescent
from slim2keras.training.state import state_variables
from tests.parity.training_runs import CLASSES
from tests.reference import images
from tests.training.tuned import LOGITS, X, Y, tuned_model


@pytest.mark.parametrize("run_eagerly", [False, True])
class TestFailedSteps:
    def fails(self, tuned: Any, error: type[Exception], message: str, x: np.ndarray, y: np.ndarray) -> None:
        """The step raises, and nothing has changed; the next good one is taken."""
        before = {name: item.numpy() for name, item in state_variables(tuned).items()}
        with pytest.raises(error, match=message):
            tuned.train_on_batch(x, y)
        for name, item in state_variables(tuned).items():
            np.testing.assert_array_equal(item.numpy(), before[name], err_msg=name)

    def test_images_that_are_not_finite(self, run_eagerly: bool) -> None:
        """The images are named as the cause, and the next good batch is step 2."""
        tuned = tuned_model(run_eagerly=run_eagerly, ema_decay=0.9)
        tuned.train_on_batch(X, Y)
        broken = X.copy()
        broken[3, 2, 1, 0] = np.nan
        self.fails(tuned, NonFiniteLossError, "Step 2 was not taken: .*the images have such values already", broken, Y)
        tuned.train_on_batch(X, Y)
        assert tuned.optimizer.iterations == 2

    def test_a_variable_that_is_not_finite_is_named(self, run_eagerly: bool) -> None:
        """With how many there are."""
        tuned = tuned_model(run_eagerly=run_eagerly)
        slim_variables(tuned)[f"{LOGITS}/biases"].assign([np.inf] * CLASSES)
        self.fails(tuned, NonFiniteLossError, f"such values are in 1 variable already, the first {LOGITS}/biases", X, Y)

    def test_moving_statistics_are_blamed_where_they_are_used(self, run_eagerly: bool) -> None:
        """Recalibration makes them finite; a layer that normalises with the batch has nothing to do with them."""
        for batch_norm, x, message in (
            ("frozen", X, "such values are in 1 variable already, the first .*/moving_mean.*Recalibrate the stat"),
            ("batch", X * np.float32(1e37), "the first layer with such an output is .*Lower the learning rate"),
        ):
            tuned = tuned_model(run_eagerly=run_eagerly, batch_norm=batch_norm)
            slim_variables(tuned)["MobilenetV1/Conv2d_0/BatchNorm/moving_mean"].assign([np.nan] * 8)
            self.fails(tuned, NonFiniteLossError, message, x, Y)

    def test_the_layer_where_it_begins_is_named(self, run_eagerly: bool) -> None:
        """Where finite inputs first give an output that is not."""
        tuned = tuned_model(run_eagerly=run_eagerly)
        slim_variables(tuned)["MobilenetV1/Conv2d_2_pointwise/weights"].assign(np.full((1, 1, 16, 32), 1e38))
        self.fails(tuned, NonFiniteLossError, "first layer with such an output is MobilenetV1/Conv2d_2_pointwise", X, Y)

    def test_a_gradient_that_is_not_finite(self, run_eagerly: bool) -> None:
        """A finite loss does not hide it."""
        import tensorflow as tf
        import tf_keras

        inputs = tf_keras.Input((3,))
        dense = tf_keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False, name="dense")
        tuned = slim2keras.finetune(tf_keras.Model(inputs, dense(inputs)), batch_norm="update")
        # The root has a value at zero, and no slope.
        tuned.compile(GradientDescent(0.1), lambda y, x: tf.reduce_mean(tf.sqrt(tf.abs(x))), run_eagerly=run_eagerly)
        message = "the loss is finite, but the gradient of dense/weights is NaN or infinite"
        self.fails(tuned, NonFiniteLossError, message, np.ones((2, 3), "float32"), np.ones((2, 1), "float32"))

    def test_labels_that_are_no_classes(self, run_eagerly: bool) -> None:
        """Too large or negative, in training and in evaluation."""
        tuned = tuned_model(run_eagerly=run_eagerly)
        self.fails(tuned, TrainingDataError, "Step 1 has labels from 3 to 7, but the network has 5 classes", X, Y + 3)
        self.fails(tuned, TrainingDataError, "labels from -1 to", X, Y - 1)
        with pytest.raises(TrainingDataError, match="but the network has 5 classes"):
            tuned.test_on_batch(X, Y + 3)

    def test_labels_with_other_columns(self, run_eagerly: bool) -> None:
        """Whoever's loss it is."""
        import tf_keras

        tuned = tuned_model(run_eagerly=run_eagerly)
        message = "labels have 7 classes and the network 5"
        self.fails(tuned, TrainingDataError, message, X, np.eye(7, dtype="float32")[Y])
        tuned.compile("sgd", tf_keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=run_eagerly)
        with pytest.raises(TrainingDataError, match=message):
            tuned.train_on_batch(X, np.eye(7, dtype="float32")[Y])

    @pytest.mark.parametrize("size", [(1, 1), (None, None)])
    def test_one_value_a_channel(self, run_eagerly: bool, size: tuple[int | None, int | None]) -> None:
        """A batch without variance is refused where statistics move, whatever the size was known to be."""
        import tf_keras

        inputs = tf_keras.Input((*size, 4))
        x = tf_keras.layers.BatchNormalization(name="net/BatchNorm", momentum=0.9)(inputs)
        logits = tf_keras.layers.Dense(CLASSES)(tf_keras.layers.GlobalAveragePooling2D()(x))
        tuned = tuned_model(tf_keras.Model(inputs, logits), run_eagerly=run_eagerly)
        one, two = images(0, (1, 1, 1, 4)), images(0, (2, 1, 1, 4))
        message = "Step 1 has one value per channel in 1 BatchNorm layer, the first net/BatchNorm: a batch of 1"
        self.fails(tuned, TrainingDataError, message, one, Y[:1])
        tuned.train_on_batch(two, Y[:2])
        assert np.isfinite(tuned.get_layer("net/BatchNorm").moving_variance.numpy()).all()
        tuned_model(tf_keras.Model(inputs, logits), batch_norm="batch", run_eagerly=run_eagerly).train_on_batch(
            one, Y[:1]
        )
