"""Losses against those of TensorFlow 1, which are slim's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slim2keras.errors import TrainingDataError, UnsupportedArgumentError
from slim2keras.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy

BATCH, CLASSES = 6, 4
RANDOM = np.random.RandomState(0)
LOGITS = (3 * RANDOM.standard_normal((BATCH, CLASSES))).astype("float32")
NUMBERS = RANDOM.randint(0, CLASSES, BATCH)
ONE_HOT = np.eye(CLASSES, dtype="float32")[NUMBERS]
SEVERAL = RANDOM.randint(0, 2, (BATCH, CLASSES))
WEIGHTS: dict[str, Any] = {
    "none": None,
    "one": 0.4,
    "of images": np.asarray([1, 0, 2, 0.5, 0, 1], "float32"),
    "all zero": np.zeros(BATCH, "float32"),
}


def slims(name: str, labels: Any, weights: Any, **options: Any) -> float:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        weights = 1.0 if weights is None else weights
        if name == "sigmoid_cross_entropy" and np.ndim(weights):
            weights = weights[:, np.newaxis]
        return float(session.run(getattr(v1.losses, name)(labels, LOGITS, weights=weights, **options)))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [NUMBERS, NUMBERS[:, np.newaxis], NUMBERS.astype("int32"), ONE_HOT])
def test_softmax_cross_entropy(labels: np.ndarray, label_smoothing: float, weights: str) -> None:
    """For numbers and one-hot labels, smoothed and weighted, it is slim's."""
    ours = SoftmaxCrossEntropy(label_smoothing)(labels, LOGITS, sample_weight=WEIGHTS[weights])
    theirs = slims("softmax_cross_entropy", ONE_HOT, WEIGHTS[weights], label_smoothing=label_smoothing)
    assert float(ours) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_sigmoid_cross_entropy(label_smoothing: float, weights: str) -> None:
    """Smoothed and weighted, it is slim's."""
    ours = SigmoidCrossEntropy(label_smoothing)(SEVERAL, LOGITS, sample_weight=WEIGHTS[weights])
    theirs = slims("sigmoid_cross_entropy", SEVERAL, WEIGHTS[weights], label_smoothing=label_smoothing)
    assert float(ours) == pytest.approx(theirs, rel=1e-6)


def test_logits_of_one_pixel_are_squeezed() -> None:
    """The loss is that of the logits without it."""
    pixel = LOGITS[:, np.newaxis, np.newaxis]
    for labels in (NUMBERS, ONE_HOT):
        assert float(SoftmaxCrossEntropy()(labels, pixel)) == float(SoftmaxCrossEntropy()(labels, LOGITS))


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(0.1), SigmoidCrossEntropy(0.1)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_logits_in_half_precision_lose_nothing_more(dtype: str, loss: Any) -> None:
    """The loss is float32, that of the same logits in float32."""
    import tensorflow as tf

    half = tf.cast(LOGITS, dtype)
    found = loss(ONE_HOT, half)
    assert found.dtype == tf.float32
    assert float(found) == float(loss(ONE_HOT, tf.cast(half, tf.float32)))


def test_keras_own_loss_divides_by_all_images() -> None:
    """The mutant: what the class is for."""
    import tf_keras

    keras = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = WEIGHTS["of images"]
    theirs = slims("sparse_softmax_cross_entropy", NUMBERS, weights)
    assert float(keras(NUMBERS, LOGITS, sample_weight=weights)) == pytest.approx(theirs * 4 / 6, rel=1e-5)
    assert float(SoftmaxCrossEntropy()(NUMBERS, LOGITS, sample_weight=weights)) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy, SigmoidCrossEntropy])
def test_a_loss_is_made_again_from_its_config_and_weights_reach_it_through_fit(loss: Any) -> None:
    """A saved model evaluates as before."""
    import tf_keras

    again = tf_keras.losses.deserialize(tf_keras.losses.serialize(loss(0.25)))
    assert again.get_config() == loss(0.25).get_config()
    model = tf_keras.Sequential([tf_keras.Input((CLASSES,)), tf_keras.layers.Activation("linear")])
    model.compile(loss=again)
    labels = ONE_HOT if loss is SoftmaxCrossEntropy else SEVERAL
    weights = WEIGHTS["of images"]
    direct = float(again(labels, LOGITS, sample_weight=weights))
    found = model.evaluate(LOGITS, labels, sample_weight=weights, batch_size=BATCH, verbose=0)
    assert found == pytest.approx(direct, rel=1e-6)


def test_labels_with_other_columns_than_classes_are_refused() -> None:
    """With both numbers."""
    with pytest.raises(TrainingDataError, match="labels have 3 classes and the network 4"):
        SoftmaxCrossEntropy()(ONE_HOT[:, :3], LOGITS)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, 2])
def test_a_smoothing_that_is_no_fraction_is_refused(label_smoothing: float) -> None:
    """One that leaves nothing of the label, too."""
    with pytest.raises(UnsupportedArgumentError, match="at least 0 and below 1"):
        SoftmaxCrossEntropy(label_smoothing)
