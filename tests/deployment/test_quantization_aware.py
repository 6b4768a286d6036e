"""Quantization-aware checkpoints as int8: a graph rewritten as tf.contrib.quantize does it says what is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment.fake_quantized import FakeQuantized
from slim2keras.deployment.layer_proof import NEAR, LayerProof, prove_layers
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.quantization_aware import QuantizationAware, quantization_aware
from slim2keras.deployment.report import DeploymentReport
from slim2keras.deployment.subject import open_subject
from slim2keras.deployment.tflite_operators import operators
from slim2keras.deployment.tflite_runtime import LiteRT, activations
from slim2keras.deployment.trained_ranges import read_ranges
from slim2keras.errors import (
    CheckpointMismatchError,
    GraphWarning,
    ParityError,
    UnsupportedArgumentError,
    UnsupportedGraphError,
)
from slim2keras.graphs.network import Network
from tests import quantized_network as judge
from tests.cli.running import ok
from tests.reference import write_checkpoint

INT8 = DeploymentOptions(quantize="int8")
LOGITS = "Small/Logits"
Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Deployed:
    """A checkpoint, and the file that was made of it."""

    checkpoint: Path
    file: Path
    report: DeploymentReport


def asked(network: Network | None = None) -> CheckpointRequest:
    return CheckpointRequest(network=network or judge.small_network())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of training for quantization; not to be changed."""
    return judge.train(
        judge.small, tmp_path_factory.mktemp("trained") / "model.ckpt-120", judge.SHAPE[0], 120, rate=0.05
    )


@pytest.fixture(scope="module")
def values(trained: Path) -> Values:
    reader = tf.train.load_checkpoint(str(trained))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope="module")
def deployed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    directory = tmp_path_factory.mktemp("deployed")
    np.savez(directory / "images.npz", images=images(6), labels=np.arange(6) % judge.CLASSES)
    options, file = replace(INT8, data=directory / "images.npz"), directory / "small.tflite"
    return Deployed(trained, file, slim2keras.deploy(trained, file, options, request=asked()))


@pytest.fixture(scope="module")
def aware(trained: Path) -> QuantizationAware:
    return quantization_aware(open_subject(trained, INT8, asked()))


def images(count: int = 20, size: int = judge.SHAPE[0]) -> np.ndarray:
    """On the grid of int8: that images are rounded is no affair of the trained ranges."""
    found = judge.examples(np.random.RandomState(7), np.arange(count) % judge.CLASSES, size)
    return tf.quantization.fake_quant_with_min_max_vars(found, -1.0, 1.0).numpy()


def step(checkpoint: Path, scope: str) -> float:
    """Of the logits."""
    low, high = (tf.train.load_variable(str(checkpoint), f"{scope}/act_quant/{end}") for end in ("min", "max"))
    return float((high - low) / 255)


def test_the_trained_network_is_the_rewritten_graph(aware: QuantizationAware, trained: Path) -> None:
    """Every range is at its layer: what the report compares with gives TensorFlow 1's numbers, but for a rare tie."""
    found, wanted = aware.as_trained(images())[0].numpy(), judge.run(judge.small, trained, images())
    steps = np.abs(found - wanted) / step(trained, LOGITS)
    assert steps.max() <= NEAR
    assert (steps < 0.5).mean() > 0.9


def test_the_file_computes_what_the_rewritten_graph_does(deployed: Deployed) -> None:
    """Within one step of the logits, of 20 images: LiteRT against TensorFlow 1's graph with its FakeQuant ops."""
    found, wanted = LiteRT(deployed.file)(images())[0], judge.run(judge.small, deployed.checkpoint, images())
    assert np.abs(found - wanted).max() <= NEAR * step(deployed.checkpoint, LOGITS)


