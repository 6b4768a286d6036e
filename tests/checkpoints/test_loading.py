"""Values arrive in the model bit for bit, or the model stays as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints import loading
from slim2keras.errors import CheckpointMismatchError, CheckpointReadError, NonFiniteError, UnsupportedArgumentError
from slim2keras.models.finite import all_finite
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.scopes import ema_name
from tests.reference import SMALL_NET, SMALL_SHAPE, small_values, value, values_of, write_checkpoint

LOGITS = "resnet_v1_50/logits"


def test_a_scope_alone_is_no_list_of_scopes(small_checkpoint: Path) -> None:
    """A string is not taken letter by letter."""
    with pytest.raises(UnsupportedArgumentError, match="exclude must be a list of scopes"):
        slim2keras.convert(small_checkpoint, exclude=LOGITS)


def test_all_finite_finds_what_numpy_finds() -> None:
    """NaN and both infinities are found, the largest finite numbers pass."""
    for values in ([], [0.0, 1.0], [3e38, -3e38], [1.0, np.nan], [np.inf], [-np.inf, np.inf]):
        array = np.array(values, "float32")
        assert all_finite(array) == bool(np.isfinite(array).all())


def test_weights_arrive_bit_for_bit(small_checkpoint: Path) -> None:
    """Every variable of the model has the value of the checkpoint."""
    model = slim2keras.convert(small_checkpoint, input_shape=SMALL_SHAPE)
    for name, variable in slim_variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), value(name, tuple(variable.shape)))


def test_fresh_logits_are_drawn_by_slims_initializer(small_checkpoint: Path) -> None:
    """Weights have slim's deviation and its cut, biases are zero."""
    model = slim2keras.convert(small_checkpoint, num_classes=400, exclude=[LOGITS], input_shape=SMALL_SHAPE)
    fresh = slim_variables(model)[f"{LOGITS}/weights"].numpy()
    assert fresh.shape == (1, 1, 256, 400)
    # slim: truncated normal of deviation sqrt(1.3 * 2 / fan_in), cut at two deviations, which leaves 0.8796 of it.
    deviation = np.sqrt(2.6 / 256)
    assert np.std(fresh) == pytest.approx(0.8796 * deviation, rel=0.02)
    assert np.max(np.abs(fresh)) <= 2 * deviation
    np.testing.assert_array_equal(slim_variables(model)[f"{LOGITS}/biases"].numpy(), np.zeros(400))


def test_ema_shadows_become_the_weights(tmp_path: Path) -> None:
    """With ``use_ema`` the model has the averages, without it the raw values."""
    raw = small_values()
    shadows = {ema_name(name): array + 1.0 for name, array in raw.items()}
    path = write_checkpoint(tmp_path / "model.ckpt", {**raw, **shadows})
    for use_ema, shift in ((True, 1.0), (False, 0.0)):
        model = slim2keras.convert(path, use_ema=use_ema, input_shape=SMALL_SHAPE)
        for name, variable in slim_variables(model).items():
            np.testing.assert_array_equal(variable.numpy(), raw[name] + np.float32(shift))


def test_nan_weights_are_refused_by_name_unless_allowed(tmp_path: Path) -> None:
    """A diverged network is not converted without a word."""
    values = small_values()
    poisoned = f"{SMALL_NET}/block1/unit_1/bottleneck_v1/conv1/weights"
    values[poisoned].flat[3] = np.nan
    path = write_checkpoint(tmp_path / "model.ckpt", values)
    with pytest.raises(NonFiniteError, match=f"1 of 267 variables .*\n  {poisoned}\n"):
        slim2keras.convert(path, input_shape=SMALL_SHAPE)
    model = slim2keras.convert(path, allow_nonfinite=True, input_shape=SMALL_SHAPE)
    assert np.isnan(slim_variables(model)[poisoned].numpy().flat[3])


def test_the_extra_variables_of_published_checkpoints_are_accounted_for(tmp_path: Path) -> None:
    """``resnet_v1_50.ckpt`` and ``vgg_16.ckpt`` hold the mean colour and the step besides the weights."""
    extra = {f"{SMALL_NET}/mean_rgb": np.ones(3, "float32"), "global_step": np.int64(1)}
    path = write_checkpoint(tmp_path / "resnet_v1_50.ckpt", {**small_values(), **extra}, "V1")
    assert slim2keras.convert(path, input_shape=SMALL_SHAPE).output_shape == (None, 7)


def test_the_ranges_of_quantization_aware_training_are_left_out(tmp_path: Path) -> None:
    """A checkpoint that was trained for quantization converts like any other."""
    values = values_of(NetSpec.make("mobilenet_v1_025", None, {"num_classes": 3}).trace().variables())
    ranges = {
        f"MobilenetV1/Conv2d_0/{name}": np.float32(6.0)
        for name in ("weights_quant/min", "weights_quant/max", "act_quant/min", "act_quant/min/biased")
    }
    model = slim2keras.convert(write_checkpoint(tmp_path / "model.ckpt", {**values, **ranges}))
    assert set(slim_variables(model)) == set(values)


