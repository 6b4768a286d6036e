"""ONNX files: onnxruntime computes what the model does, and what the network wants of its images stands within."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.deployment import onnx_file
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.errors import ParityError, UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from tests.deployment.models import small_model, write_labels


def logits_of(file: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    (logits,) = onnxruntime.InferenceSession(file).run(["logits"], {"images": images})
    return logits


def check_same(file: Path, model: Any, *shape: int) -> None:
    images = np.random.RandomState(1).uniform(-1, 1, shape).astype("float32")
    logits = np.asarray(model(images, training=False))
    np.testing.assert_allclose(logits_of(file, images), logits, atol=1e-5 * max(1.0, np.abs(logits).max()))
    assert np.abs(logits).max() > 0.1


def test_onnxruntime_computes_what_the_model_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Within 1e-5, of any number of images, by a file with names that people would choose; tf2onnx says nothing."""
    import onnxruntime

    model, labels = small_model(), write_labels(tmp_path / "labels.txt")
    report = slim2keras.deploy(model, tmp_path / "m.onnx", DeploymentOptions(labels=labels, opset=16))
    assert "tf2onnx" not in "".join(capfd.readouterr())
    check_same(tmp_path / "m.onnx", model, 3, 64, 64, 3)
    assert report.proof.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert session.get_inputs()[0].shape == ["batch", 64, 64, 3]
    facts = json.loads((tmp_path / "m.onnx.json").read_text())["onnx"]
    assert facts["opset"] == 16
    assert facts["outputs"] == {"logits": ["batch", 5]}
    about = session.get_modelmeta()
    assert (about.producer_name, about.graph_name) == ("slim2keras", "mobilenet_v1_025")
    assert "central crop of 87.5 %" in about.description
    properties = about.custom_metadata_map
    assert json.loads(properties["images"]) == report.images
    assert json.loads(properties["class_names"])[3] == "Löwenzahn"
    assert (properties["pipeline"], json.loads(properties["mean"])) == ("inception", [127.5])


def test_weights_of_depthwise_convolutions_are_reshaped_before_the_graph_is_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tf2onnx 1.17 sorts all of it for each that is left, whose time grows with the square of their number."""
    from tf2onnx import optimizer
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    left, before = [], [*optimizer._optimizers]
    move = TransposeOptimizer.pre_optimize_action

    def counted(self: Any) -> None:
        left.append(sum(node.type == "Reshape" and node.inputs[0].is_const() for node in self.nodes))
        move(self)

    monkeypatch.setattr(TransposeOptimizer, "pre_optimize_action", counted)
    slim2keras.deploy(small_model(), tmp_path / "m.onnx")
    assert left
    assert not any(left)
    assert [*optimizer._optimizers] == before


def own_model(*layers: Layer) -> Any:
    """A model of images, layers, and the mean of all pixels."""
    graph = LayerGraph()
    tensor = graph.add(Layer("InputLayer", "images", {"input_shape": (8, 8, 3)}, ()), (8, 8, 3))
    for layer in (*layers, Layer("GlobalAveragePooling2D", "net/pool", {}, ())):
        tensor = graph.add(Layer(layer.kind, layer.name, layer.config, (tensor,)), (8, 8, 3))
    graph.outputs.append(tensor)
    return build_model(GraphNetwork("own", graph, num_classes=3))


def test_an_op_that_onnx_has_not_is_named_with_its_layer(tmp_path: Path) -> None:
    """With a format that has it; nothing is left, and tf2onnx' logger is as it was."""
    op = {"op": "Expm1", "attributes": {}, "operands": [None]}
    before = {**vars(logging.getLogger("tf2onnx"))}
    with pytest.raises(UnsupportedGraphError, match=r"know Expm1, of net/grow\n.*a directory without suffix"):
        slim2keras.deploy(own_model(Layer("TensorFlowOp", "net/grow", op, ())), tmp_path / "own.onnx")
    assert [*tmp_path.iterdir()] == []
    assert vars(logging.getLogger("tf2onnx")) == before


