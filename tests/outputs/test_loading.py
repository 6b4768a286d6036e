"""Files of models are read without the reader of tf_keras, with every bit."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

import slim2keras
from slim2keras.models.variables import slim_variables
from tests.parity.training_runs import NETS, build_ours
from tests.reference import small_values


def test_stock_tf_keras_and_load_model_give_the_same_model(small_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``load_model`` does without the reader of tf_keras and gives every bit of it."""
    theirs = tf_keras.models.load_model(small_file, compile=False)
    monkeypatch.setattr(tf_keras.models, "load_model", None)
    monkeypatch.setattr(tf_keras.Model, "load_weights", None)
    assert_equal_models(slim2keras.load_model(small_file), theirs)
    for name, value in small_values().items():
        np.testing.assert_array_equal(slim_variables(theirs)[name].numpy(), value)


def assert_equal_models(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    assert ours.get_config() == theirs.get_config()
    assert len(ours.weights) == len(theirs.weights)
    for left, right in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(left.numpy(), right.numpy())


def shake(variables: Any) -> None:
    random = np.random.default_rng(0)
    for variable in variables:
        if variable.dtype.is_floating:
            variable.assign(random.standard_normal(variable.shape).astype(variable.dtype.as_numpy_dtype))


def tuned_model() -> Any:
    tuned = slim2keras.finetune(
        build_ours(NETS["separable"]), batch_norm="update", ema_decay=0.9, train_only=["MobilenetV1/Logits"]
    )
    tuned.compile(slim2keras.optimizers.Momentum(0.1, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    return tuned


def model_within_a_model() -> Any:
    inner = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,)), tf_keras.layers.Dense(3)])
    inputs = tf_keras.Input((3,))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(inner(inner(inputs))))
    model.compile(tf_keras.optimizers.Adam())
    return model


def model_with_an_optimizer_within_another() -> Any:
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,))])
    model.compile(tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD(0.1, momentum=0.9)))
    return model


def model_with_a_shared_initializer() -> Any:
    shared = tf_keras.initializers.GlorotUniform(3)
    layers = [tf_keras.layers.Dense(3, kernel_initializer=shared, input_shape=(3,)) for _ in range(2)]
    model = tf_keras.Sequential(layers)
    model.compile(tf_keras.optimizers.SGD(0.1, momentum=0.9))
    return model


MODELS = (tuned_model, model_within_a_model, model_with_an_optimizer_within_another, model_with_a_shared_initializer)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("make", MODELS)
def test_files_of_tf_keras_own_writer_load_with_every_bit(
    make: Callable[[], Any], compression: int, tmp_path: Path
) -> None:
    """Weights, shadows and the optimizer's state, of layers within layers and shared ones too, packed or not."""
    model = make()
    model.optimizer.build(model.trainable_variables)
    shake([*model.weights, *model.optimizer.variables])
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as plain, zipfile.ZipFile(tmp_path / "x.keras", "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name), compression)
    loaded = slim2keras.load_model(tmp_path / "x.keras", with_optimizer=True)
    assert_equal_models(loaded, model)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for ours, theirs in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_optimizer_is_loaded_on_request(tmp_path: Path) -> None:
    """Without being asked for it, ``load_model`` gives a model that is not compiled."""
    tuned_model().save(tmp_path / "model.keras")
    assert getattr(slim2keras.load_model(tmp_path / "model.keras"), "optimizer", None) is None
    assert slim2keras.load_model(tmp_path / "model.keras", with_optimizer=True).optimizer.name == "Momentum"


def test_a_legacy_optimizer_is_no_damage(tmp_path: Path) -> None:
    """``compile("adam")`` takes one on Apple silicon; tf_keras writes no state of it into a .keras."""
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    model.compile(tf_keras.optimizers.legacy.Adam(0.25), "mse")
    model.save(tmp_path / "model.keras")
    loaded = slim2keras.load_model(tmp_path / "model.keras", with_optimizer=True)
    assert float(loaded.optimizer.learning_rate) == 0.25
    assert_equal_models(loaded, model)
