"""Each door that values come in by says of unusual ones what they are, and lets no answer pass that is none."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.cli.console import import_tensorflow
from slim2keras.doctor.findings import Finding
from slim2keras.errors import DataReadError, ExitStatus, NonFiniteError, NonFiniteLossError, TrainingDataError
from slim2keras.evaluation.scores import score_images
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.training import train
from slim2keras.training.model import FineTunedModel
from slim2keras.training.state import state_variables
from tests.cli.running import SHAPE, Result, fails
from tests.numbers.conditions import LEAVES, in_variable
from tests.numbers.steps import network
from tests.reference import assign_values, images, labels, small_values, values_of, write_checkpoint
from tests.trainer import runs
from tests.training.tuned import tuned_model

X, Y = images(0, (4, 16, 16, 3)), labels(1, 3, 4)


def model_with(leaf: str = "", number: float = 0.0) -> Any:
    """The small network, with a number in one of its variables."""
    values: Any = values_of(network(16).graph.variables())
    model = build_model(network(16))
    assign_values(model, dict(in_variable(leaf, number)(values, X)[0] if leaf else values))
    return model


@pytest.mark.parametrize(
    ("leaf", "number", "message"),
    [
        ("kernel", np.nan, "net has 1 variable with NaN or infinite values, first net/conv/weights"),
        ("moving mean", np.inf, "first net/conv/BatchNorm/moving_mean.*slim2keras recalibrate"),
        ("moving variance", -1.0, "net has 1 BatchNorm layer with a negative variance, .*first net/conv/BatchNorm"),
    ],
)
def test_no_accuracy_is_told_of_a_network_that_has_none(leaf: str, number: float, message: str) -> None:
    """Compiled, TensorFlow's fused ReLU makes zeros of NaN, and what comes out looks like logits."""
    with pytest.raises(NonFiniteError, match=message):
        score_images(model_with(leaf, number), [(X, Y)])


def test_images_that_are_no_numbers_get_no_class(tmp_path: Path) -> None:
    """Nor do they in a file: the first one is named."""
    broken = X.copy()
    broken[2, 5, 5, 0] = np.nan
    with pytest.raises(NonFiniteError, match="NaN or infinity for image 2 and 0 others"):
        score_images(model_with(), [(broken, Y)])
    np.savez(tmp_path / "data.npz", images=broken, labels=Y)
    with pytest.raises(DataReadError, match=r"data\.npz has 1 image with NaN or infinite values, first number 2"):
        slim2keras.evaluate(model_with(), tmp_path / "data.npz")


def test_weights_are_not_recalibrated() -> None:
    """Statistics that are NaN are what recalibration is for; of a gamma nothing can be made."""
    model = model_with("gamma", np.nan)
    with pytest.raises(NonFiniteError, match="besides its moving statistics, first net/conv/BatchNorm/gamma"):
        slim2keras.recalibrate(model, [X, X])
    model = model_with("moving mean", np.nan)
    slim2keras.recalibrate(model, [X, X])
    assert all(np.isfinite(variable.numpy()).all() for variable in slim_variables(model).values())


@pytest.mark.parametrize(
    ("leaf", "number", "verdict"),
    [
        ("kernel", np.nan, "diverged: 1 variable besides the statistics with NaN or infinite values, first net/conv/w"),
        ("gamma", np.inf, "diverged: 1 variable besides the statistics with NaN or infinite values, first net/conv/B"),
        (
            "moving variance",
            1e38,
            "1 of 1 layers was exploding: .*first net/conv/BatchNorm .1 of 4 channels, up to 1e.38",
        ),
    ],
)
def test_the_doctor_sees_what_is_no_number(tmp_path: Path, leaf: str, number: float, verdict: str) -> None:
    """In a checkpoint of anybody's network; the exit code is that of a sick one."""
    values: Any = values_of(network(16).graph.variables())
    path = write_checkpoint(tmp_path / "model.ckpt", dict(in_variable(leaf, number)(values, X)[0]))
    diagnosis = slim2keras.diagnose(path)
    assert not diagnosis.is_healthy
    assert re.match(verdict, diagnosis.verdicts[0]), diagnosis.verdicts[0]
    assert bool(diagnosis.with_finding(Finding.EXPLODING)) is (leaf == "moving variance")
    result = Result("doctor", path, "--json")
    assert result.status == 4
    assert len(json.loads(result.out)["nonfinite_weights"]) == (leaf != "moving variance")