def test_missing_and_extra_variables_are_listed(tmp_path: Path) -> None:
    """The error of a conversion names the variable that is gone and the one that nobody asked for."""
    values = small_values()
    gone = f"{SMALL_NET}/block2/unit_1/bottleneck_v1/conv3/BatchNorm/moving_mean"
    del values[gone]
    path = write_checkpoint(tmp_path / "model.ckpt", {**values, "head/weights": np.ones(3, "float32")})
    with pytest.raises(CheckpointMismatchError, match=rf"- {gone}(.|\n)*\+ head/weights"):
        slim2keras.convert(path)


def test_another_class_count_is_refused_unless_excluded(small_checkpoint: Path) -> None:
    """The message says what to exclude."""
    with pytest.raises(CheckpointMismatchError, match=rf"~ {LOGITS}/weights(.|\n)*--exclude {LOGITS}"):
        slim2keras.convert(small_checkpoint, num_classes=3)


def own_model(scope: str = "net", classes: int = 5) -> Any:
    """A model of somebody's own, its layers named after slim scopes, one of them in a model within it."""
    import tf_keras

    inputs = tf_keras.Input((4, 4, 8))
    x = tf_keras.layers.Conv2D(8, 3, use_bias=False, name=f"{scope}/conv")(inputs)
    x = tf_keras.layers.BatchNormalization(scale=False, name=f"{scope}/conv/BatchNorm")(x)
    body = tf_keras.Model(inputs, tf_keras.layers.Flatten()(x), name="body")
    images = tf_keras.Input((4, 4, 8))
    return tf_keras.Model(images, tf_keras.layers.Dense(classes, name=f"{scope}/logits")(body(images)))


def own_values(model: Any) -> dict[str, np.ndarray]:
    return {name: value(name, tuple(item.shape)) for name, item in slim_variables(model).items()}


def test_a_model_of_ones_own_gets_the_values_of_a_checkpoint(tmp_path: Path) -> None:
    """Bit for bit, models within it too; slots and counters are left out and accounted for."""
    model = own_model()
    values = own_values(model)
    extra = {"net/conv/weights/Momentum": values["net/conv/weights"], "global_step": np.int64(7)}
    loaded = slim2keras.load_checkpoint(model, write_checkpoint(tmp_path / "model.ckpt-7", {**values, **extra}))
    for name, variable in slim_variables(model).items():
        np.testing.assert_array_equal(variable, values[name], err_msg=name)
    assert loaded.unused == {"net/conv/weights/Momentum": "optimizer slot", "global_step": "step counter"}
    assert repr(loaded) == f"<LoadPlan: {len(values)} loaded, 2 left out>"
    assert "Not loaded: 1 step counter, 1 optimizer slot" in str(loaded)


def test_a_model_of_ones_own_is_as_strict_and_changes_only_if_all_fits(tmp_path: Path) -> None:
    """What is missing, surplus or of another shape is listed; what is excluded keeps the values of the model."""
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", own_values(own_model(classes=9)))
    model = own_model()
    before = {name: variable.numpy() for name, variable in slim_variables(model).items()}
    with pytest.raises(CheckpointMismatchError, match="~ net/logits/weights"):
        slim2keras.load_checkpoint(model, checkpoint)
    for name, variable in slim_variables(model).items():
        np.testing.assert_array_equal(variable, before[name], err_msg=name)
    loaded = slim2keras.load_checkpoint(model, checkpoint, exclude=["net/logits"])
    assert loaded.fresh == ["net/logits/weights", "net/logits/biases"]
    np.testing.assert_array_equal(slim_variables(model)["net/logits/weights"], before["net/logits/weights"])
    with pytest.raises(CheckpointMismatchError, match="- other/conv/weights"):
        slim2keras.load_checkpoint(own_model("other"), checkpoint)
    with pytest.raises(UnsupportedArgumentError, match="whose layers it can see"):
        slim2keras.load_checkpoint(None, checkpoint)


def test_a_model_of_ones_own_is_not_given_a_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that is written while it is read is refused before anything is assigned."""
    model = own_model()
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", own_values(model))
    before = slim_variables(model)["net/conv/weights"].numpy()
    monkeypatch.setattr(loading, "check_plan", lambda *_, **__: os.utime(f"{checkpoint}.index", ns=(0, 0)))
    with pytest.raises(CheckpointReadError, match=r"model\.ckpt\.index changed while it was read"):
        slim2keras.load_checkpoint(model, checkpoint)
    np.testing.assert_array_equal(slim_variables(model)["net/conv/weights"], before)


def test_a_model_of_ones_own_is_not_given_half_of_a_damaged_checkpoint(tmp_path: Path) -> None:
    """NaN is refused before anything is assigned."""
    model = own_model()
    values = own_values(model)
    values["net/logits/biases"][0] = np.nan
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values)
    before = slim_variables(model)["net/conv/weights"].numpy()
    with pytest.raises(NonFiniteError, match="net/logits/biases"):
        slim2keras.load_checkpoint(model, checkpoint)
    np.testing.assert_array_equal(slim_variables(model)["net/conv/weights"], before)
    slim2keras.load_checkpoint(model, checkpoint, allow_nonfinite=True)
