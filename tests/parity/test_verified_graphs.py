"""What ``verify`` says of networks whose graph cannot tell everything, or tells it of more than the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compat import v1

import slim2keras
from slim2keras.errors import GraphWarning, UnsupportedGraphError
from slim2keras.importing import judged_graph
from slim2keras.models.networks import network_of
from slim2keras.parity.comparing import _compare
from slim2keras.parity.report import ParityReport
from tests.importing.saved_graphs import image_placeholder, norm_params, save_graph, slim


def regularized() -> None:
    """Two convolutions with weight decay."""
    with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(0.1)):
        slim.conv2d(slim.conv2d(image_placeholder(), 4, 3), 2, 1, activation_fn=None, scope="out")


def half_frozen() -> None:
    """A backbone on moving statistics, and a head that trains."""
    x = slim.conv2d(image_placeholder(), 4, 3, **norm_params(is_training=False), scope="backbone")
    x = slim.conv2d(x, 4, 3, **norm_params(is_training=True), scope="head")
    slim.conv2d(x, 2, 1, activation_fn=None, scope="out")


def for_inference() -> None:
    x = slim.conv2d(image_placeholder(), 4, 3, **norm_params(is_training=False))
    slim.conv2d(x, 2, 1, activation_fn=None, scope="out")


def scaled() -> None:
    """By a placeholder."""
    x = slim.conv2d(image_placeholder(), 4, 3) * v1.placeholder(tf.float32, (), name="scale")
    slim.conv2d(x, 2, 1, activation_fn=None, scope="out")


def half_fixed() -> None:
    """A convolution that does not train, and one that does."""
    x = slim.conv2d(image_placeholder(), 4, 3, trainable=False, scope="fixed")
    slim.conv2d(x, 2, 1, activation_fn=None, scope="out")


def verified(path: Path, **asked: Any) -> ParityReport:
    return slim2keras.verify(path, slim2keras.convert(path, **asked))


def rungs(report: ParityReport) -> set[str]:
    return {comparison.rung for comparison in report.comparisons}


def test_weight_decay_is_that_of_the_part_that_was_imported(tmp_path: Path) -> None:
    """The graph's other losses are none of a network that is cut; its own are judged."""
    path = save_graph(regularized, tmp_path)
    report = verified(path, output_tensors=["Conv/Relu"])
    assert report.passed, report.first_failure
    assert "regularization loss" in rungs(report)
    model = slim2keras.convert(path, output_tensors=["Conv/Relu"])
    model.get_layer("Conv").kernel_regularizer.l2 *= 2
    assert not slim2keras.verify(path, model).passed


def test_what_trains_is_judged_beside_what_is_locked(tmp_path: Path) -> None:
    """In training the backbone normalises with moving statistics in both; of them the report says that they stay."""
    path = save_graph(half_frozen, tmp_path)
    report = verified(path)
    assert report.passed, report.first_failure
    assert rungs(report) >= {"inference", "training", "moving statistics"}
    assert "2 of 4, first backbone/BatchNorm/moving_mean" in report.not_run["moving statistics"]
    model = slim2keras.convert(path)
    model.get_layer("head/BatchNorm").momentum = 0.5
    assert not slim2keras.verify(path, model).passed
    assert model.get_layer("backbone/BatchNorm").trainable


def test_a_rung_that_is_not_run_is_said_with_the_reason(tmp_path: Path) -> None:
    """On the page and for machines."""
    report = verified(save_graph(for_inference, tmp_path))
    assert report.passed
    assert "training" not in rungs(report)
    assert "is for inference" in report.to_json()["not_run"]["training"]
    assert "Not compared, training: the graph is for inference" in str(report)