def test_the_file_follows_the_ranges(deployed: Deployed, values: Values, tmp_path: Path) -> None:
    """With the ranges of another training the graph gives other numbers than the file: the judge can fail."""
    other = {name: value * 0.5 if name.endswith("act_quant/max") else value for name, value in values.items()}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt-9", other)
    wanted = judge.run(judge.small, checkpoint, images(), rounds_all=True)
    assert np.abs(LiteRT(deployed.file)(images())[0] - wanted).max() > 10 * step(deployed.checkpoint, LOGITS)


def test_everything_is_int8(deployed: Deployed) -> None:
    """No layer of a network whose ranges are all known is in float32: 7 weighted layers, 2 sums, 1 concatenation."""
    found = operators(deployed.file)
    assert (found["CONV_2D"], found["DEPTHWISE_CONV_2D"], found["ADD"], found["CONCATENATION"]) == (6, 1, 2, 1)
    assert found["DEQUANTIZE"] == 1
    assert deployed.report.facts["tflite"]["float_operators"] == {}


def test_the_report_tells_the_ranges(deployed: Deployed) -> None:
    """How many were trained, which were not and where they are from, and what both comparisons found; as JSON, too."""
    written = json.loads((deployed.file.parent / "small.tflite.json").read_text(encoding="utf-8"))
    told = written["quantization_aware"]
    assert told["trained_ranges"] == {"weights": 7, "activations": 9}
    assert told["derived_ranges"] == {
        "inputs": "of the preprocessing",
        "Small/Mixed/concat": "of all its parts",
        "Small/pool": "of what goes into it",
    }
    assert (told["in_float32"], told["weights_without_range"]) == ([], [])
    assert told["layers"]["layers"] == told["layers"]["rounded"] == 12
    assert told["layers"]["largest"] <= NEAR
    assert 40 <= told["channels"]["as_trained"] < told["channels"]["all"] == 53
    page = str(deployed.report)
    assert "16 trained ranges used, 7 of weights and 9 of activations" in page
    assert "Small/Mixed/concat (that of all its parts is taken)" in page


def test_each_layer_is_held_to_a_step(deployed: Deployed, aware: QuantizationAware) -> None:
    """One channel of one layer that holds other weights than the network is a parity error that names the layer."""
    layer = "Small/Unit/conv1"
    weights = aware.as_int8.weights[layer]
    wrong = weights.trained.copy()
    wrong[..., 3] *= -1
    mutant = replace(aware.as_int8, weights={**aware.as_int8.weights, layer: replace(weights, trained=wrong)})
    found = prove_layers(mutant, images(2), activations(deployed.file, images(2)))
    assert found.worst == layer
    with pytest.raises(ParityError, match=r"12 of 12 layers.*Small/Unit/conv1"):
        found.check()


def test_images_do_not_replace_trained_ranges(deployed: Deployed) -> None:
    """With data the ranges are those of training all the same, and the report says that images are compared on."""
    assert "the images are compared on alone" in str(deployed.report)
    assert deployed.report.proof.images == 6
    assert deployed.report.facts["quantization_aware"]["trained_ranges"] == {"weights": 7, "activations": 9}


