"""A network of several inputs, shared layers and a checkpoint's own names goes all the way too."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import CheckpointMismatchError, NonFiniteLossError, UnsafeModelError
from slim2keras.models.networks import knows_network, network_of
from slim2keras.models.precision import in_float32
from slim2keras.models.variables import slim_variables
from tests.reference import images, values_of, write_checkpoint
from tests.towers_network import CLASSES, ORIGIN, SHAPE, VARIABLES, towers_network

PAIR = [images(0, (4, *SHAPE)), images(1, (4, *SHAPE))]
LABELS = np.arange(4) % CLASSES
DECAY = 0.05


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "towers.ckpt-7", values_of(VARIABLES))


def reference(values: dict[str, np.ndarray], pair: list[np.ndarray]) -> np.ndarray:
    """The network by TensorFlow's own functions, in inference."""
    import tensorflow as tf

    def tower(x: Any) -> Any:
        x = tf.nn.conv2d(x, values["CNN1/conv_W"], 1, "SAME") + values["CNN1/conv_b"]
        mean, variance = values["tower/bn/moving_mean"], values["tower/bn/moving_variance"]
        x = tf.nn.batch_normalization(x, mean, variance, values["tower/bn/beta"], values["unet/scale_3"], 0.001)
        return tf.where(x > 0, x, x * values["tower/prelu/alpha"])

    x = tf.reduce_mean(tf.abs(tower(pair[0]) - tower(pair[1])), (1, 2)) * values["unet/Variable_3"] * 0.5
    return (x @ values["head/weights"] + values["head/biases"]).numpy()


def read(prefix: Path) -> dict[str, np.ndarray]:
    with open_checkpoint(prefix) as opened:
        return {name: opened[name] for name in opened.variables}


