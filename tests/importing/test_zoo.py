"""The zoo is the test: the importer, given only the graph that slim itself lays, makes the model of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.importing.imported import ImportedGraph, import_graph
from slim2keras.importing.sources import GraphSource, source_of_meta_graph
from slim2keras.models.building import build_model, make_layer
from slim2keras.models.variables import slim_variables
from slim2keras.nets import find_net
from slim2keras.nets.arguments import KeepProbability
from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import open_judge
from tests.parity.cases import JUDGED, SHAPES, SLIM_SOURCE
from tests.reference import SHALLOW_NETS, assign_values, images, values_of

pytestmark = pytest.mark.usefixtures("shallow_resnets")

QUICK_CASES = {("resnet_v1_14", "training"), ("resnet_v2_14", "inference")}
CASES = [
    pytest.param((net, mode), marks=() if (net, mode) in QUICK_CASES else pytest.mark.slow, id=f"{net}-{mode}")
    for net in (*SHALLOW_NETS, *JUDGED)
    for mode in ("training", "inference")
]
LARGE = (97, 64, 3)
KEPT = 0.8
"""Of values by dropout and of paths by drop-path."""


def meta_graph_of(spec: NetSpec, *, is_training: bool) -> Any:
    """The graph that slim lays, with the loss that its trainer takes of the logits."""
    with open_judge(SLIM_SOURCE) as judge:
        network = judge.build(spec, (None, *spec.input_shape), is_training=is_training, dropout_keep_prob=KEPT)
        with network.graph.as_default():
            if is_training:
                add_losses(network.end_points)
            return tf.compat.v1.train.export_meta_graph(graph=network.graph)


def graph_of(spec: NetSpec, *, is_training: bool) -> GraphSource:
    return source_of_meta_graph(meta_graph_of(spec, is_training=is_training), "model.ckpt-1.meta", "meta")


def add_losses(end_points: Any) -> None:
    """As slim's ``train_image_classifier``."""
    heads = [end_points["output"], *([end_points["AuxLogits"]] if "AuxLogits" in end_points else [])]
    for head in heads:
        logits = tf.squeeze(head, [1, 2]) if head.shape.rank == 4 else head
        labels = tf.one_hot(tf.zeros(tf.shape(logits)[:1], tf.int64), logits.shape[-1])
        tf.compat.v1.losses.softmax_cross_entropy(labels, logits)


def owners(graph: LayerGraph) -> dict[str, Layer]:
    """Layers with variables that lead to the first output, by name."""
    used = graph.layers_to(graph.outputs[:1])
    return {layer.name: layer for layer in graph.layers.values() if layer.variables and layer.name in used}


def facts(layer: Layer, *, trains: bool) -> Any:
    """What makes a layer, besides the values that it starts from; only a graph that trains tells the decay."""
    left_out = ("initializer",) if trains else ("initializer", "momentum")
    config = make_layer(layer).get_config()
    kept = {key: value for key, value in config.items() if not key.endswith(left_out)}
    return layer.kind, kept, layer.variables


@dataclass(frozen=True)
class Imported:
    """A network of the registry, and what was imported from slim's graph of it."""

    spec: NetSpec
    imported: ImportedGraph
    trains: bool


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Imported:
    net, mode = request.param
    kept = dict.fromkeys(find_net(net).marked(KeepProbability), KEPT)
    spec = NetSpec.make(net, SHAPES.get(net, LARGE), {"num_classes": 5, "weight_decay": 0.001, **kept})
    source = graph_of(spec, is_training=mode == "training")
    return Imported(spec, import_graph(source, name=net), mode == "training")


def test_layers_with_variables_are_those_of_the_registry(case: Imported) -> None:
    """By name, class, window, epsilon, regularizers and, from a graph that trains, decay; and which variables train."""
    theirs, ours = owners(case.spec.graph), owners(case.imported.network.graph)
    assert set(ours) == set(theirs)
    for name, layer in theirs.items():
        assert facts(ours[name], trains=case.trains) == facts(layer, trains=case.trains)


def test_outputs_have_the_same_bits(case: Imported) -> None:
    """And the losses of regularization are the same."""
    values = values_of(case.spec.graph.variables())
    batch = images(3, (3, *case.spec.input_shape))
    outputs, losses = [], []
    for network in (case.spec, case.imported.network):
        model = build_model(network)
        assign_values(model, {name: values[name] for name in slim_variables(model)})
        outputs.append(np.ravel(tf.nest.flatten(model(batch, training=False))[0]))
        losses.append(float(sum(map(float, model.losses))))
    np.testing.assert_array_equal(*outputs)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_a_graph_that_trains_drops_as_the_registry_does(case: Imported) -> None:
    """Values and whole paths, these at the end of their schedule."""
    if not case.trains:
        pytest.skip("a graph for inference drops nothing")

    def rates(graph: LayerGraph) -> list[float]:
        return sorted(round(layer.config["rate"], 6) for layer in graph.layers.values() if layer.kind == "Dropout")

    assert rates(case.imported.network.graph) == rates(case.spec.graph)


def test_a_decay_that_the_graph_does_not_tell_is_said_to_be_assumed(case: Imported) -> None:
    """A graph for inference moves no statistics."""
    has_norms = bool(case.spec.decays)
    assert case.imported.decay_is_known is (case.trains or not has_norms)
    assert any("is assumed" in remark for remark in case.imported.remarks) is not case.imported.decay_is_known