def test_a_file_that_computes_something_else_is_not_written(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the pools before a concatenation the converter drops a trained range: a parity error, nothing is left."""
    narrow = {name: value * 0.2 if name.endswith("Branch_0/act_quant/max") else value for name, value in values.items()}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt-200", narrow)
    monkeypatch.setattr(FakeQuantized, "_kept_apart", lambda _self, _layer, _name, x: x)
    with pytest.raises(ParityError, match=r"steps \(Small/Mixed/concat\)"):
        slim2keras.deploy(checkpoint, tmp_path / "small.tflite", INT8, request=asked())
    assert not [*tmp_path.glob("*.tflite*")]


@pytest.mark.parametrize("name", [pytest.param("swish", marks=pytest.mark.slow), "separable"])
def test_what_mobilenet_v3_has_and_both_parts_of_separable_convolutions_are_rounded(name: str, tmp_path: Path) -> None:
    """Every range is at its layer, and the file is within a step of int8, of which no layer is left out."""
    network, asked_for = getattr(judge, name), asked(getattr(judge, f"{name}_network")())
    checkpoint = judge.train(network, tmp_path / "model.ckpt-25", judge.SHAPE[0], 25, rate=0.05)
    found = quantization_aware(open_subject(checkpoint, INT8, asked_for)).as_trained(images())[0].numpy()
    logits = f"{name.capitalize()}/Logits"
    assert np.abs(found - judge.run(network, checkpoint, images())).max() <= NEAR * step(checkpoint, logits)
    report = slim2keras.deploy(checkpoint, tmp_path / "net.tflite", INT8, request=asked_for)
    told = report.facts["quantization_aware"]
    assert (told["in_float32"], told["weights_without_range"]) == ([], [])
    assert report.facts["tflite"]["float_operators"] == {}
    wanted = judge.run(network, checkpoint, images(), rounds_all=True)
    off = np.abs(LiteRT(tmp_path / "net.tflite")(images())[0] - wanted)
    assert np.median(off) <= NEAR * step(checkpoint, logits)


def changed(values: Values, directory: Path, **others: Any) -> Path:
    """A checkpoint with other values by the ends of names, ``None`` for none."""
    found = dict(values)
    for end, value in others.items():
        name = next(name for name in values if name.endswith(end))
        found.pop(name)
        if value is not None:
            found[name] = np.asarray(value, "float32")
    return write_checkpoint(directory / "model.ckpt-9", found)


@pytest.mark.parametrize(
    ("end", "value", "message"),
    [
        ("project/weights_quant/max", None, "project/weights_quant: it has a min alone"),
        ("project/weights_quant/max", np.nan, "project/weights_quant: from .* to nan"),
        ("project/weights_quant/max", -9.0, "project/weights_quant: from .* to -9"),
        ("project/weights_quant/max", [1.0, 2.0], "project/weights_quant: one number is wanted, and it has 2"),
        ("Unit/act_quant/max/local_step", 0.0, "Unit/act_quant/max/local_step: 0 updates"),
        ("Unit/act_quant/max/local_step", [0.0, 0.0], "Unit/act_quant/max/local_step: 0 updates"),
    ],
)
def test_ranges_that_are_none_are_refused(values: Values, tmp_path: Path, end: str, value: Any, message: str) -> None:
    """A range that lacks an end, is no range, or was never trained, is an error that says so."""
    with (
        open_checkpoint(changed(values, tmp_path, **{end: value})) as checkpoint,
        pytest.raises(CheckpointMismatchError, match=message),
    ):
        read_ranges(checkpoint)


def test_a_range_of_one_value_is_zero_or_none(values: Values, tmp_path: Path) -> None:
    """A channel that is dead rounds to zero; of any other one value TensorFlow's rounding makes NaN."""
    scope = "Small/Unit/act_quant"
    for number in (0.0, 0.5):
        ends = {f"{scope}/{end}": np.float32(number) for end in ("min", "max")}
        with open_checkpoint(write_checkpoint(tmp_path / f"model.ckpt-{number}", {**values, **ends})) as checkpoint:
            if number:
                with pytest.raises(CheckpointMismatchError, match=r"Unit/act_quant: from 0\.5 to 0\.5"):
                    read_ranges(checkpoint)
            else:
                assert read_ranges(checkpoint)[scope].step == 0.0


def test_ranges_of_no_layer_are_refused(values: Values, tmp_path: Path) -> None:
    """A range that belongs to no layer is an error that lists it: its rounding would be lost without a word."""
    stray = {f"Small/Elsewhere/act_quant/{end}": np.float32(it) for end, it in (("min", -1), ("max", 1))}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt-9", {**values, **stray})
    with pytest.raises(CheckpointMismatchError, match=r"1 of 17 ranges (.|\n)*Small/Elsewhere/act_quant"):
        slim2keras.deploy(checkpoint, tmp_path / "small.tflite", INT8, request=asked())
    assert not [*tmp_path.glob("*.tflite*")]


def test_the_range_of_images_must_be_known(trained: Path, tmp_path: Path) -> None:
    """Training leaves none of them: without a preprocessing it is asked for."""
    network = replace(judge.small_network(), preprocessing="")
    with pytest.raises(UnsupportedArgumentError, match=r"--preprocessing-name"):
        slim2keras.deploy(trained, tmp_path / "small.tflite", INT8, request=asked(network))
    assert not [*tmp_path.glob("*.tflite*")]


def test_a_frozen_graph_brings_its_ranges(trained: Path, tmp_path: Path) -> None:
    """The ranges of its FakeQuant ops, which a conversion leaves out, are found by the scopes of these."""
    frozen = judge.freeze(judge.small, trained, tmp_path / "frozen.pb", judge.SHAPE[0])
    with pytest.warns(GraphWarning, match="16 FakeQuant ops are left out"):
        subject = open_subject(frozen, replace(INT8, preprocessing_name="inception"), CheckpointRequest())
    found = quantization_aware(subject)
    assert len(found.trained) == 16
    steps = np.abs(np.squeeze(found.as_trained(images())[0]) - judge.run(judge.small, trained, images()))
    assert steps.max() <= NEAR * step(trained, LOGITS)


def test_ranges_by_channel_of_a_frozen_graph_are_refused(tmp_path: Path) -> None:
    """They would be lost without a word, and the layer be told to have none."""
    with tf.Graph().as_default() as graph:
        given = tf.compat.v1.placeholder(tf.float32, (None, 4, 4, 3), "images")
        kernel = tf.constant(np.ones((1, 1, 3, 2), "float32"))
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, [-1.0, -1.0], [1.0, 1.0], name="by")
        tf.nn.conv2d(given, kernel, 1, "SAME", name="Conv/Conv2D")
    (tmp_path / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.warns(GraphWarning), pytest.raises(UnsupportedGraphError, match=r"PerChannel, by\n.*write a \.keras"):
        slim2keras.deploy(tmp_path / "frozen.pb", tmp_path / "m.tflite", INT8)


@pytest.mark.parametrize("largest", [1.5, np.nan])
def test_a_layer_that_is_off_by_more_than_a_step_or_by_no_number_fails(largest: float) -> None:
    """A NaN is neither more nor less than a step."""
    LayerProof(3, 3, 1.0, "conv", 1.0).check()
    with pytest.raises(ParityError, match="is not what was to be written"):
        LayerProof(3, 3, largest, "conv", 1.0).check()


@pytest.mark.slow
@pytest.mark.parametrize("network", [judge.mobilenet_v1, judge.mobilenet_v2], ids=lambda network: network.__name__)
def test_mobilenets(network: Callable[..., Any], tmp_path: Path) -> None:
    """A MobileNet is recognised, every range finds its layer, each layer is within a step of int8."""
    checkpoint, file = judge.train(network, tmp_path / "model.ckpt-40", 64, 40), tmp_path / "mobilenet.tflite"
    ok("convert", checkpoint, "-o", file, "--quantize", "int8", "--input-shape", "64,64,3")
    told = json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))["quantization_aware"]
    assert told["layers"]["layers"] == told["layers"]["rounded"]
    assert told["in_float32"] == told["weights_without_range"] == []
    subject = open_subject(checkpoint, INT8, CheckpointRequest(input_shape=(64, 64, 3)))
    found = quantization_aware(subject).as_trained(images(5, 64))[0].numpy()
    steps = np.abs(found - judge.run(network, checkpoint, images(5, 64)))
    assert np.median(steps) <= NEAR * step(checkpoint, f"MobilenetV{network.__name__[-1]}/Logits/Conv2d_1c_1x1")
