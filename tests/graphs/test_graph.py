"""A network as data knows its shapes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from slim2keras.graphs.graph import LayerGraph, Tensor
from slim2keras.models.building import make_layer
from slim2keras.nets import NETS, list_nets
from tests.own_network import own_network
from tests.towers_network import VARIABLES, towers_network


@pytest.mark.parametrize("net", list_nets())
def test_shapes_of_the_laid_network_are_those_of_keras(net: str) -> None:
    """The graph computes shapes by itself; here Keras computes them, without making variables of the real size."""
    import tensorflow as tf

    graph = NETS[net].trace(NETS[net].default_input_shape, num_classes=7)
    shapes: dict[str, tuple[Any, ...]] = {}
    for layer in graph.layers.values():
        if layer.kind == "InputLayer":
            shapes[layer.name] = (None, *layer.config["input_shape"])
            continue
        inputs = [tf.TensorShape(shapes[tensor.layer_name]) for tensor in layer.inputs]
        shape = make_layer(layer).compute_output_shape(inputs[0] if len(inputs) == 1 else inputs)
        shapes[layer.name] = tuple(shape)
    for tensor in (*graph.outputs, *graph.end_points.values()):
        assert shapes[tensor.layer_name][1:] == tensor.shape, tensor.layer_name


def test_a_graph_of_an_imported_network_comes_back_from_its_config() -> None:
    """Names of variables, calls of other layers and several inputs, through JSON and back."""
    config = json.dumps(towers_network().layers.to_config())
    graph = LayerGraph.from_config(json.loads(config))
    assert json.dumps(graph.to_config()) == config
    assert [layer.name for layer in graph.input_layers] == ["left", "right"]
    assert graph.layers["tower/conv_1"].call_of == "tower/conv"
    assert graph.layers["tower/conv"].variable_name("kernel") == "CNN1/conv_W"
    assert graph.layers["head"].variable_name("kernel") == "head/weights"


def test_reports_of_earlier_versions_are_read() -> None:
    """They know neither names of one's own nor calls."""
    config = own_network().layers.to_config()
    for row in config["layers"]:
        del row["variable_names"], row["call_of"]
    graph = LayerGraph.from_config(config)
    assert list(graph.variables()) == list(own_network().layers.variables())
    assert graph.is_plain


@pytest.mark.parametrize(
    "change",
    [{"call_of": "nowhere"}, {"call_of": "tower/conv_1"}, {"call_of": "tower/bn"}, {"call_of": "head"}],
)
def test_a_call_of_no_earlier_layer_is_refused(change: dict[str, str]) -> None:
    """A report cannot have a layer call itself, a later one, another call, or one of another kind."""
    config = towers_network().layers.to_config()
    row = next(row for row in config["layers"] if row["config"]["name"] == "tower/conv_1")
    row.update(change)
    with pytest.raises(ValueError, match="no call of an earlier layer"):
        LayerGraph.from_config(config)


def test_shared_variables_are_counted_once() -> None:
    """Also where only a later call of their layer leads to an output."""
    graph = towers_network().layers
    assert list(graph.variables()) == list(VARIABLES)
    graph.outputs = [Tensor(graph, "tower/prelu_1", (6, 5, 4))]
    assert list(graph.variables()) == list(VARIABLES[:7])


def test_only_plain_graphs_are_written_without_a_model() -> None:
    """slim's nets are plain; two inputs, shared layers, odd names and Keras' own shapes make a graph that is not."""
    assert own_network().layers.is_plain
    assert not towers_network().layers.is_plain
    for change in ({"variable_names": {"kernel": "W"}}, {"kind": "PReLU"}, {"call_of": "own/first"}):
        graph = own_network().layers
        graph.layers["own/second"] = replace(graph.layers["own/second"], **change)
        assert not graph.is_plain