def test_an_output_that_the_graph_cannot_compute_is_no_parity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the ops that are not run."""
    path = save_graph(regularized, tmp_path)
    model = slim2keras.convert(path)
    monkeypatch.setattr(judged_graph, "_ALLOWED", judged_graph._ALLOWED - {"Relu"})
    with pytest.raises(UnsupportedGraphError, match=r"cannot be judged(.|\n)*Conv/Relu \(Relu\)"):
        slim2keras.verify(path, model)


def test_a_value_of_a_placeholder_goes_by_either_name(tmp_path: Path) -> None:
    """``scale:0`` is ``scale`` to the judge as to the model."""
    path = save_graph(scaled, tmp_path)
    report = verified(path, placeholder_values={"scale:0": 2.0})
    assert report.passed, report.first_failure


def test_a_training_switch_that_the_user_sets_stays_set(tmp_path: Path) -> None:
    """By either name; the switch is not looked for then."""

    def switched() -> None:
        is_training = v1.placeholder(tf.bool, (), name="is_training")
        x = slim.conv2d(image_placeholder(), 4, 3, **norm_params(is_training))
        slim.conv2d(x, 2, 1, activation_fn=None, scope="out")

    path = save_graph(switched, tmp_path)
    switches = [
        network_of(slim2keras.convert(path, placeholder_values={name: False})).origin["training_switch"]  # type: ignore[attr-defined]
        for name in ("is_training:0", "is_training")
    ]
    assert switches == [{}, {}]


def test_a_variable_that_switches_training_is_set_for_the_rung(tmp_path: Path) -> None:
    """Whatever value the checkpoint has of it."""

    def switched() -> None:
        off = v1.constant_initializer(value=False)
        is_training = v1.get_variable("is_training", (), tf.bool, initializer=off, trainable=False)
        x = slim.conv2d(image_placeholder(), 4, 3, **norm_params(is_training))
        slim.conv2d(x * (2.0 - tf.cast(is_training, tf.float32)), 2, 1, activation_fn=None, scope="out")

    path = save_graph(switched, tmp_path)
    assert tf.train.load_checkpoint(str(path)).get_tensor("is_training")
    report = verified(path)
    assert all(item.passed for item in report.comparisons if item.rung == "inference")
    assert {item.name for item in report.comparisons if item.rung == "moving statistics"} == {
        "Conv/BatchNorm/moving_mean",
        "Conv/BatchNorm/moving_variance",
    }


def test_what_the_graph_trains_the_model_trains(tmp_path: Path) -> None:
    """A convolution that is fixed there is fixed here; one that is let learn is a failure of its own rung."""
    path = save_graph(half_fixed, tmp_path)
    model = slim2keras.convert(path)
    report = slim2keras.verify(path, model)
    assert report.passed, report.first_failure
    assert "trainability" in rungs(report)
    model.get_layer("fixed").trainable = True
    failed = slim2keras.verify(path, model)
    assert {(item.rung, item.name) for item in failed.comparisons if not item.passed} == {
        ("trainability", "fixed/weights"),
        ("trainability", "fixed/biases"),
    }
    assert "Trained by the model and not by its own graph, or the reverse: fixed/weights" in str(failed)


def test_nan_on_both_sides_is_said_and_never_an_output() -> None:
    """The numbers beside it are compared; of an output none may be NaN."""
    theirs = np.array([np.nan, 1.0])
    beside = _compare("inference", "inner", np.array([np.nan, 1.0]), theirs)
    assert (beside.passed, beside.num_nan) == (True, 1)
    assert "gives NaN, there nothing can be compared: inner (inference, 1)" in str(ParityReport("net", [beside]))
    assert not _compare("inference", "inner", np.array([np.nan, 1.1]), theirs).passed
    assert not _compare("inference", "inner", np.array([1.0, 1.0]), theirs).passed
    assert not _compare("inference", "output", theirs, theirs, is_output=True).passed


def test_another_graph_than_that_of_the_import_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is found again from elsewhere; a file that has changed since is told by its hash."""
    first, second = tmp_path / "first", tmp_path / "second"
    path = save_graph(regularized, first)
    second.mkdir()
    monkeypatch.chdir(first)
    model = slim2keras.convert(path.name, graph=f"{path.name}.meta")
    monkeypatch.chdir(second)
    assert slim2keras.verify(path, model).passed
    meta = Path(f"{path}.meta")
    meta.write_bytes(meta.read_bytes() + b"\x2a\x00")
    with pytest.warns(GraphWarning, match="not the file that it was imported from"):
        slim2keras.verify(path, model)
