"""Losses see the outputs that their labels are for: auxiliary logits, logits of pixels, outputs by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import TrainingDataError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.building import build_model
from slim2keras.nets.spec import NetSpec
from slim2keras.optimizers import GradientDescent
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import assign_values, first_quick, images, labels, values_of


class TestAuxiliaryLogits:
    NET = NETS["inception_v3"]
    BATCH = images(0, (8, *NET.shape)), labels(1, CLASSES, 8)

    def total(self, loss_weights: Any = None, **options: Any) -> float:
        tuned = slim2keras.finetune(build_ours(self.NET), batch_norm="batch", **options)
        tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy(), ["accuracy"], loss_weights, run_eagerly=True)
        return float(tuned.train_on_batch(*self.BATCH, return_dict=True)["loss"])

    def test_they_share_labels_and_loss_at_their_weight(self) -> None:
        """``aux_weight`` is the weight of their loss, and Keras' ``loss_weights`` say the same."""
        without, default, double = self.total(aux_weight=0.0), self.total(), self.total(aux_weight=0.8)
        assert double - without == pytest.approx(2 * (default - without), rel=1e-4)
        assert self.total([1.0, 0.8]) == pytest.approx(double, rel=1e-6)

    def test_evaluate_and_labels_given_twice(self) -> None:
        """Labels once or for each output give the same numbers."""
        tuned = slim2keras.finetune(build_ours(self.NET), batch_norm="frozen")
        tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy())
        batch, target = self.BATCH
        once = tuned.evaluate(batch, target, verbose=0)
        assert tuned.evaluate(batch, [target, target], verbose=0) == once


class TestLogitsOfPixels:
    """``num_classes=0`` gives features with height and width, and a head on top logits with them."""

    def head(self, *between: Any) -> Any:
        import tf_keras

        features = slim2keras.build("mobilenet_v1_025", num_classes=0, input_shape=(32, 32, 3))
        x = features.output
        for layer in between:
            x = layer(x)
        model = tf_keras.Model(features.input, tf_keras.layers.Dense(CLASSES, name="head")(x))
        return slim2keras.finetune(model, batch_norm="frozen", train_only=["head"])

    BATCH = images(0, (8, 32, 32, 3)), labels(1, CLASSES, 8)

    @pytest.mark.parametrize("loss", first_quick("slim's", "Keras'", "mse"))
    def test_labels_of_images_are_refused(self, loss: str) -> None:
        """In training and in evaluation, and the message says how to flatten; then the same head trains."""
        import tf_keras

        batch, target = self.BATCH
        given = {"slim's": SoftmaxCrossEntropy(), "Keras'": "sparse_categorical_crossentropy", "mse": "mse"}[loss]
        target = np.eye(CLASSES, dtype="float32")[target] if loss == "mse" else target
        tuned = self.head()
        tuned.compile(GradientDescent(0.1), given, metrics=["accuracy"])
        message = r"logits of .* are \(\w+, 1, 1, 5\), of pixels, .* Put tf_keras.layers.Flatten\(\)"
        with pytest.raises(TrainingDataError, match=message):
            tuned.fit(batch, target, batch_size=8, verbose=0)
        with pytest.raises(TrainingDataError, match=message):
            tuned.evaluate(batch, target, batch_size=8, verbose=0)
        flat = self.head(tf_keras.layers.Flatten())
        flat.compile(GradientDescent(0.1), given if loss == "mse" else SoftmaxCrossEntropy(), metrics=["accuracy"])
        flat.fit(batch, target, batch_size=8, verbose=0)

    def test_labels_of_pixels_are_taken(self) -> None:
        """A head for segmentation has a label for each pixel."""
        import tf_keras

        tuned = self.head(tf_keras.layers.UpSampling2D(2))
        tuned.compile(GradientDescent(0.1), SoftmaxCrossEntropy())
        assert np.isfinite(tuned.train_on_batch(self.BATCH[0], np.zeros((8, 2, 2), "int64")))

    def test_slims_own_logits_of_one_pixel_are_judged_without_it(self) -> None:
        """DenseNet's, and those of a network without spatial_squeeze: loss and accuracy are those of the squeezed."""
        found = []
        for squeeze in (True, False):
            spec = NetSpec.make("mobilenet_v1_025", (32, 32, 3), {"num_classes": CLASSES, "spatial_squeeze": squeeze})
            model = build_model(spec)
            assign_values(model, values_of(spec.trace().variables()))
            tuned = slim2keras.finetune(model, batch_norm="frozen")
            tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy(), metrics=["accuracy"])
            found.append(tuned.evaluate(*self.BATCH, verbose=0))
            assert tuned.output.shape.rank == (2 if squeeze else 4)
        assert found[0] == found[1]


def test_labels_of_some_outputs_alone_are_taken_as_keras_takes_them() -> None:
    """A loss for one of two outputs, labels by its name."""
    import tf_keras

    inputs = tf_keras.Input((6,))
    outputs = [tf_keras.layers.Dense(3, name=name)(inputs) for name in ("first", "second")]
    tuned = slim2keras.finetune(tf_keras.Model(inputs, outputs), batch_norm="update")
    tuned.compile(slim2keras.optimizers.GradientDescent(0.1), loss={"first": "mse"})
    history = tuned.fit(np.ones((8, 6), "float32"), {"first": np.zeros((8, 3), "float32")}, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_outputs_by_name_get_their_own_labels() -> None:
    """Keras sorts them by name; so do the labels."""
    import tf_keras

    inputs = tf_keras.Input((6,))
    outputs = {name: tf_keras.layers.Dense(size, name=name)(inputs) for name, size in {"b": 2, "a": 3}.items()}
    tuned = slim2keras.finetune(tf_keras.Model(inputs, outputs), batch_norm="update")
    tuned.compile(slim2keras.optimizers.GradientDescent(0.1), loss={"a": "mse", "b": "mse"})
    labels = {"a": np.zeros((8, 3), "float32"), "b": np.zeros((8, 2), "float32")}
    history = tuned.fit(np.ones((8, 6), "float32"), labels, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
