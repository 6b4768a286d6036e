"""TFLite files of a network a family."""

from __future__ import annotations

from pathlib import Path

import pytest

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from tests.deployment.models import small_model
from tests.evaluation.classifying import write_classes
from tests.parity.cases import QUICK, SHAPES

pytestmark = pytest.mark.slow

OF_PHONES = tuple(net for net in QUICK if net.startswith("mobilenet"))


@pytest.mark.parametrize("net", QUICK)
def test_litert_computes_what_a_network_does(net: str, tmp_path: Path) -> None:
    """Within 1e-5, which writing the file itself checks, with operators of TFLite alone."""
    report = slim2keras.deploy(small_model(net, SHAPES[net]), tmp_path / "net.tflite")
    assert report.proof.largest_difference <= 1e-5
    assert report.proof.agreement == 1
    assert "CUSTOM" not in report.facts["tflite"]["operators"]


@pytest.mark.parametrize("net", OF_PHONES)
def test_a_mobilenet_computes_in_integers(net: str, tmp_path: Path) -> None:
    """All of it in int8, in less than half of the bytes of its weights."""
    model = small_model(net, SHAPES[net])
    options = DeploymentOptions(quantize="int8", data=write_classes(tmp_path / "images", 4))
    report = slim2keras.deploy(model, tmp_path / "net.tflite", options)
    assert report.facts["tflite"]["float_operators"] == {}
    assert report.output["bytes"] < 2 * model.count_params()
