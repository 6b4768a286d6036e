"""ONNX files: onnxruntime computes what the model does, and what the network wants of its images stands within."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from tests.deployment.models import small_model, write_labels


def test_onnxruntime_computes_what_the_model_does(tmp_path: Path) -> None:
    """Within 1e-5, of any number of images, by a file with names that people would choose."""
    import onnxruntime

    model, labels = small_model(), write_labels(tmp_path / "labels.txt")
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
