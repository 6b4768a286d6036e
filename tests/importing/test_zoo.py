"""The zoo is the test: the importer, given only the graph that slim itself lays, makes the model of the registry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.importing.imported import ImportedGraph, import_graph
from slim2keras.importing.sources import GraphSource, source_of_meta_graph
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import open_judge
from tests.parity.cases import JUDGED, QUICK, SHAPES, SLIM_SOURCE
from tests.reference import assign_values, images, values_of

pytestmark = pytest.mark.usefixtures("shallow_resnets")

QUICK_TO_IMPORT = {"resnet_v1_14", "inception_v2", "mobilenet_v1_025", "lenet"}
NETS = [net for net in JUDGED]
CASES = [
    pytest.param(net, mode, marks=() if net in QUICK_TO_IMPORT & {*QUICK} else pytest.mark.slow)
    for net in NETS
    for mode in ("training", "inference")
]
_OF_RUNS = ("kernel_initializer", "bias_initializer", "depthwise_initializer", "pointwise_initializer")


def graph_of(spec: NetSpec, *, is_training: bool) -> GraphSource:
    """The graph that slim lays, with the loss that its trainer takes of the logits."""
    with open_judge(SLIM_SOURCE) as judge:
        network = judge.build(spec, (None, *spec.input_shape), is_training=is_training, dropout_keep_prob=0.8)
        with network.graph.as_default():
            if is_training:
                add_losses(network.end_points)
            meta_graph = tf.compat.v1.train.export_meta_graph(graph=network.graph)
    return source_of_meta_graph(meta_graph, "model.ckpt-1.meta", "meta")


def add_losses(end_points: Any) -> None:
    """As slim's ``train_image_classifier``."""
    heads = [end_points["output"], *([end_points["AuxLogits"]] if "AuxLogits" in end_points else [])]
    for logits in heads:
        labels = tf.one_hot(tf.zeros(tf.shape(logits)[:1], tf.int64), logits.shape[-1])
        tf.compat.v1.losses.softmax_cross_entropy(labels, logits)


def owners(graph: LayerGraph) -> dict[str, Layer]:
    """Layers with variables that lead to the first output, by name."""
    used = graph.layers_to(graph.outputs[:1])
    return {layer.name: layer for layer in graph.layers.values() if layer.variables and layer.name in used}


def facts(layer: Layer) -> Any:
    """What makes a layer, besides the values that it starts from."""
    config = {key: value for key, value in layer.config.items() if not key.endswith("_initializer")}
    keras = {key: value for key, value in config.items() if value not in (None, 1, (1,) * 2, (1,) * 3) or key == "units"}
    return layer.kind, {key: repr(value) for key, value in sorted(keras.items()) if key not in _DEFAULTS or value != _DEFAULTS[key]}


_DEFAULTS = {"center": True, "padding": "valid", "fused": True}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[NetSpec, ImportedGraph]:
    net, mode = request.param
    spec = NetSpec.make(net, SHAPES[net], {"num_classes": 5, "weight_decay": 0.001})
    return spec, import_graph(graph_of(spec, is_training=mode == "training"), name=net)
