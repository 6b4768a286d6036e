"""Graphs as judges: a network of the zoo by the ``.meta`` that slim wrote beside its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import slim2keras
from slim2keras.errors import ModelReadError, UnsupportedArgumentError
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.parity import comparing, graph_judges
from tests.importing.test_bad_graphs import small_graph
from tests.importing.test_zoo import LARGE, meta_graph_of
from tests.reference import values_of, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a network that slim, as far as it is installed, does not have."""
    monkeypatch.setattr(graph_judges, "_slim_judges", lambda network: False)
    spec = NetSpec.make("resnet_v1_14", LARGE, {"num_classes": 5})
    return write_checkpoint(tmp_path / "model.ckpt-1", values_of(spec.graph.variables()))


def test_a_network_that_slim_lacks_is_judged_by_the_graph_beside_its_checkpoint(checkpoint: Path) -> None:
    """Every layer with variables and the logits, at inference and in training; another momentum is seen."""
    spec = NetSpec.make("resnet_v1_14", LARGE, {"num_classes": 5})
    Path(f"{checkpoint}.meta").write_bytes(meta_graph_of(spec, is_training=True).SerializeToString())
    model = slim2keras.convert(checkpoint, net="resnet_v1_14", input_shape=LARGE)
    report = slim2keras.verify(checkpoint, model)
    assert report.passed, report.first_failure
    judged = {comparison.name for comparison in report.comparisons if comparison.rung == "training"}
    assert {name.rpartition("/")[0] for name in slim_variables(model)} <= judged
    for layer in model.layers:
        layer.momentum = 0.5
    assert not slim2keras.verify(checkpoint, model).passed


def test_without_a_graph_the_error_is_that_of_slim(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to get research/slim."""

    def none_judges(*args: object) -> object:
        raise UnsupportedArgumentError("tf_slim has no network")

    model = slim2keras.convert(checkpoint, net="resnet_v1_14", input_shape=LARGE)
    monkeypatch.setattr(comparing, "compare_with_slim", lambda *args, **kwargs: none_judges())
    with pytest.raises(UnsupportedArgumentError, match="has no network"):
        slim2keras.verify(checkpoint, model)


@pytest.mark.parametrize(
    "wrong",
    [{"input_tensors": None}, {"output_tensors": [1]}, {"path": 3}, {"placeholder_values": []}, {"kind": None}],
)
def test_a_model_that_says_nonsense_of_its_graph_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """By it a graph is read again, in order to judge; and files of anybody say it."""
    (tmp_path / "frozen.pb").write_bytes(small_graph().SerializeToString())
    model = slim2keras.convert(tmp_path / "frozen.pb")
    network = model.slim_network
    model.slim_network = replace(network, origin={**network.origin, **wrong})
    with pytest.raises(ModelReadError, match="which is no place: its file is damaged"):
        slim2keras.verify(tmp_path / "frozen.pb", model)
