"""TFLite files: LiteRT computes what the model does, of float32 exactly, of int8 as near as it is told."""

from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import slim2keras
from slim2keras.deployment import tflite
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.report import DeploymentReport
from slim2keras.deployment.tflite_operators import operators
from slim2keras.deployment.tflite_runtime import LiteRT
from slim2keras.errors import ExitStatus, NoSpaceError, ParityError, UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Layer
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from tests.cli.running import fails
from tests.deployment.models import valued
from tests.own_network import CLASSES, SHAPE, own_network


@dataclass(frozen=True)
class Deployed:
    """A file and its report."""

    file: Path
    report: DeploymentReport


@pytest.fixture(scope="module")
def model() -> Any:
    return valued(build_model(own_network()))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("0:daisy\n1:rose\n2:tulip\n3:Löwenzahn\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def in_float(model: Any, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    file = tmp_path_factory.mktemp("float") / "own.tflite"
    return Deployed(file, slim2keras.deploy(model, file, DeploymentOptions(labels=labels)))


def images(count: int) -> np.ndarray:
    return np.random.RandomState(count).uniform(-1, 1, (count, *SHAPE)).astype("float32")


@pytest.mark.parametrize("count", [1, 3])
def test_litert_computes_what_the_model_does(in_float: Deployed, model: Any, count: int) -> None:
    """Within 1e-5, of one image and of several at once, by LiteRT as everybody calls it."""
    runner = Interpreter(str(in_float.file)).get_signature_runner()
    logits = runner(images=images(count))["logits"]
    np.testing.assert_allclose(logits, model(images(count)), atol=1e-5)
    assert np.abs(logits).max() > 0.1


def test_the_report_says_what_the_file_is(in_float: Deployed) -> None:
    """Its ends by names that people would choose, its operators, and how near it is; beside the file, too."""
    written = json.loads((in_float.file.parent / "own.tflite.json").read_text(encoding="utf-8"))
    assert written["tflite"] == {
        "quantize": None,
        "inputs": {"images": ["batch", *SHAPE]},
        "outputs": {"logits": ["batch", CLASSES]},
        "operators": {"CONV_2D": 2, "MAX_POOL_2D": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1},
        "float_operators": {},
    }
    assert in_float.report.proof.largest_difference < 1e-6
    assert in_float.report.proof.runtime.startswith("ai_edge_litert 2")
    assert in_float.report.proof.images == 4


def test_the_file_carries_what_the_network_wants(in_float: Deployed) -> None:
    """Under the name that readers look for, and behind it the facts of the report and the names of the classes."""
    model = schema.Model.GetRootAs(in_float.file.read_bytes())
    entries = {model.Metadata(number).Name(): model.Metadata(number) for number in range(model.MetadataLength())}
    data = model.Buffers(entries[b"TFLITE_METADATA"].Buffer()).DataAsNumpy().tobytes()
    assert data[4:8] == b"M001"
    assert "inception" in data.decode(errors="replace")
    with zipfile.ZipFile(in_float.file) as archive:
        assert json.loads(archive.read("images.json")) == in_float.report.images
        assert archive.read("labels.txt").decode().splitlines()[3] == "Löwenzahn"


def test_int8_computes_in_integers(
    in_float: Deployed, model: Any, classes_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """All of it, between ends of float32; the report says how often the class is the same, and nothing is printed."""
    options = DeploymentOptions(quantize="int8", data=classes_folder)
    report = slim2keras.deploy(model, tmp_path / "own.tflite", options)
    assert capfd.readouterr() == ("", "")
    assert report.facts["tflite"]["float_operators"] == {}
    assert operators(tmp_path / "own.tflite") == {**operators(in_float.file), "QUANTIZE": 1, "DEQUANTIZE": 1}
    runtime = LiteRT(tmp_path / "own.tflite")
    assert [end["dtype"] for end in (*runtime.inputs, *runtime.outputs)] == [np.float32, np.float32]
    proof = report.proof
    assert (proof.images, proof.of, list(proof.remarks)) == (15, f"of {classes_folder}", [])
    assert 1e-5 < proof.largest_difference < 0.05
    assert proof.agreement is not None
    assert proof.agreement > 0.8


@pytest.mark.parametrize(("quantize", "largest"), [("float16", 1e-3), ("dynamic", 0.05)])
def test_weights_alone_are_quantized_without_images(
    in_float: Deployed, model: Any, tmp_path: Path, quantize: str, largest: float
) -> None:
    """The file is smaller, and the report says that noise does not tell how far answers change."""
    report = slim2keras.deploy(model, tmp_path / "own.tflite", DeploymentOptions(quantize=quantize))
    assert 0 < report.proof.largest_difference < largest
    assert report.output["bytes"] < in_float.report.output["bytes"]
    assert "noise" in " ".join(report.proof.remarks)


def test_operators_that_int8_lacks_are_named(classes_folder: Path, tmp_path: Path) -> None:
    """Local response normalization stays in float32, and whoever has hardware for integers alone is told."""
    normalized = layers.lrn(layers.inputs(SHAPE), 2, bias=1.0, alpha=1e-3, beta=0.75, name="lrn")
    normalized.graph.outputs = [layers.global_avg_pool(normalized, name="mean", keepdims=False)]
    model = build_model(GraphNetwork("normalized", normalized.graph, preprocessing="inception"))
    options = DeploymentOptions(quantize="int8", data=classes_folder)
    report = slim2keras.deploy(model, tmp_path / "net.tflite", options)
    assert report.facts["tflite"]["float_operators"] == {"LOCAL_RESPONSE_NORMALIZATION": 1}
    assert "LOCAL_RESPONSE_NORMALIZATION" in " ".join(report.proof.remarks)


def test_int8_asks_for_images(model: Any, tmp_path: Path) -> None:
    """The ranges are measured on images; without any it is an error that says so, and nothing is written."""
    with pytest.raises(UnsupportedArgumentError, match="--data IMAGES"):
        slim2keras.deploy(model, tmp_path / "own.tflite", DeploymentOptions(quantize="int8"))
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_what_cannot_be_quantized(small_checkpoint: Path, tmp_path: Path) -> None:
    """An unknown quantization, int8 without images, and one of another format are errors of usage."""
    refused = partial(fails, ExitStatus.USAGE)
    asked = ("convert", small_checkpoint, "--quantize")
    refused("float16, dynamic, int8", *asked, "int4", "-o", tmp_path / "net.tflite")
    refused("--data IMAGES", *asked, "int8", "-o", tmp_path / "net.tflite")
    refused("has no quantize", *asked, "int8", "-o", tmp_path / "net.keras")
    assert list(tmp_path.iterdir()) == []


def test_open_sizes_are_fixed_on_request(tmp_path: Path) -> None:
    """A TFLite file takes images of one size: which one is asked for, and then it is the file's."""
    arguments = {"num_classes": 0, "final_endpoint": "Conv2d_1_pointwise"}
    model = slim2keras.build("mobilenet_v1_025", input_shape=(None, None, 3), **arguments)
    with pytest.raises(UnsupportedArgumentError, match="--image-size 224,224"):
        slim2keras.deploy(model, tmp_path / "net.tflite")
    report = slim2keras.deploy(model, tmp_path / "net.tflite", DeploymentOptions(image_size=(48, 32)))
    assert report.facts["tflite"]["inputs"] == {"images": ["batch", 48, 32, 3]}
    assert report.facts["tflite"]["outputs"] == {"features": ["batch", 24, 16, 16]}


def test_an_op_that_tflite_lacks_is_named_with_its_layer(tmp_path: Path) -> None:
    """Where TFLite has no kernel the error says for what, where, and what else there is; nothing is written."""
    images = layers.inputs(SHAPE)
    config = {"op": "Erfc", "attributes": {}, "operands": [None]}
    images.graph.outputs = [images.graph.add(Layer("TensorFlowOp", "own/tail", config, (images,)), SHAPE)]
    model = build_model(GraphNetwork("tails", images.graph))
    with pytest.raises(UnsupportedGraphError, match=r"for 1 of the ops:\n  Erfc, of own/tail\n(.|\n)*\.onnx"):
        slim2keras.deploy(model, tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []


def test_outputs_keep_their_order_and_names(tmp_path: Path) -> None:
    """Also where they have one shape, and the converter puts them in an order of its own."""
    network = own_network()
    pooled, (logits,) = network.graph.end_points["second"], network.graph.outputs
    heads = [
        layers.fully_connected(shapes.flatten(pooled, name=f"{name}/flat"), CLASSES, activation=None, name=name)
        for name in ("own/AuxLogits", "own/more")
    ]
    network.graph.outputs = [logits, *heads]
    model = valued(build_model(network))
    report = slim2keras.deploy(model, tmp_path / "net.tflite")
    assert list(report.facts["tflite"]["outputs"]) == ["logits", "AuxLogits", "more"]
    found = Interpreter(str(tmp_path / "net.tflite")).get_signature_runner()(images=images(2))
    for name, wanted in zip(("logits", "AuxLogits", "more"), model(images(2)), strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=1e-5)


def test_networks_of_videos_go_to_tflite(tmp_path: Path) -> None:
    """TFLite cannot pool over frames at once; it can in two steps, and the operators are its own."""
    model = slim2keras.build("i3d", num_classes=0, input_shape=(4, 16, 16, 3), final_endpoint="MaxPool_2a_3x3")
    report = slim2keras.deploy(model, tmp_path / "net.tflite")
    assert report.facts["tflite"]["inputs"] == {"images": ["batch", 4, 16, 16, 3]}
    assert report.facts["tflite"]["operators"]["MAX_POOL_2D"] == 2
    assert report.proof.largest_difference < 1e-6


Break = Callable[[pytest.MonkeyPatch], None]


def _off(patch: pytest.MonkeyPatch) -> None:
    run_file = LiteRT.__call__
    patch.setattr(LiteRT, "__call__", lambda self, images: [item + 1e-3 for item in run_file(self, images)])


def _full(patch: pytest.MonkeyPatch) -> None:
    def append_files(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(tflite, "append_files", append_files)


def _interrupted(patch: pytest.MonkeyPatch) -> None:
    def run_file(*_: Any) -> None:
        raise KeyboardInterrupt

    patch.setattr(LiteRT, "__call__", run_file)


@pytest.mark.parametrize(
    ("broken", "error"), [(_off, ParityError), (_full, NoSpaceError), (_interrupted, KeyboardInterrupt)]
)
def test_nothing_is_left_of_a_file_that_is_not_proved(
    in_float: Deployed,
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Break,
    error: type[BaseException],
) -> None:
    """Whether it computes something else, the disk is full, or somebody interrupts."""
    content = in_float.file.read_bytes()
    monkeypatch.setattr(tflite, "convert_to_tflite", lambda *_: content)
    monkeypatch.setattr(tflite, "described", lambda content, *_: content)
    monkeypatch.setattr(tflite, "append_files", lambda *_: None)
    broken(monkeypatch)
    with pytest.raises(error):
        slim2keras.deploy(model, tmp_path / "own.tflite")
    assert list(tmp_path.iterdir()) == []
