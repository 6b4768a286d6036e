"""TFLite files of a network a family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.errors import UnsupportedGraphError
from tests.evaluation.classifying import write_classes
from tests.parity.cases import QUICK, SHAPES
from tests.reference import assign_values, values_of

pytestmark = pytest.mark.slow

OF_VIDEOS = ("s3dg",)
OF_PHONES = tuple(net for net in QUICK if net.startswith("mobilenet"))


def built(net: str) -> Any:
    model = slim2keras.build(net, num_classes=5, input_shape=SHAPES[net])
    assign_values(model, values_of(model.slim_network.graph.variables()))
    return model


@pytest.mark.parametrize("net", [net for net in QUICK if net not in OF_VIDEOS])
def test_litert_computes_what_a_network_does(net: str, tmp_path: Path) -> None:
    """Within 1e-5, which writing the file itself checks, with operators of TFLite alone."""
    report = slim2keras.deploy(built(net), tmp_path / "net.tflite")
    assert report.proof.largest_difference <= 1e-5
    assert report.proof.agreement == 1
    assert "CUSTOM" not in report.facts["tflite"]["operators"]


@pytest.mark.parametrize("net", OF_PHONES)
def test_a_mobilenet_computes_in_integers(net: str, tmp_path: Path) -> None:
    """All of it in int8, in less than a third of the bytes."""
    images = write_classes(tmp_path / "images", 4)
    report = slim2keras.deploy(built(net), tmp_path / "net.tflite", DeploymentOptions(quantize="int8", data=images))
    assert report.facts["tflite"]["float_operators"] == {}
    assert report.proof.agreement is not None


@pytest.mark.parametrize("net", OF_VIDEOS)
def test_networks_of_videos_are_refused(net: str, tmp_path: Path) -> None:
    """TFLite has no pooling over frames, and says where the network has it."""
    with pytest.raises(UnsupportedGraphError, match="MaxPool3D, of InceptionV1/MaxPool_"):
        slim2keras.deploy(built(net), tmp_path / "net.tflite")
