"""Which graph a checkpoint is converted by, and what becomes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.facts import FactSource
from slim2keras.conversion.plan import plan_conversion
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import (
    CheckpointMismatchError,
    CheckpointReadError,
    UnrecognisedNetError,
    UnsupportedArgumentError,
    UnsupportedGraphError,
)
from slim2keras.files.output_files import sha256
from slim2keras.importing.request import GraphRequest
from slim2keras.models.networks import network_of
from slim2keras.nets.spec import NetSpec
from slim2keras.training.model_variables import ModelVariables, open_variables
from tests.conftest import made_once
from tests.conversion.own_graphs import DECAY, SHAPE, OwnFiles, network, own_files, write_own
from tests.reference import values_of, write_checkpoint


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnFiles:
    """Files of a network of nobody's zoo."""
    return own_files(made_once(tmp_path_factory, "own_graphs", write_own))


def check(model: Any, own: OwnFiles) -> None:
    np.testing.assert_allclose(model(own.batch, training=False), own.outputs, rtol=1e-5, atol=1e-6)


def test_the_graph_beside_a_checkpoint_is_taken_where_the_zoo_has_none(own: OwnFiles) -> None:
    """The plan says so."""
    with open_checkpoint(own.checkpoint) as opened:
        plan = plan_conversion(opened)
    assert plan.graph_source == f"{own.checkpoint}.meta"
    assert (
        "No network of slim's zoo fits: the graph beside the checkpoint was taken, model.ckpt-7.meta." in plan.remarks
    )
    assert plan.input_shape_source is FactSource.META
    check(slim2keras.convert(own.checkpoint), own)


def test_a_graph_is_taken_by_name(own: OwnFiles) -> None:
    """Of a network that the zoo has, too; a frozen one serves a checkpoint as well as its .meta."""
    for graph in (f"{own.checkpoint}.meta", own.saved_model):
        check(slim2keras.convert(own.checkpoint, graph=graph), own)


@pytest.mark.parametrize("name", ["frozen", "saved_model"])
def test_a_graph_with_its_values_needs_no_checkpoint(own: OwnFiles, name: str) -> None:
    """They are constants, or lie beside it."""
    check(slim2keras.convert(getattr(own, name)), own)


def test_a_frozen_graph_is_a_checkpoint_of_its_constants(own: OwnFiles) -> None:
    """By name and value, as the checkpoint has them."""
    with open_checkpoint(own.checkpoint) as expected, open_checkpoint(own.frozen) as opened:
        assert opened.location.files == (own.frozen,)
        assert {*opened} == {name for name in expected if name != "global_step"}
        for name in opened:
            np.testing.assert_array_equal(opened[name], expected[name])


def test_a_graph_without_values_asks_for_its_checkpoint(own: OwnFiles, tmp_path: Path) -> None:
    """And takes it then."""
    from slim2keras.importing.sources import read_graph

    (tmp_path / "bare.pb").write_bytes(read_graph(f"{own.checkpoint}.meta").graph.SerializeToString())
    with pytest.raises(CheckpointReadError, match=r"without the values of \d+ variables(.|\n)*graph=PATH"):
        slim2keras.convert(tmp_path / "bare.pb")
    check(slim2keras.convert(own.checkpoint, graph=tmp_path / "bare.pb"), own)


def test_a_function_is_traced_as_it_trains_and_as_it_does_not(own: OwnFiles) -> None:
    """So the decay and the regularizers are known, which its inference graph does not have."""
    model = slim2keras.convert(own.checkpoint, network=network, input_shape=SHAPE)
    check(model, own)
    assert network_of(model).decays == {"Own/first/BatchNorm": DECAY, "Own/second/BatchNorm": DECAY}
    assert len(model.losses) == 1
    assert "the_first" in slim2keras.end_points(model)


def test_a_function_takes_its_own_arguments(own: OwnFiles) -> None:
    """They are its, not slim's; what does not fit is listed."""
    check(slim2keras.convert(own.checkpoint, network=network, input_shape=SHAPE, classes=3), own)
    with pytest.raises(CheckpointMismatchError, match=r"~ Own/logits/weights   model \(5, 4\)"):
        slim2keras.convert(own.checkpoint, network=network, input_shape=SHAPE, classes=4)
    with pytest.raises(UnsupportedArgumentError, match="no argument clases"):
        slim2keras.convert(own.checkpoint, network=network, input_shape=SHAPE, clases=4)


def test_a_part_of_a_network_leaves_the_rest_of_the_checkpoint(own: OwnFiles) -> None:
    """An output in the middle cuts; variables behind it are accounted for."""
    request = CheckpointRequest(graph=GraphRequest(output_tensors=["Own/first/Relu"]))
    with open_checkpoint(own.checkpoint) as opened:
        plan = plan_conversion(opened, request)
    assert plan.load.unused["Own/logits/weights"] == "outside of the network's part"
    assert slim2keras.convert(own.checkpoint, output_tensors=["Own/first/Relu"]).output_shape == (None, 12, 10, 4)


