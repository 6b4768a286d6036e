"""A folded network goes every way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import LARGEST_DIFFERENCE
from tests.deployment.models import small_model

pytestmark = pytest.mark.slow

WAYS: dict[str, dict[str, Any]] = {
    "m.keras": {"keras": 3},
    "m.tflite": {},
    "m.onnx": {},
    "m": {"signature": "images"},
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("net", ["mobilenet_v1_025", "resnet_v2_50"])
def test_its_runtime_computes_what_the_unfolded_model_does(tmp_path: Path, name: str, net: str) -> None:
    """Where all of its BatchNorm goes, and where some of it stays."""
    report = slim2keras.deploy(small_model(net), tmp_path / name, DeploymentOptions(fold_batch_norm=True, **WAYS[name]))
    assert report.proof.largest_difference <= LARGEST_DIFFERENCE
    assert report.proof.agreement == 1.0
    assert report.facts["folding"]["folded"]
