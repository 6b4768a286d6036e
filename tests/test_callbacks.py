"""``BatchNormMonitor`` in ``fit``: what it logs, when it warns, and that it changes nothing."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.callbacks import BatchNormMonitor
from slim2keras.errors import MovingStatisticsWarning, TrainingDataError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.variables import slim_variables
from slim2keras.optimizers import Momentum
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels

NET = NETS["separable"]
X, Y = images(0, (32, *NET.shape)), labels(1, CLASSES, 32)
STEPS = 4
EPOCHS = 3


def validation(with_labels: bool = True) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y) if with_labels else X).batch(16)


def fit(monitor: BatchNormMonitor | None, *more: Any, **options: Any) -> tuple[dict[str, list[float]], list[str], Any]:
    """Logs, warnings of the monitor (those of ``finetune`` come before training), and the model."""
    tuned = slim2keras.finetune(build_ours(NET), **{"batch_norm": "update", **options})
    tuned.compile(Momentum(0.01, 0.9), SoftmaxCrossEntropy())
    callbacks = [item for item in (monitor, *more) if item is not None]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = tuned.fit(X, Y, 8, EPOCHS, verbose=0, shuffle=False, callbacks=callbacks).history
    texts = [str(item.message) for item in caught if item.category is MovingStatisticsWarning]
    return history, [text for text in texts if not text.startswith("BatchNorm: ")], tuned


def test_the_share_of_old_statistics_needs_no_data() -> None:
    """It is logged each epoch, and nothing else is."""
    history, told, _ = fit(BatchNormMonitor(), decay=0.8)
    assert history["bn_old_statistics_left"] == pytest.approx([0.8 ** (STEPS * n) for n in range(1, EPOCHS + 1)])
    assert not told
    assert not [name for name in history if name.startswith("bn_") and name != "bn_old_statistics_left"]


def test_drift_and_gap_are_measured_on_the_validation_data() -> None:
    """The accuracy is that of ``predict``, and the drift shrinks as training goes on."""
    history, _, tuned = fit(BatchNormMonitor(validation()), decay=0.8)
    probs = tuned.predict(X, verbose=0)
    assert history["bn_accuracy_moving"][-1] == pytest.approx(np.mean(probs.argmax(1) == Y))
    gap = np.subtract(history["bn_accuracy_batch"], history["bn_accuracy_moving"])
    assert history["bn_accuracy_gap"] == pytest.approx(gap)
    assert history["bn_mean_shift"][-1] < history["bn_mean_shift"][0]
    assert all(0.0 <= value <= 1.0 for value in history["bn_agreement"])


def test_without_labels_there_is_no_accuracy() -> None:
    """Whether both predict the same class is measured all the same."""
    history, _, _ = fit(BatchNormMonitor(validation(with_labels=False)), decay=0.8)
    assert "bn_agreement" in history
    assert "bn_accuracy_gap" not in history


def test_training_is_the_same_with_and_without() -> None:
    """Losses and variables, bit for bit."""
    alone, _, one = fit(None, decay=0.9)
    watched, _, other = fit(BatchNormMonitor(validation()), decay=0.9)
    assert watched["loss"] == alone["loss"]
    for name, variable in slim_variables(one).items():
        np.testing.assert_array_equal(variable.numpy(), slim_variables(other)[name].numpy(), err_msg=name)


def test_pit_one_is_told_once() -> None:
    """Not at every epoch, and with the number of layers."""
    history, told, tuned = fit(BatchNormMonitor(), batch_norm="batch")
    count = len(batch_norm_layers(tuned))
    assert history["bn_old_statistics_left"] == [1.0] * EPOCHS
    assert len(told) == 1
    assert told[0].startswith(
        f"pit one: {count} of {count} BatchNorm layers normalise with the batch, but their moving statistics have not "
        f"moved in {STEPS} steps"
    )


def test_a_gap_is_told_when_it_opens() -> None:
    """After the first epoch that shows it, with the layer that is furthest off."""
    _, told, _ = fit(BatchNormMonitor(validation(with_labels=False)), batch_norm="update", decay=0.9997)
    assert len(told) == 1
    assert told[0].startswith("After epoch 1: same class as with batch statistics on ")
    assert "BatchNorm layers are off, furthest MobilenetV1/" in told[0]


def test_frozen_layers_are_no_pit() -> None:
    """They normalise with what they have, and no warning says otherwise."""
    history, told, _ = fit(BatchNormMonitor(validation()), batch_norm="frozen")
    assert not told
    assert history["bn_old_statistics_left"] == [1.0] * EPOCHS
    assert "bn_mean_shift" not in history


def test_only_layers_that_normalise_with_the_batch_are_measured() -> None:
    """The frozen one is not counted."""
    modes = {"MobilenetV1/Conv2d_0": "frozen", ".*": "batch"}
    _, told, tuned = fit(BatchNormMonitor(validation(with_labels=False)), batch_norm=modes)
    count = len(batch_norm_layers(tuned))
    assert f" of {count - 1} BatchNorm layers normalise" in told[0]
    assert f" of {count - 1} BatchNorm layers are off" in told[1]


def test_any_keras_model_is_watched(tmp_path: Path) -> None:
    """A network of nobody's zoo, with its logs in Keras' own writers."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    inputs = tf_keras.Input((8,))
    hidden = tf_keras.layers.BatchNormalization(name="norm")(tf_keras.layers.Dense(4)(inputs))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(hidden))
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.RandomState(0).normal(2.0, 3.0, (64, 8)).astype("float32")
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((x, np.arange(64) % 2)).batch(16)
    log = tmp_path / "log.csv"
    with pytest.warns(MovingStatisticsWarning, match=r"pit two: .* after the 8 steps planned 92.3% of the old"):
        model.fit(data, epochs=2, verbose=0, callbacks=[BatchNormMonitor(data), tf_keras.callbacks.CSVLogger(log)])
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert [float(row["bn_old_statistics_left"]) for row in rows] == pytest.approx([0.99**4, 0.99**8])
    assert {"bn_mean_shift", "bn_variance_ratio", "bn_accuracy_gap"} <= set(rows[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y), "data set is a tuple. Give batches"),
        ([X[:8, :16]], r"batch of images \(8, 16, 25, 3\), but .* takes \(None, 24, 25, 3\)"),
        ([], "has no images"),
    ],
)
def test_wrong_validation_data_is_refused_before_training(data: Any, message: str) -> None:
    """Not after the first epoch."""
    with pytest.raises(TrainingDataError, match=message):
        fit(BatchNormMonitor(data))