def test_a_meta_of_another_checkpoint_lists_every_mismatch(own: OwnFiles, tmp_path: Path) -> None:
    """Named, or lying beside: then the message also says why the zoo has none."""
    with open_checkpoint(own.checkpoint) as opened:
        values = {name: opened[name] for name in opened}
    values["Own/logits/weights"] = values["Own/logits/weights"][:, :2]
    values["Own/third/weights"] = values.pop("Own/second/weights")
    other = write_checkpoint(tmp_path / "other.ckpt", values)
    lines = ("  ~ Own/logits/weights", "  - Own/second/weights", "  + Own/third/weights")
    with pytest.raises(CheckpointMismatchError) as caught:
        slim2keras.convert(other, graph=f"{own.checkpoint}.meta")
    assert all(line in str(caught.value) for line in lines)
    shutil.copy(f"{own.checkpoint}.meta", f"{other}.meta")
    with pytest.raises(UnrecognisedNetError) as beside:
        slim2keras.convert(other)
    assert all(
        line in str(beside.value) for line in (*lines, "is not a network that slim2keras knows", "other.ckpt.meta")
    )


def test_a_broken_meta_beside_an_unknown_network_is_told_of(own: OwnFiles, tmp_path: Path) -> None:
    """With why the zoo has none; without a ``.meta`` the error is the zoo's alone."""
    for path in own.checkpoint.parent.glob("model.ckpt-7.[di]*"):
        shutil.copy(path, tmp_path)
    checkpoint = tmp_path / "model.ckpt-7"
    with pytest.raises(UnrecognisedNetError) as alone:
        slim2keras.convert(checkpoint)
    Path(f"{checkpoint}.meta").write_bytes(b"\xff\xfe no graph")
    with pytest.raises(UnrecognisedNetError, match=r"does not help: .*model.ckpt-7.meta is no graph") as both:
        slim2keras.convert(checkpoint)
    assert str(both.value).startswith(str(alone.value))


def test_who_names_a_network_gets_no_other(own: OwnFiles) -> None:
    """``net`` that does not fit is an error, whatever lies beside."""
    with pytest.raises(UnrecognisedNetError):
        slim2keras.convert(own.checkpoint, net="lenet")


def test_a_network_of_the_zoo_stays_one(tmp_path: Path, own: OwnFiles) -> None:
    """The graph beside it is not asked unless by name."""
    checkpoint = write_checkpoint(
        tmp_path / "lenet.ckpt", values_of(NetSpec.make("lenet", None, {}).trace().variables())
    )
    shutil.copy(f"{own.checkpoint}.meta", f"{checkpoint}.meta")
    with open_checkpoint(checkpoint) as opened:
        plan = plan_conversion(opened)
    assert (plan.network.name, plan.graph_source, plan.remarks) == ("lenet", "", ())


def test_what_is_said_of_a_graph_needs_one(own: OwnFiles, tmp_path: Path) -> None:
    """Without a ``.meta`` beside, the error asks for it."""
    for path in own.checkpoint.parent.glob("model.ckpt-7.[di]*"):
        shutil.copy(path, tmp_path)
    with pytest.raises(CheckpointReadError, match=r"output_tensors are of a graph, and there is no model.ckpt-7.meta"):
        slim2keras.convert(tmp_path / "model.ckpt-7", output_tensors=["Own/first/Relu"])
    with pytest.raises(UnsupportedGraphError, match="Own/frist/Relu"):
        slim2keras.convert(own.checkpoint, output_tensors=["Own/frist/Relu"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"graph": "a.meta", "net": "lenet"}, "A graph says itself which network it is: leave net out"),
        ({"graph": "a.meta", "num_classes": 5}, "leave num_classes out"),
        ({"output_tensors": ["a"], "net": "lenet"}, "leave net out"),
        ({"graph": "a.meta", "network": network, "input_shape": SHAPE}, "The function builds the network: leave graph"),
        ({"net": "lenet", "network": network, "input_shape": SHAPE}, "The function builds the network: leave net"),
        ({"network": network}, "give input_shape="),
        ({"network": 3}, "must be a Network(.|\n)*Received: int"),
        ({"input_tensors": "images"}, "input_tensors must be a list of tensor names. Received: input_tensors='images'"),
    ],
)
def test_what_excludes_each_other_is_refused_by_name(own: OwnFiles, arguments: Any, message: str) -> None:
    """Nothing is ignored."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        slim2keras.convert(own.checkpoint, **arguments)


@pytest.mark.parametrize("name", ["checkpoint", "frozen", "saved_model"])
def test_the_report_says_where_the_graph_is_from(own: OwnFiles, tmp_path: Path, name: str) -> None:
    """Path and hash, inputs and outputs, remarks; the file is loaded with its network."""
    convert_to_file(getattr(own, name), tmp_path / "own.keras")
    report = json.loads((tmp_path / "own.keras.json").read_text())
    imported = report["imported"]
    file = {"checkpoint": Path(f"{own.checkpoint}.meta"), "saved_model": own.saved_model / "saved_model.pb"}
    assert imported["sha256"] == sha256(file.get(name, own.frozen))
    assert imported["input_tensors"] == ["pictures"]
    assert imported["output_tensors"] == ["Own/logits/BiasAdd"]
    assert report["variables"]["network"] == 10
    assert report["largest_difference"] == 0.0
    check(slim2keras.load_model(tmp_path / "own.keras"), own)


def test_a_saved_model_of_keras_is_a_model_and_one_of_tensorflow_1_a_graph(own: OwnFiles) -> None:
    """Where either is taken."""
    with open_variables(own.saved_model) as opened:
        assert not isinstance(opened, ModelVariables)
        assert "Own/first/weights" in opened
