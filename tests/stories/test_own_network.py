"""A network of nobody's registry goes all the way that a net of slim's zoo goes."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.data.images import open_images
from slim2keras.doctor.recalibration import recalibrate_file
from slim2keras.errors import (
    CheckpointMismatchError,
    ModelReadError,
    UnsafeModelError,
    UnsupportedArgumentError,
    UnsupportedGraphError,
)
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from slim2keras.models.networks import knows_network, network_of
from slim2keras.models.variables import slim_variables
from tests.own_network import CLASSES, SHAPE, own_network
from tests.reference import assign_values, images, values_of, write_checkpoint


def slim_function(inputs: Any, is_training: bool) -> Any:
    """The same network as its author has it in slim."""
    import tf_slim as slim

    norm = {"decay": 0.9, "scale": True, "is_training": is_training}
    regularizer = slim.l2_regularizer(1e-3)
    ends = {}
    x = ends["first"] = slim.conv2d(
        inputs,
        8,
        3,
        2,
        scope="own/first",
        normalizer_fn=slim.batch_norm,
        normalizer_params=norm,
        weights_regularizer=regularizer,
    )
    x = ends["second"] = slim.conv2d(x, 8, 3, scope="own/second")
    x = slim.flatten(slim.max_pool2d(x, 2, scope="own/pool"))
    return slim.fully_connected(x, CLASSES, activation_fn=None, scope="own/logits"), ends


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "own.ckpt-7", values_of(own_network().graph.variables()))


def test_it_is_converted_and_its_function_judges_it(checkpoint: Path) -> None:
    """Every end point, statistic and loss is what the author's own slim function gives."""
    model = slim2keras.convert(checkpoint, network=own_network())
    report = slim2keras.verify(checkpoint, model, images=images(0, (3, *SHAPE)), network=slim_function)
    assert report.passed, report.first_failure
    assert "own against its own function" in str(report)
    assert {comparison.name for comparison in report.comparisons} >= {"first", "second", "output"}
    assert {comparison.rung for comparison in report.comparisons} >= {"moving statistics", "regularization loss"}
    sick = build_model(own_network(decay=0.5))
    assign_values(sick, {name: variable.numpy() for name, variable in slim_variables(model).items()})
    assert not slim2keras.verify(checkpoint, sick, images=images(0, (3, *SHAPE)), network=slim_function).passed


