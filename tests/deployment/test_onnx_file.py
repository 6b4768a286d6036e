"""ONNX files: onnxruntime computes what the model does, and what the network wants of its images stands within."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from tests.reference import assign_values, values_of


@pytest.fixture(scope="module")
def model() -> Any:
    found = slim2keras.build("mobilenet_v1_025", num_classes=5, input_shape=(64, 64, 3))
    assign_values(found, values_of(found.slim_network.graph.variables()))
    return found


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("0:daisy\n1:rose\n2:tulip\n3:Löwenzahn\n4:sunflower\n", encoding="utf-8")
    return path


def test_onnxruntime_computes_what_the_model_does(tmp_path: Path, model: Any, labels: Path) -> None:
    """Within 1e-5, of any number of images, by a file with names that people would choose."""
    import onnxruntime

    report = slim2keras.deploy(model, tmp_path / "m.onnx", DeploymentOptions(labels=labels, opset=16))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    images = np.random.RandomState(1).uniform(-1, 1, (3, 64, 64, 3)).astype("float32")
    (logits,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(logits, model(images), atol=1e-5 * max(1.0, np.abs(logits).max()))
    assert np.abs(logits).max() > 0.1
    assert report.proof.largest_difference < 1e-5
    assert session.get_inputs()[0].shape == ["batch", 64, 64, 3]
    facts = json.loads((tmp_path / "m.onnx.json").read_text())["onnx"]
    assert facts["opset"] == 16
    assert facts["outputs"] == {"logits": ["batch", 5]}
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["images"]) == report.images
    assert json.loads(properties["class_names"])[3] == "Löwenzahn"
    assert properties["pipeline"] == "inception"
