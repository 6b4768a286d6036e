"""Which BatchNorm layers go into the layer before them?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.folding import Folding, fold_graph, folded_network
from slim2keras.graphs.graph import Layer, LayerGraph, Tensor, Variable
from slim2keras.graphs.layers import BatchNorm
from slim2keras.graphs.network import GraphNetwork
from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec
from tests.towers_network import VARIABLES, towers_network

NORM = BatchNorm(scale=True)
SHAPE = (8, 8, 3)


def conv(x: Tensor, name: str = "net/conv", **options: Any) -> Tensor:
    return layers.conv2d(x, 4, 3, activation=None, biases_initializer=None, name=name, **options)


def norm(x: Tensor, name: str = "net/norm") -> Tensor:
    return layers.batch_norm(x, NORM, name=name)


def folded(build: Callable[[Tensor], Tensor], shape: tuple[int | None, ...] = SHAPE) -> Folding:
    """What becomes of what ``build`` lays on images."""
    x = layers.inputs(shape)
    x.graph.outputs = [build(x)]
    return fold_graph(x.graph)


def added(x: Tensor, kind: str, config: dict[str, Any], shape: Any = None, **options: Any) -> Tensor:
    return x.graph.add(Layer(kind, f"net/{kind}", config, (x,), **options), shape or x.shape)


BETWEEN: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda x: x,
    "identity": lambda x: layers.identity(x, name="net/identity"),
    "dropout": lambda x: layers.dropout(x, 0.5, name="net/dropout"),
    "another rank": lambda x: shapes.reshape(x, (64, 4), name="net/reshape"),
    "op of shape": lambda x: added(x, "TensorFlowOp", {"op": "Identity", "attributes": {}, "operands": [None]}),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_what_changes_no_value_may_lie_between(between: str) -> None:
    """Dropout changes none at inference, and a reshape none as long as the channels stay the last axis."""
    found = folded(lambda x: norm(BETWEEN[between](conv(x))))
    (fold,) = found.folds
    assert (fold.layer, fold.batch_norm) == ("net/conv", "net/norm")
    assert "net/norm" not in found.graph.layers
    assert not found.kept


KEPT: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "an activation": (lambda x: norm(layers.convolution(x, 4, 3, name="net/conv")), "class ReLU"),
    "its own activation": (
        lambda x: norm(added(x, "Conv2D", {"filters": 4, "kernel_size": (1, 1), "activation": "relu"}, (8, 8, 4))),
        "net/Conv2D activates before it",
    ),
    "padding": (lambda x: norm(shapes.pad2d(conv(x), 1, 1, name="net/pad")), "class ZeroPadding2D"),
    "flattened pixels": (lambda x: norm(shapes.flatten(conv(x), name="net/flat")), "class Flatten"),
    "another use": (
        lambda x: shapes.concat([norm(y := conv(x)), y], name="net/concat"),
        "what net/conv gives goes to net/concat",
    ),
    "channels first": (
        lambda x: norm(added(x, "Conv2D", {"filters": 8, "kernel_size": 1, "data_format": "channels_first"})),
        "another axis",
    ),
    "another axis": (lambda x: added(conv(x), "BatchNormalization", {"axis": 1}), "another axis"),
    "the images": (norm, "class InputLayer"),
}


@pytest.mark.parametrize("why", KEPT)
def test_what_cannot_be_folded_stays_and_it_is_said_why(why: str) -> None:
    """Padding with zeros is no longer padding with zeros once they were shifted; what is used twice is needed twice."""
    build, reason = KEPT[why]
    found = folded(build)
    assert not found.folds
    assert [reason in text for text in found.kept.values()] == [True], found.kept
    assert [layer.kind for layer in found.graph.layers.values()].count("BatchNormalization") == 1


@pytest.mark.parametrize(
    ("kind", "config"), [("LooseVariable", {"shape": (4,)}), ("TensorFlowOp", {"op": "Shape", "operands": (None,)})]
)
def test_what_takes_no_value_is_no_other_use(kind: str, config: dict[str, Any]) -> None:
    """A variable of an imported graph hangs on any tensor; a shape is the same after folding."""

    def build(x: Tensor) -> Tensor:
        x = conv(x)
        other = added(x, kind, config)
        return x.graph.add(Layer("Add", "net/sum", {}, (norm(x), other)), x.shape)

    assert [fold.layer for fold in folded(build).folds] == ["net/conv"]


def test_an_output_of_the_network_keeps_its_values() -> None:
    """A convolution whose own values are an output is none that BatchNorm may change."""
    x = layers.inputs(SHAPE)
    convolved = conv(x)
    x.graph.outputs = [norm(convolved), convolved]
    assert fold_graph(x.graph).kept == {"net/norm": "what net/conv gives goes to the outputs too"}


def test_end_points_between_a_layer_and_its_batch_norm_are_gone_and_others_stay() -> None:
    """Under its name an end point never holds other values than before."""
    x = layers.inputs(SHAPE)
    ends = x.graph.end_points
    ends["raw"] = conv(x)
    ends["named"] = layers.identity(ends["raw"], name="net/identity")
    ends["normalised"] = norm(ends["named"])
    x.graph.outputs = [layers.dropout(ends["normalised"], 0.5, name="net/dropout")]
    found = fold_graph(x.graph)
    assert found.lost_end_points == ["raw", "named"]
    assert {name: tensor.layer_name for name, tensor in found.graph.end_points.items()} == {
        "normalised": "net/identity"
    }


def test_layers_keep_their_names_and_get_biases_and_lose_penalties() -> None:
    """Of other weights a penalty would mean nothing; the one who asks for slim's name of a bias finds it."""
    found = folded(lambda x: norm(conv(x, weight_decay=0.1)))
    layer = found.graph.layers["net/conv"]
    assert [variable.name for variable in layer.variables] == ["net/conv/weights", "net/conv/biases"]
    assert layer.variables[1].shape == (4,)
    assert layer.config["use_bias"]
    assert "kernel_regularizer" not in layer.config