def test_slim_alone_does_not_judge_it(checkpoint: Path) -> None:
    """Without its function the error asks for it."""
    model = slim2keras.convert(checkpoint, network=own_network())
    with pytest.raises(UnsupportedArgumentError, match="network=function"):
        slim2keras.verify(checkpoint, model, images=images(0, (3, *SHAPE)))


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "own.weights.h5"])
def test_a_file_of_it_is_loaded_with_its_network(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """The report says which network it is, so that end points, preprocessing and decay are known again."""
    report = convert_to_file(checkpoint, tmp_path / name, CheckpointRequest(network=own_network()))
    assert report.largest_difference == 0.0
    assert "own" in str(report)
    loaded = slim2keras.load_model(tmp_path / name)
    network = network_of(loaded)
    assert network.to_config() == own_network().to_config()
    assert network.decays == {"own/first/BatchNorm": 0.9}
    assert list(slim2keras.end_points(loaded)) == ["first", "second"]
    model = slim2keras.convert(checkpoint, network=own_network())
    x = images(0, (2, *SHAPE))
    np.testing.assert_array_equal(model(x).numpy(), loaded(x).numpy())


def test_fine_tuned_it_keeps_its_network(checkpoint: Path, tmp_path: Path) -> None:
    """Fine-tuned, saved, loaded and exported, by the names of its scopes."""
    model = slim2keras.convert(checkpoint, network=own_network())
    tuned = slim2keras.finetune(model, batch_norm="update", decay=0.1)
    with pytest.raises(UnsupportedArgumentError, match="logits"):
        tuned.compile(loss="sparse_categorical_crossentropy")
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    x, y = images(0, (8, *SHAPE)), np.arange(8) % CLASSES
    tuned.fit(x, y, batch_size=4, verbose=0)
    tuned.save(tmp_path / "tuned.keras")
    loaded = slim2keras.load_model(tmp_path / "tuned.keras", with_optimizer=True)
    assert network_of(loaded).to_config() == own_network(decay=0.1).to_config()
    np.testing.assert_array_equal(tuned(x).numpy(), loaded(x).numpy())
    slim2keras.export_checkpoint(loaded, tmp_path / "back.ckpt-9")
    again = slim2keras.convert(tmp_path / "back.ckpt-9", network=own_network())
    np.testing.assert_array_equal(tuned(x).numpy(), again(x).numpy())


def test_it_is_diagnosed_with_data_and_recalibrated(tmp_path: Path) -> None:
    """The doctor builds it, reckons with its decay, and the repaired checkpoint is well."""
    x = np.random.RandomState(0).uniform(-1, 1, (128, *SHAPE)).astype("float32")
    np.savez(tmp_path / "images.npz", images=x)
    values = values_of(own_network().graph.variables())
    values["own/first/BatchNorm/moving_variance"] *= 50.0
    checkpoint = write_checkpoint(tmp_path / "sick.ckpt-7", values)
    diagnosis = slim2keras.diagnose(checkpoint, network=own_network(), data=tmp_path / "images.npz")
    assert [layer.name for layer in diagnosis.layers] == ["own/first/BatchNorm"]
    assert (diagnosis.decay, diagnosis.decay_source) == (0.9, "the layers of own")
    assert not diagnosis.is_healthy
    output = tmp_path / "well.ckpt-7"
    recalibrate_file(checkpoint, tmp_path / "images.npz", output, CheckpointRequest(network=own_network()))
    assert slim2keras.diagnose(output, network=own_network(), data=tmp_path / "images.npz").is_healthy


def test_folders_of_images_are_prepared_for_it(tmp_path: Path) -> None:
    """Its facts say how; without them the error says so."""
    picture = np.random.RandomState(0).randint(0, 256, (20, 24, 3)).astype("uint8")
    prepared = slim2keras.preprocessing.preprocess(picture, build_model(own_network()))
    assert prepared.shape == SHAPE
    unknown = GraphNetwork("own", own_network().layers)
    with pytest.raises(UnsupportedArgumentError, match="nothing says how its images are preprocessed"):
        slim2keras.preprocessing.preprocess(picture, unknown)
    with pytest.raises(UnsupportedArgumentError, match="nothing says how its images are preprocessed"):
        open_images(tmp_path, unknown, 4)


def test_what_the_network_says_need_not_be_said_again(checkpoint: Path) -> None:
    """A network beside a name or slim's arguments would be two answers to one question."""
    with pytest.raises(UnsupportedArgumentError, match="leave net, num_classes out"):
        slim2keras.convert(checkpoint, network=own_network(), net="lenet", num_classes=3)


def test_a_report_beside_another_model_is_not_believed(checkpoint: Path, tmp_path: Path) -> None:
    """Who saves another model under the name finds that one."""
    convert_to_file(checkpoint, tmp_path / "own.keras", CheckpointRequest(network=own_network()))
    slim2keras.build("lenet", num_classes=3).save(tmp_path / "own.keras")
    assert network_of(slim2keras.load_model(tmp_path / "own.keras")).name == "lenet"


def test_a_hostile_report_makes_no_layers(checkpoint: Path, tmp_path: Path) -> None:
    """A graph that names a Lambda, or an initializer from elsewhere, is refused before anything is made of it."""
    convert_to_file(checkpoint, tmp_path / "own.weights.h5", CheckpointRequest(network=own_network()))
    path = tmp_path / "own.weights.h5.json"
    report = json.loads(path.read_text())
    hostile = json.loads(path.read_text())
    hostile["graph"]["layers"][1]["class_name"] = "Lambda"
    path.write_text(json.dumps(hostile))
    with pytest.raises(UnsafeModelError, match="Lambda"):
        slim2keras.load_model(tmp_path / "own.weights.h5")
    hostile = json.loads(json.dumps(report))
    hostile["graph"]["layers"][1]["config"]["kernel_initializer"] = {"module": "os", "class_name": "system"}
    path.write_text(json.dumps(hostile))
    with pytest.raises(UnsafeModelError, match=r"os\.system"):
        slim2keras.load_model(tmp_path / "own.weights.h5")
    report["graph"]["outputs"] = [["nowhere", [1]]]
    path.write_text(json.dumps(report))
    with pytest.raises(ModelReadError, match="nowhere"):
        slim2keras.load_model(tmp_path / "own.weights.h5")


def test_a_files_variables_are_in_keras_order_whatever_the_graphs_is(checkpoint: Path, tmp_path: Path) -> None:
    """What is read back from where it was written proves nothing of where tf_keras looks for it."""
    network = own_network()
    layer = network.layers.layers["own/first/BatchNorm"]
    network.layers.layers[layer.name] = replace(layer, variables=layer.variables[::-1])
    convert_to_file(checkpoint, tmp_path / "own.keras", CheckpointRequest(network=network))
    x = images(0, (2, *SHAPE))
    expected = slim2keras.convert(checkpoint, network=own_network())(x).numpy()
    np.testing.assert_array_equal(slim2keras.load_model(tmp_path / "own.keras")(x).numpy(), expected)


def test_a_report_of_other_strides_is_not_believed(checkpoint: Path, tmp_path: Path) -> None:
    """Layers of the same names and weights may still be another network."""
    convert_to_file(checkpoint, tmp_path / "own.keras", CheckpointRequest(network=own_network()))
    path = tmp_path / "own.keras.json"
    report = json.loads(path.read_text())
    pool = next(row for row in report["graph"]["layers"] if row["config"]["name"] == "own/pool")
    pool["config"]["padding"] = "same"
    path.write_text(json.dumps(report))
    assert not knows_network(slim2keras.load_model(tmp_path / "own.keras"))


def test_two_layers_of_one_name_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A report cannot make a graph that runs in circles, or one that takes other images than it says."""
    convert_to_file(checkpoint, tmp_path / "own.weights.h5", CheckpointRequest(network=own_network()))
    path = tmp_path / "own.weights.h5.json"
    report = json.loads(path.read_text())
    for damage, message in (
        ({"graph": {**report["graph"], "layers": report["graph"]["layers"] * 2}}, "two layers"),
        ({"input_shape": [32, 32, 3]}, "the graph takes"),
    ):
        path.write_text(json.dumps({**report, **damage}))
        with pytest.raises(ModelReadError, match=message):
            slim2keras.load_model(tmp_path / "own.weights.h5")


def test_a_hostile_graph_in_a_fine_tuned_file_makes_no_layers(checkpoint: Path, tmp_path: Path) -> None:
    """The network in the configuration of a model is looked at as its layers are."""
    tuned = slim2keras.finetune(slim2keras.convert(checkpoint, network=own_network()), batch_norm="frozen")
    tuned.save(tmp_path / "tuned.keras")
    with zipfile.ZipFile(tmp_path / "tuned.keras") as source, zipfile.ZipFile(tmp_path / "evil.keras", "w") as evil:
        config = json.loads(source.read("config.json"))
        config["config"]["slim_network"]["graph"]["layers"][1]["class_name"] = "Lambda"
        for name in source.namelist():
            evil.writestr(name, json.dumps(config) if name == "config.json" else source.read(name))
    with pytest.raises(UnsafeModelError, match="Lambda"):
        slim2keras.load_model(tmp_path / "evil.keras")


def test_a_network_follows_the_decay_of_its_layers(checkpoint: Path, tmp_path: Path) -> None:
    """Fine-tuning at another decay is what a loaded model is judged and reported with."""
    model = slim2keras.convert(checkpoint, network=own_network())
    tuned = slim2keras.finetune(model, batch_norm="update", decay=0.5)
    assert network_of(tuned).decays == {"own/first/BatchNorm": 0.5}
    tuned.save(tmp_path / "tuned.keras")
    assert network_of(slim2keras.load_model(tmp_path / "tuned.keras")).decays == {"own/first/BatchNorm": 0.5}


def test_what_a_function_drops_is_left_out_of_the_comparison(checkpoint: Path) -> None:
    """Dropout in training mode would make parity fail, or hold by chance."""
    import tensorflow as tf

    def dropping(inputs: Any, is_training: bool) -> Any:
        output, ends = slim_function(inputs, is_training)
        return tf.nn.dropout(output, rate=0.5) if is_training else output, ends

    model = slim2keras.convert(checkpoint, network=own_network())
    assert slim2keras.verify(checkpoint, model, images=images(0, (3, *SHAPE)), network=dropping).passed


def test_a_function_that_draws_at_random_is_no_judge(checkpoint: Path) -> None:
    """Noise that is no dropout cannot be left out."""
    import tensorflow as tf

    def noisy(inputs: Any, is_training: bool) -> Any:
        output, ends = slim_function(inputs, is_training)
        return output + tf.random.normal(tf.shape(output)), ends

    model = slim2keras.convert(checkpoint, network=own_network())
    with pytest.raises(UnsupportedGraphError, match="RandomStandardNormal"):
        slim2keras.verify(checkpoint, model, images=images(0, (3, *SHAPE)), network=noisy)


def test_a_function_with_variables_of_its_own_making_judges(checkpoint: Path) -> None:
    """What slim's collections do not hold is compared too, by name and shape."""
    import tensorflow as tf

    def wider(inputs: Any, is_training: bool) -> Any:
        output, ends = slim_function(inputs, is_training)
        return output * tf.compat.v1.get_variable("own/scale", ()), ends

    model = slim2keras.convert(checkpoint, network=own_network())
    with pytest.raises(CheckpointMismatchError, match="own/scale"):
        slim2keras.verify(checkpoint, model, images=images(0, (3, *SHAPE)), network=wider)


def test_a_function_where_a_network_is_wanted_is_told_its_place(checkpoint: Path) -> None:
    """``network`` of a conversion is a graph with its facts, or a function and a size to trace it with."""
    with pytest.raises(UnsupportedArgumentError, match="give input_shape="):
        slim2keras.convert(checkpoint, network=slim_function)
    with pytest.raises(UnsupportedArgumentError, match=r"must be a Network, .* or a function of slim.*Received: str"):
        slim2keras.convert(checkpoint, network="own.py")
    model = slim2keras.convert(checkpoint, network=own_network())
    with pytest.raises(UnsupportedArgumentError, match="slim_source"):
        slim2keras.verify(checkpoint, model, network=slim_function, slim_source="slim")
