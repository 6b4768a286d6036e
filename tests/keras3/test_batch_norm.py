"""slim's BatchNorm layer in Keras 3: one step of training, with tf_keras as the judge, on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from tests.keras3 import steps

BAR = 1e-6


def tf_keras_step(rank: int, mode: str) -> dict[str, np.ndarray]:
    """The same step as ``steps.batch_norm_step``, by the stock layer of tf_keras in ``slim2keras.finetune``."""
    import tf_keras

    import slim2keras

    inputs = tf_keras.Input(steps.SHAPES[rank][1:])
    layer = tf_keras.layers.BatchNormalization(momentum=steps.MOMENTUM, epsilon=steps.EPSILON, name="norm")
    model = tf_keras.Model(inputs, layer(inputs))
    for name, value in {**steps.START, **steps.MOVING}.items():
        getattr(layer, name).assign(np.asarray(value, "float32"))
    tuned = slim2keras.finetune(model, batch_norm=mode)
    tuned.compile(tf_keras.optimizers.SGD(steps.RATE), tf_keras.losses.MeanSquaredError(), run_eagerly=True)
    loss = tuned.train_on_batch(steps.activations(rank), steps.targets(rank))
    return {**{name: getattr(layer, name).numpy() for name in (*steps.START, *steps.MOVING)}, "loss": np.asarray(loss)}


def difference(found: Any, wanted: Any) -> float:
    """Largest one, relative to the largest value, or to 1 if that is larger."""
    return float(np.max(np.abs(found - wanted)) / max(1.0, np.max(np.abs(wanted))))


@pytest.mark.parametrize(("rank", "mode"), steps.LAYERS)
def test_one_step_is_that_of_tf_keras(found_steps: dict[str, np.ndarray], rank: int, mode: str) -> None:
    """Loss, gamma, beta and the moving statistics, within 1e-6; only mode ``"update"`` moves them."""
    for name, wanted in tf_keras_step(rank, mode).items():
        assert difference(found_steps[f"{rank} {mode}: {name}"], wanted) <= BAR, name
        if name in steps.MOVING and mode != "update":
            np.testing.assert_array_equal(found_steps[f"{rank} {mode}: {name}"], np.float32(steps.MOVING[name]))


def test_the_stock_layer_takes_the_biased_variance() -> None:
    """The mutant: its step of the moving variance lacks n / (n - 1) at rank 4, and nothing else."""
    found, wanted = steps.batch_norm_step(4), tf_keras_step(4, "update")
    for name in {*wanted} - {"moving_variance"}:
        assert difference(found[name], wanted[name]) <= BAR, name
    count = np.prod(steps.SHAPES[4][:-1])
    kept = steps.MOMENTUM * np.asarray(steps.MOVING["moving_variance"])
    ratio = (wanted["moving_variance"] - kept) / (found["moving_variance"] - kept)
    np.testing.assert_allclose(ratio, count / (count - 1), rtol=1e-5)


def test_mode_and_arguments_are_saved(tmp_path: Path) -> None:
    """In a file of Keras, which loads with ``slim2keras.keras3`` imported."""
    import keras

    from slim2keras.keras3 import BatchNormalization

    inputs = keras.Input((4, 4, 3))
    layer = BatchNormalization(mode="batch", momentum=0.7, epsilon=1e-5, scale=False, name="norm")
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").get_layer("norm")
    assert isinstance(loaded, BatchNormalization)
    assert loaded.get_config() == layer.get_config()


def test_what_is_not_trainable_uses_the_moving_statistics() -> None:
    """As in Keras, whatever its mode says."""
    from slim2keras.keras3 import BatchNormalization

    layer = BatchNormalization(mode="update", trainable=False)
    x = steps.activations(4)
    np.testing.assert_allclose(np.asarray(layer(x, training=True)), x / np.sqrt(1.001), rtol=1e-6)


def test_other_axes_and_one_value_a_channel() -> None:
    """Channels may come first; the variance of one value is 0, biased and unbiased."""
    from slim2keras.keras3 import BatchNormalization

    x = steps.activations(4)
    last, first = BatchNormalization(momentum=0.5), BatchNormalization(momentum=0.5, axis=1)
    y, turned = last(x, training=True), first(x.transpose(0, 3, 1, 2), training=True)
    np.testing.assert_allclose(np.asarray(turned), np.asarray(y).transpose(0, 3, 1, 2), 1e-5, 1e-5)
    before = last.moving_variance.numpy()
    np.testing.assert_allclose(first.moving_variance.numpy(), before, rtol=1e-6)
    last(x[:1, :1, :1], training=True)
    np.testing.assert_allclose(last.moving_variance.numpy(), 0.5 * before, rtol=1e-6)


def test_half_precision_keeps_the_statistics_wide() -> None:
    """Under a mixed policy activations are bfloat16, and statistics those of float32."""
    from slim2keras.keras3 import BatchNormalization

    x = steps.activations(4).astype("float16")
    mixed, wide = BatchNormalization(dtype="mixed_bfloat16"), BatchNormalization()
    assert mixed(x, training=True).dtype == "bfloat16"
    wide(x.astype("float32"), training=True)
    np.testing.assert_allclose(mixed.moving_variance.numpy(), wide.moving_variance.numpy(), rtol=1e-2)
    assert mixed.moving_variance.dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "freeze"}, "mode must be one of update, batch, frozen.*Received: 'freeze'.*moving ones stay"),
        ({"renorm": True}, "has no renorm"),
        ({"synchronized": True}, "has no synchronized"),
    ],
)
def test_what_slim_has_no_numbers_for_is_refused(options: dict[str, Any], message: str) -> None:
    """By name."""
    from slim2keras.keras3 import BatchNormalization

    with pytest.raises(UnsupportedArgumentError, match=message):
        BatchNormalization(**options)


def test_a_mask_is_refused() -> None:
    """Rather than ignored."""
    from slim2keras.keras3 import BatchNormalization

    with pytest.raises(UnsupportedArgumentError, match="got a mask"):
        BatchNormalization()(steps.activations(4), mask=np.ones((2, 3, 5), "bool"))