def test_what_cannot_be_is_refused_before_it_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An opset that tf2onnx does not write, and more weights than a file of ONNX holds."""
    model = own_model()
    with pytest.raises(UnsupportedArgumentError, match=r"opset must be 9 to 18.* Received: opset=25"):
        slim2keras.deploy(model, tmp_path / "own.onnx", DeploymentOptions(opset=25))
    monkeypatch.setattr(onnx_file, "_LARGEST", -1)
    with pytest.raises(UnsupportedArgumentError, match=r"an ONNX file ends at 2\. Write a SavedModel"):
        slim2keras.deploy(model, tmp_path / "own.onnx")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("fails", ["tf2onnx", "checker", "onnxruntime"])
def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """Whatever fails says why: the conversion, ONNX' own look at the file, or the outputs of onnxruntime."""
    import onnx
    import tf2onnx

    def fail(*arguments: Any, **options: Any) -> None:
        logging.getLogger("tf2onnx.tfonnx").error("Failed to convert node 'net/pool'")
        raise ValueError("because")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise onnx.checker.ValidationError("no such attribute")

    def differ(*arguments: Any) -> Any:
        return [np.ones((4, 3))], "onnxruntime"

    owner, name, stand_in = {
        "tf2onnx": (tf2onnx.convert, "from_function", fail),
        "checker": (onnx.checker, "check_model", refuse),
        "onnxruntime": (onnx_file, "run_elsewhere", differ),
    }[fails]
    monkeypatch.setattr(owner, name, stand_in)
    error, why = {
        "tf2onnx": (UnsupportedGraphError, "own cannot be an ONNX file:\n  Failed to convert node 'net/pool'\nWrite"),
        "checker": (UnsupportedGraphError, "ONNX does not take: no such attribute"),
        "onnxruntime": (ParityError, r"An ONNX file differs from the model by [\d.]+ when onnxruntime runs it"),
    }[fails]
    with pytest.raises(error, match=why):
        slim2keras.deploy(own_model(), tmp_path / "own.onnx")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_open_sizes_stay_open(tmp_path: Path) -> None:
    """One file for images of any size, where the network takes any."""
    model = small_model("resnet_v1_50", (None, None, 3), depth_multiplier=0.125, global_pool=True)
    report = slim2keras.deploy(model, tmp_path / "m.onnx")
    assert report.facts["onnx"]["inputs"] == {"images": ["batch", "height", "width", 3]}
    for size in ((65, 97), (96, 64)):
        check_same(tmp_path / "m.onnx", model, 2, *size, 3)


@pytest.mark.slow
@pytest.mark.parametrize("opset", range(9, 19))
def test_every_opset_that_is_offered_is_right(tmp_path: Path, opset: int) -> None:
    """Of a net with BatchNorm, depthwise convolutions and a pool."""
    report = slim2keras.deploy(small_model(), tmp_path / "m.onnx", DeploymentOptions(opset=opset))
    assert report.facts["onnx"]["opset"] == opset


def test_no_more_copies_of_a_graph_are_held_than_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """tf2onnx makes one for each optimizer, of half a gigabyte where the network is a VGG."""
    import onnx
    from tf2onnx import graph, optimizer

    node = onnx.helper.make_node("Identity", ["x"], ["y"], name="y")
    copies: weakref.WeakSet[Any] = weakref.WeakSet()
    held = []

    class Counting:
        def optimize(self, current: Any, iteration: int) -> Any:
            copies.add(current)
            held.append(len(copies))
            return current

    monkeypatch.setattr(optimizer, "_optimizers", {f"{number}": Counting for number in range(20)})
    gc.disable()
    try:
        with onnx_file.optimizers_kept_small():
            optimizer.optimize_graph(graph.Graph([node], {"y": [1]}, {"y": 1}, opset=13, output_names=["y"]))
    finally:
        gc.enable()
    assert len(held) >= 20
    assert max(held) <= 3
