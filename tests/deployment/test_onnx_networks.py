"""ONNX files of a network a family, and of networks that are in no zoo."""

from __future__ import annotations

from pathlib import Path

import pytest

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from tests.deployment.models import small_model
from tests.importing.foreign_networks import NETWORKS
from tests.importing.writing_graphs import write_graph
from tests.parity.cases import QUICK, SHAPES

pytestmark = pytest.mark.slow

OF_IMAGES = [name for name, network in NETWORKS.items() if len(network.shapes) == 1 and name != "baked_batch"]
"""Of one input, and any number of images: the one with a batch in its constants takes no other."""


@pytest.mark.parametrize("net", QUICK)
def test_onnxruntime_computes_what_a_network_does(net: str, tmp_path: Path) -> None:
    """Within 1e-5, which writing the file itself checks, every output by its name."""
    report = slim2keras.deploy(small_model(net, SHAPES[net]), tmp_path / "net.onnx")
    assert report.proof.largest_difference <= 1e-5
    assert report.proof.agreement == 1
    outputs = report.facts["onnx"]["outputs"]
    assert [*outputs] in (["logits"], ["logits", "AuxLogits"])
    assert outputs["logits"][0] == "batch"


@pytest.mark.parametrize("name", OF_IMAGES)
def test_an_imported_network_goes_to_onnxruntime_and_is_served(name: str, tmp_path: Path) -> None:
    """Whatever spelling its graph has."""
    written = write_graph(NETWORKS[name], "training", tmp_path)
    names = {"input_tensors": written.input_tensors, "output_tensors": written.output_tensors}
    model = slim2keras.convert(written.path, graph=written.meta, **names)
    for file, options in (("net.onnx", DeploymentOptions()), ("served", DeploymentOptions(signature="raw"))):
        assert slim2keras.deploy(model, tmp_path / file, options).proof.largest_difference <= 1e-5