def test_biases_never_take_the_name_of_another_variable() -> None:
    """An imported graph may have a loose variable of the very name."""

    def build(x: Tensor) -> Tensor:
        y = norm(conv(x))
        loose = Variable("net/conv/biases", (4,))
        z = x.graph.add(Layer("LooseVariable", "loose", {"shape": (4,)}, (x,), (loose,)), (4,))
        return x.graph.add(Layer("Add", "net/sum", {}, (y, z)), y.shape)

    names = [variable.name for variable in folded(build).graph.variables()]
    assert sorted(names) == ["net/conv/biases", "net/conv/folded_biases_1", "net/conv/weights"]


def test_a_shared_layer_takes_up_the_batch_norm_that_follows_every_call() -> None:
    """Towers share both."""
    found = fold_graph(towers_network().graph)
    assert [(fold.layer, fold.batch_norm) for fold in found.folds] == [("tower/conv", "tower/bn")]
    assert [variable.name for variable in found.graph.variables()][:2] == [item.name for item in VARIABLES[:2]]


def again(x: Tensor, owner: str, like: Tensor) -> Tensor:
    """Call a layer once more."""
    known = x.graph.layers[owner]
    return x.graph.add(Layer(known.kind, f"{owner}_1", known.config, (x,), call_of=owner), like.shape)


def shared(first: str, second: str) -> LayerGraph:
    """A convolution called twice, followed by two BatchNorm layers or two calls of one."""
    x = layers.inputs(SHAPE)
    one = conv(x)
    two = again(layers.identity(x, name="net/other"), "net/conv", one)
    outputs = [norm(one, first)]
    if second == first:
        outputs.append(again(two, first, two))
    else:
        outputs.append(norm(two, second) if second else two)
    x.graph.outputs = outputs
    return x.graph


@pytest.mark.parametrize("second", ["other", ""])
def test_a_shared_layer_with_several_batch_norms_stays_as_it_is(second: str) -> None:
    """Its weights cannot be two."""
    assert fold_graph(shared("norm", "norm")).folds
    found = fold_graph(shared("norm", second))
    assert not found.folds
    assert found.kept["norm"] == "not every call of net/conv and of it goes to the other"


def test_a_shared_batch_norm_goes_where_every_call_of_it_can() -> None:
    """Into two layers; and stays in both places if one of them is no layer that takes it."""

    def build(x: Tensor, last: str) -> Tensor:
        one, two = norm(conv(x)), conv(x, "net/conv2")
        before = layers.identity(two, name="net/identity") if last == "identity" else added(two, "ReLU", {})
        return shapes.concat([one, again(before, "net/norm", two)], name="net/concat")

    assert [fold.layer for fold in folded(lambda x: build(x, "identity")).folds] == ["net/conv", "net/conv2"]
    found = folded(lambda x: build(x, "relu"))
    assert not found.folds
    assert found.kept == {"net/norm": "it follows net/ReLU, a layer of class ReLU"}


QUICK = ("densenet121", "i3d", "inception_v1", "lenet", "mobilenet_v3_small", "nasnet_cifar", "resnet_v2_50")


OTHERS = [pytest.param(net, marks=pytest.mark.slow) for net in NETS if net not in QUICK]


@pytest.mark.parametrize("net", [*QUICK, *OTHERS])
def test_of_every_network_each_batch_norm_is_folded_or_has_its_reason(net: str) -> None:
    """None is forgotten."""
    graph = NetSpec.make(net, None, {}).graph
    found = fold_graph(graph)
    norms = {layer.name for layer in graph.layers.values() if layer.kind == "BatchNormalization"}
    folds = {fold.batch_norm for fold in found.folds}
    assert folds | found.kept.keys() == norms
    assert not folds & found.kept.keys()
    assert not folds & found.graph.layers.keys()
    assert all(found.kept.values())


def test_a_folded_network_says_so_wherever_it_goes() -> None:
    """Its configuration is what a report holds; those from before know of no folding."""
    spec = NetSpec.make("mobilenet_v1_025", (64, 64, 3), {"num_classes": 5})
    network = folded_network(spec, fold_graph(spec.graph))
    config = json.loads(json.dumps(network.to_config()))
    again = GraphNetwork.from_config(config)
    assert again.is_folded
    facts = ("name", "preprocessing", "labels_offset", "num_classes", "input_shape")
    assert [getattr(again, fact) for fact in facts] == [getattr(spec, fact) for fact in facts]
    del config["is_folded"]
    assert not GraphNetwork.from_config(config).is_folded


def test_a_folded_network_of_open_sizes_knows_the_usual_ones() -> None:
    """Images are prepared for the size that the network was published for."""
    spec = NetSpec.make("mobilenet_v1_025", (None, None, 3), {})
    network = folded_network(spec, fold_graph(spec.graph))
    assert GraphNetwork.from_config(json.loads(json.dumps(network.to_config()))).usual_shape == (224, 224, 3)
