"""Files of tf_keras that are no copy of a checkpoint: folded networks, and what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import LARGEST_DIFFERENCE, noise, relative_difference
from slim2keras.deployment.subject import outputs_of
from slim2keras.errors import ExitStatus, ParityError
from slim2keras.models import folding
from slim2keras.models.building import build_model
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from tests.cli.running import fails, ok
from tests.reference import assign_values, values_of
from tests.trainer.runs import tiny_network, write_images, write_network

FOLDED = DeploymentOptions(fold_batch_norm=True)
FORMATS = ("tiny.keras", "tiny.h5", "tiny.weights.h5", "tiny")


@pytest.fixture(scope="module")
def tiny() -> tf_keras.Model:
    model = build_model(tiny_network())
    assign_values(model, values_of(network_of(model).graph.variables()))
    return model


def difference(model: tf_keras.Model, other: tf_keras.Model) -> float:
    images = noise(network_of(model))
    return max(map(relative_difference, outputs_of(other, images), outputs_of(model, images)))


@pytest.mark.parametrize("name", FORMATS)
def test_a_folded_file_is_one_of_the_network(tmp_path: Path, tiny: tf_keras.Model, name: str) -> None:
    """It is loaded with its network, which says that it is folded, and its outputs are those of the unfolded model."""
    report = slim2keras.deploy(tiny, tmp_path / name, FOLDED)
    assert report.proof.largest_difference <= LARGEST_DIFFERENCE
    loaded = slim2keras.load_model(tmp_path / name)
    assert difference(tiny, loaded) <= LARGEST_DIFFERENCE
    assert "tiny/conv/BatchNorm" not in [layer.name for layer in loaded.layers]
    network = network_of(loaded)
    assert (network.name, network.preprocessing, network.num_classes) == ("tiny", "inception", 5)
    assert network.is_folded


def test_stock_tf_keras_loads_a_folded_file(tmp_path: Path, tiny: tf_keras.Model) -> None:
    """It has stock layers only."""
    slim2keras.deploy(tiny, tmp_path / "tiny.keras", FOLDED)
    assert difference(tiny, tf_keras.models.load_model(tmp_path / "tiny.keras", compile=False)) <= LARGEST_DIFFERENCE


def test_the_report_says_what_was_folded_and_what_stays(tmp_path: Path, tiny: tf_keras.Model) -> None:
    """Layer by layer in JSON, and in numbers for people."""
    report = slim2keras.deploy(tiny, tmp_path / "tiny.keras", FOLDED)
    assert "1 BatchNorm layer folded, 0 stay" in str(report)
    written = json.loads((tmp_path / "tiny.keras.json").read_text())
    assert written["folding"] == {
        "folded": {"tiny/conv": "tiny/conv/BatchNorm"},
        "kept": {},
        "lost_end_points": [],
    }
    assert written["is_folded"]


def test_a_folded_file_is_evaluated_and_predicts_as_its_network_does(tmp_path: Path, tiny: tf_keras.Model) -> None:
    """Its images are prepared as the network's are."""
    data, file = write_images(tmp_path / "images", 2), tmp_path / "folded.keras"
    (data / "labels.txt").write_text("0:daisy\n1:rose\n2:tulip\n3:lily\n4:iris\n")
    slim2keras.deploy(tiny, file, FOLDED)
    slim2keras.deploy(tiny, tmp_path / "unfolded.keras")
    wanted = slim2keras.evaluate(tmp_path / "unfolded.keras", data)
    assert slim2keras.evaluate(file, data).accuracy == wanted.accuracy
    assert "tulip" in str(slim2keras.predict(file, data / "tulip", labels_file=data / "labels.txt"))


def test_a_fold_that_is_wrong_leaves_no_file(
    tmp_path: Path, tiny: tf_keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is the model from before: the folded one agrees with its own file whatever it computes."""
    right: Callable[[Any], tuple[Any, Any]] = folding._scale_and_shift
    monkeypatch.setattr(folding, "_scale_and_shift", lambda layer: (right(layer)[0] * 1.001, right(layer)[1]))
    with pytest.raises(ParityError, match=r"differs from the model by .*without fold_batch_norm"):
        slim2keras.deploy(tiny, tmp_path / "tiny.keras", FOLDED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_of_a_model_that_trains_the_network_alone_goes(tmp_path: Path, tiny: tf_keras.Model, name: str) -> None:
    """Shadows and the training step stay behind, so that a file loads without slim2keras."""
    tuned = slim2keras.finetune(tiny, batch_norm="frozen", ema_decay=0.9)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    slim2keras.deploy(tuned, tmp_path / name)
    loaded = slim2keras.load_model(tmp_path / name)
    assert type(loaded) is not type(tuned)
    values = {name: item.numpy() for name, item in slim_variables(tiny).items()}
    assert all(np.array_equal(item, values[name]) for name, item in slim_variables(loaded).items())


def test_the_command_folds(tmp_path: Path) -> None:
    """And refuses what needs BatchNorm of what it wrote, with what to take in its place."""
    model, output = write_network(tmp_path / "tiny.keras"), tmp_path / "folded.keras"
    text = ok("convert", model, "-o", output, "--fold-batch-norm")
    assert "1 BatchNorm layer folded, 0 stay" in text
    assert "tiny, its BatchNorm folded" in " ".join(ok("inspect", output).split())
    refused = "is folded.*Take the model, or the checkpoint"
    fails(ExitStatus.USAGE, f"{output} {refused}", "export", output, "-o", tmp_path / "back.ckpt")
    repaired = ("recalibrate", output, "--data", tmp_path, "-o", tmp_path / "b.keras")
    fails(ExitStatus.USAGE, f"{output} {refused}", *repaired)
    fails(ExitStatus.USAGE, "is folded already", "convert", output, "-o", tmp_path / "a.keras", "--fold-batch-norm")
    fails(ExitStatus.USAGE, refused, "convert", output, "-o", tmp_path / "b.keras", "--image-size", "64")
