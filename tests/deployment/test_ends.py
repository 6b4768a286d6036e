"""Inputs and outputs have names that people would choose."""

from __future__ import annotations

from slim2keras.deployment.ends import axis_names, output_names
from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.graphs.network import GraphNetwork
from slim2keras.nets.spec import NetSpec


def network_of(outputs: list[tuple[str, str]], num_classes: int | None = 5) -> GraphNetwork:
    graph = LayerGraph()
    images = graph.add(Layer("InputLayer", "images", {"input_shape": (8, 8, 3)}, ()), (8, 8, 3))
    for name, kind in outputs:
        graph.outputs.append(graph.add(Layer(kind, name, {}, (images,)), (5,)))
    return GraphNetwork("own", graph, num_classes=num_classes)


def test_outputs_are_called_by_what_they_are() -> None:
    """Logits, probabilities or features; the others by their last scope, or all of it where two have the same."""
    assert output_names(NetSpec.make("inception_v3", None, {"num_classes": 5})) == ("logits", "AuxLogits")
    assert output_names(NetSpec.make("lenet", None, {"num_classes": 0})) == ("features",)
    assert output_names(network_of([("net/out", "Softmax")])) == ("probabilities",)
    twins = network_of([("net/out", "Dense"), ("net/a/head", "Dense"), ("net/b/head", "Dense")])
    assert output_names(twins) == ("logits", "net/a/head", "net/b/head")
    assert output_names(network_of([("net/out", "Dense"), ("b/logits", "Dense")])) == ("logits", "b/logits")


def test_axes_are_called_by_what_they_count() -> None:
    """Of images, and of videos."""
    assert axis_names(NetSpec.make("lenet", None, {})) == ("batch", "height", "width")
    assert axis_names(NetSpec.make("i3d", None, {})) == ("batch", "frames", "height", "width")