def test_statistics_alone_are_advised_to_be_recalibrated(tmp_path: Path) -> None:
    """An earlier checkpoint is the advice for weights."""
    for name, advice in (("moving_mean", "recalibrate"), ("gamma", "use an earlier checkpoint")):
        values = small_values()
        values[f"resnet_v1_50/conv1/BatchNorm/{name}"][0] = np.nan
        path = write_checkpoint(tmp_path / f"{name}.ckpt", values)
        fails(ExitStatus.MISMATCH, advice, "convert", path, "-o", tmp_path / "out.keras", "--input-shape", SHAPE)


def test_images_that_a_relu_would_hide_are_seen_in_training() -> None:
    """As it hides them: what does not learn has no gradient that would tell."""
    import tensorflow as tf
    import tf_keras

    inputs = tf_keras.Input((16, 16, 3))
    hidden = tf_keras.layers.Lambda(lambda x: tf.where(tf.math.is_finite(x), x, 0.0))(inputs)
    logits = tf_keras.layers.Dense(5, name="logits")(tf_keras.layers.GlobalAveragePooling2D()(hidden))
    tuned = tuned_model(tf_keras.Model(inputs, logits), train_only=["logits"])
    broken = X.copy()
    broken[0, 0, 0, 0] = np.inf
    with pytest.raises(NonFiniteLossError, match="the loss is finite, but images of the batch are NaN or infinite"):
        tuned.train_on_batch(broken, Y)
    tuned.train_on_batch(X, Y)


def test_a_variance_without_a_root_is_named_in_training() -> None:
    """Where it is used: with the statistics of the batch it moves on."""
    tuned = tuned_model(model_with("moving variance", -1.0), batch_norm="frozen")
    message = "a variance is negative in 1 frozen BatchNorm layer, the first net/conv/BatchNorm.*Recalibrate the stat"
    with pytest.raises(NonFiniteLossError, match=message):
        tuned.train_on_batch(X, Y)
    tuned_model(model_with("moving variance", -1.0)).train_on_batch(X, Y)


def test_squares_beyond_float32_are_told() -> None:
    """What the layer gets is finite, and its variance is not."""
    broken = X.copy()
    broken[0, 2, 3, 1] = 1e38
    with pytest.raises(NonFiniteLossError, match="what the layer gets is finite, but its squares are beyond float32"):
        tuned_model(model_with()).train_on_batch(broken, Y)


def test_slots_that_are_no_numbers_are_not_resumed(tmp_path: Path) -> None:
    """The next step would carry them into the weights, with a loss and gradients that are finite."""
    tuned = tuned_model(model_with())
    tuned.train_on_batch(X, Y)
    values = {name: item.numpy() for name, item in state_variables(tuned).items()}
    slot = f"{LEAVES['kernel']}/Momentum"
    values[slot].flat[0] = np.nan
    path = write_checkpoint(tmp_path / "model.ckpt-1", values)
    with pytest.raises(NonFiniteError, match=f"1 slot or shadow variable with NaN or infinite values, first {slot}"):
        tuned_model(model_with(), resume_from=path)


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
def test_a_state_that_is_no_number_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients were finite, their step was not: the last good state stays, and no model is written."""
    apply = FineTunedModel._apply

    def overflows(self: Any, gradients: Any) -> None:
        apply(self, gradients)
        biases = slim_variables(self)["tiny/logits/biases"]
        biases.assign(np.full(biases.shape, np.inf, "float32"))

    monkeypatch.setattr(FineTunedModel, "_apply", overflows)
    with pytest.raises(NonFiniteLossError, match="Step 1 made 1 variable NaN or infinite, first tiny/logits/biases"):
        train(runs.request(tmp_path, save_steps=1))
    values, state = runs.last_values(tmp_path / "run")
    assert state.step == 0
    assert all(np.isfinite(value).all() for value in values.values())
    assert not RunLayout(tmp_path / "run").model.exists()


def test_errors_of_training_have_exit_codes_of_their_own() -> None:
    """1 is left to full disks and to defects."""
    assert NonFiniteLossError.exit_status is ExitStatus.MISMATCH
    assert TrainingDataError.exit_status is ExitStatus.UNREADABLE


def test_what_a_command_leaves_is_collected_by_the_next() -> None:
    """Only what is there before the first command stays out of garbage collection."""
    import_tensorflow()
    before = gc.get_freeze_count()
    kept = [[number] for number in range(1000)]
    import_tensorflow()
    assert gc.get_freeze_count() <= before
    assert kept
