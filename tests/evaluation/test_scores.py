"""Scores of models, and which models have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import slim2keras
from slim2keras.errors import NonFiniteError, TrainingDataError, UnsupportedArgumentError
from slim2keras.evaluation.scores import score_images

IMAGES = np.random.RandomState(0).normal(size=(7, 28, 28, 1)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def batches(labels: Any = LABELS, size: int = 3) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(size)


def test_every_image_counts_once_whatever_the_batch(classifier: Any) -> None:
    """Seven images in batches of three are seven, in their order; one-hot labels are labels too."""
    whole, parts = score_images(classifier, batches(size=7)), score_images(classifier, batches(size=3))
    assert len(whole) == len(parts) == 7
    np.testing.assert_array_equal(whole.classes, parts.classes)
    np.testing.assert_allclose(whole.losses, parts.losses, rtol=1e-5)
    np.testing.assert_array_equal(parts.labels, LABELS)
    onehot = score_images(classifier, batches(np.eye(3)[LABELS]))
    np.testing.assert_array_equal(onehot.labels, LABELS)
    logits = classifier(IMAGES)
    np.testing.assert_allclose(
        whole.losses, tf_keras.losses.sparse_categorical_crossentropy(LABELS, logits, True), 1e-4
    )
    np.testing.assert_allclose(whole.probabilities[:, 0], tf.nn.softmax(logits).numpy().max(1), rtol=1e-5)


def test_probabilities_are_taken_as_they_are(classifier: Any) -> None:
    """A softmax upon a softmax would make them all alike; so is a model of which nobody knows the network."""
    softmax = tf_keras.Model(classifier.input, tf_keras.layers.Softmax()(classifier.output))
    ours, theirs = score_images(softmax, batches()), score_images(classifier, batches())
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-5)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-5)


def head(*layers: Any) -> Any:
    images = tf_keras.Input((28, 28, 1))
    output = images
    for layer in layers:
        output = layer(output)
    return tf_keras.Model(images, output, name="mine")


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (lambda: head(tf_keras.layers.Conv2D(3, 3)), r"mine gives a map, \(None, 26, 26, 3\)"),
        (lambda: head(tf_keras.layers.Flatten(), tf_keras.layers.Dense(1)), "mine gives one number an image"),
        (lambda: head(tf_keras.layers.Flatten(), tf_keras.layers.Dense(3, "sigmoid")), "sigmoid"),
        (lambda: slim2keras.build("lenet", num_classes=0), "lenet ends in its features"),
        (lambda: tf_keras.Model(a := tf_keras.Input((28, 28, 1)), [a, a], name="two"), "two has more outputs"),
    ],
)
def test_what_tells_no_classes_is_refused_by_name(model: Any, fault: str) -> None:
    """Maps, features, single numbers, probabilities that do not exclude each other, several outputs."""
    with pytest.raises(UnsupportedArgumentError, match=fault):
        score_images(model(), batches())


def test_a_map_of_open_size_is_refused_when_it_is_seen() -> None:
    """A network of any size gives one class an image at one size, and a map at a greater."""
    images = tf_keras.Input((None, None, 1))
    model = tf_keras.Model(images, tf_keras.layers.Conv2D(3, 28)(images), name="any_size")
    assert len(score_images(model, batches())) == 7
    larger = tf.data.Dataset.from_tensors(np.zeros((2, 29, 29, 1), "float32"))
    with pytest.raises(UnsupportedArgumentError, match="any_size gives a map of 4 pixels"):
        score_images(model, larger)


def test_logits_that_are_not_finite_are_an_error(classifier: Any) -> None:
    """An accuracy of them would look like one; the image is told."""
    classifier.weights[-2].assign(np.full_like(classifier.weights[-2].numpy(), 3e38))
    with pytest.raises(NonFiniteError, match="NaN or infinity for image 0 and 2 others"):
        score_images(classifier, batches())


def test_data_that_does_not_fit_is_refused(classifier: Any) -> None:
    """Labels that are no classes, images of another size, none at all."""
    with pytest.raises(TrainingDataError, match="labels from 1 to 3"):
        score_images(classifier, batches(LABELS + 1))
    with pytest.raises(UnsupportedArgumentError, match=r"takes \(None, 28, 28, 1\)"):
        score_images(classifier, [np.zeros((2, 30, 30, 1), "float32")])
    with pytest.raises(TrainingDataError, match="no images"):
        score_images(classifier, [])