def trained(checkpoint: Path, **options: Any) -> Any:
    model = slim2keras.convert(checkpoint, network=towers_network())
    tuned = slim2keras.finetune(model, batch_norm="update", **options)
    tuned.compile(slim2keras.optimizers.Momentum(0.1, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    tuned.fit(PAIR, LABELS, batch_size=4, shuffle=False, verbose=0)
    return tuned


def test_it_computes_what_its_checkpoint_says(checkpoint: Path) -> None:
    """Every value is loaded under the checkpoint's name, and both towers compute with it."""
    model = slim2keras.convert(checkpoint, network=towers_network())
    np.testing.assert_allclose(model(PAIR).numpy(), reference(values_of(VARIABLES), PAIR), rtol=1e-5, atol=1e-6)
    assert {*slim_variables(model)} == {variable.name for variable in VARIABLES}
    assert slim2keras.end_points(model)["distance"].shape == (None, *SHAPE[:-1], 4)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_its_checkpoint_comes_back_bit_for_bit(checkpoint: Path, tmp_path: Path, version: str) -> None:
    """Under the checkpoint's names and in its shapes, from the model and from one made of its layers."""
    import tf_keras

    model = slim2keras.convert(checkpoint, network=towers_network())
    other = tf_keras.Model(model.input, tf_keras.layers.ReLU(name="more")(model.output))
    nested = tf_keras.Model(model.input, model(model.input))
    for number, exported in enumerate((model, other, nested, in_float32(model))):
        slim2keras.export_checkpoint(exported, tmp_path / f"back.ckpt-{number}", version=version)
        back, values = read(tmp_path / f"back.ckpt-{number}"), values_of(VARIABLES)
        assert back.keys() == values.keys()
        for name, value in values.items():
            assert back[name].shape == value.shape
            assert back[name].tobytes() == value.tobytes()


@pytest.mark.parametrize("name", ["towers.keras", "towers.h5", "towers.weights.h5", "towers"])
def test_a_file_of_it_is_loaded_with_its_network(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """Names, origin and shared layers are known again, and the numbers are the same."""
    report = convert_to_file(checkpoint, tmp_path / name, CheckpointRequest(network=towers_network()))
    assert report.largest_difference == 0.0
    loaded = slim2keras.load_model(tmp_path / name)
    assert knows_network(loaded)
    network = network_of(loaded)
    assert json.dumps(network.to_config()) == json.dumps(towers_network().to_config())
    assert network.origin == ORIGIN
    assert {*slim_variables(loaded)} == {variable.name for variable in VARIABLES}
    expected = slim2keras.convert(checkpoint, network=towers_network())
    np.testing.assert_array_equal(loaded(PAIR).numpy(), expected(PAIR).numpy())
    for name_there, tensor in slim2keras.end_points(loaded).items():
        assert tensor.shape == slim2keras.end_points(expected)[name_there].shape


def test_fine_tuned_it_is_exported_with_its_slots(checkpoint: Path, tmp_path: Path) -> None:
    """Momentum and shadows lie below the checkpoint's names in its shapes, and training goes on from them."""
    tuned = trained(checkpoint, decay=DECAY, ema_decay=0.5)
    slim2keras.export_checkpoint(tuned, tmp_path / "tuned.ckpt-1")
    state = read(tmp_path / "tuned.ckpt-1")
    learning = [variable for variable in VARIABLES if variable.trainable]
    for variable in learning:
        assert state[variable.name].shape == variable.shape
        assert state[f"{variable.name}/Momentum"].shape == variable.shape
        assert np.any(state[f"{variable.name}/Momentum"]), variable.name
        assert state[f"{variable.name}/ExponentialMovingAverage"].shape == variable.shape
    again = slim2keras.finetune(
        slim2keras.convert(checkpoint, network=towers_network()),
        batch_norm="update",
        decay=DECAY,
        ema_decay=0.5,
        resume_from=tmp_path / "tuned.ckpt-1",
    )
    again.compile(slim2keras.optimizers.Momentum(0.1, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    for model in (tuned, again):
        model.fit(PAIR, LABELS, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_array_equal(tuned(PAIR).numpy(), again(PAIR).numpy())


def test_a_fine_tuned_file_keeps_the_names(checkpoint: Path, tmp_path: Path) -> None:
    """Without any report beside it, slots too; so does a model with a head of one's own."""
    import tf_keras

    tuned = trained(checkpoint, decay=DECAY)
    tuned.save(tmp_path / "tuned.keras")
    loaded = slim2keras.load_model(tmp_path / "tuned.keras", with_optimizer=True)
    assert network_of(loaded).decays == {"tower/bn": DECAY}
    for model, prefix in ((tuned, "tuned.ckpt-1"), (loaded, "loaded.ckpt-1")):
        slim2keras.export_checkpoint(model, tmp_path / prefix)
    theirs, ours = read(tmp_path / "tuned.ckpt-1"), read(tmp_path / "loaded.ckpt-1")
    assert theirs.keys() == ours.keys() >= {"CNN1/conv_W/Momentum", "tower/prelu/alpha/Momentum"}
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value)
    model = slim2keras.convert(checkpoint, network=towers_network())
    headed = tf_keras.Model(model.input, tf_keras.layers.Dense(2, name="new")(model.output))
    slim2keras.finetune(headed, batch_norm="frozen").save(tmp_path / "headed.keras")
    found = slim_variables(slim2keras.load_model(tmp_path / "headed.keras"))
    assert {*found} == {*(variable.name for variable in VARIABLES), "new/weights", "new/biases"}


def test_scopes_are_those_of_the_checkpoint(checkpoint: Path) -> None:
    """What is trained alone, and what starts afresh, is said by the checkpoint's names."""
    model = slim2keras.convert(checkpoint, network=towers_network(), exclude=["unet"])
    assert not np.any(slim_variables(model)["unet/Variable_3"].numpy())
    tuned = slim2keras.finetune(model, batch_norm={"tower/bn": "update"}, train_only=["CNN1", "tower/prelu"])
    learning = {id(variable) for variable in tuned.trainable_variables}
    found = {name for name, variable in slim_variables(tuned).items() if id(variable) in learning}
    assert found == {"CNN1/conv_W", "CNN1/conv_b", "tower/prelu/alpha"}
    plan = slim2keras.load_checkpoint(model, checkpoint)
    assert plan.sources["unet/Variable_3"] == "unet/Variable_3"
    assert np.any(slim_variables(model)["unet/Variable_3"].numpy())


def test_an_op_that_does_more_than_compute_is_refused_in_any_file(checkpoint: Path, tmp_path: Path) -> None:
    """Before anything is made of the file: in the configuration of the model as in the report beside weights."""
    convert_to_file(checkpoint, tmp_path / "towers.keras", CheckpointRequest(network=towers_network()))
    with zipfile.ZipFile(tmp_path / "towers.keras") as source, zipfile.ZipFile(tmp_path / "evil.keras", "w") as evil:
        for name in source.namelist():
            evil.writestr(name, source.read(name).replace(b'"op": "Abs"', b'"op": "ReadFile"'))
    with pytest.raises(UnsafeModelError, match="TensorFlowOp applies 'ReadFile'"):
        slim2keras.load_model(tmp_path / "evil.keras")
    convert_to_file(checkpoint, tmp_path / "towers.weights.h5", CheckpointRequest(network=towers_network()))
    report = tmp_path / "towers.weights.h5.json"
    report.write_text(report.read_text().replace('"op": "Abs"', '"op": "ReadFile"'))
    with pytest.raises(UnsafeModelError, match="TensorFlowOp applies 'ReadFile'"):
        slim2keras.load_model(tmp_path / "towers.weights.h5")


def test_a_step_that_fails_names_the_call(checkpoint: Path) -> None:
    """Of layers that are called twice too: here only what the second tower sees overflows."""
    tuned = trained(checkpoint, decay=DECAY)
    pair = [PAIR[0], PAIR[1] * np.float32(3e38)]
    with pytest.raises(NonFiniteLossError, match="first layer with such an output is tower/conv_1"):
        tuned.fit(pair, LABELS, batch_size=4, verbose=0)


def test_a_checkpoint_of_other_shapes_is_told_by_its_names(tmp_path: Path) -> None:
    """The advice is one that a network which is given can follow."""
    values = values_of(VARIABLES)
    values["CNN1/conv_W"] = values["CNN1/conv_W"][:, :, :1]
    del values["unet/scale_3"]
    checkpoint = write_checkpoint(tmp_path / "grey.ckpt-7", values)
    with pytest.raises(CheckpointMismatchError, match=r"- unet/scale_3[^~]*~ CNN1/conv_W") as caught:
        slim2keras.convert(checkpoint, network=towers_network())
    assert "input_shape" not in str(caught.value)
