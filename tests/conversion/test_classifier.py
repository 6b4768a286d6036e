"""Networks with another number of classes."""

from __future__ import annotations

import pytest

from slim2keras.conversion.classifier import fresh_scopes, with_classes
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs import layers
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from slim2keras.nets.spec import NetSpec
from tests.trainer.runs import tiny_network


@pytest.mark.parametrize(
    ("net", "fresh"),
    [
        ("resnet_v1_50", ("resnet_v1_50/logits",)),
        ("vgg_16", ("vgg_16/fc8",)),
        ("lenet", ("LeNet/fc4",)),
        ("mobilenet_v2", ("MobilenetV2/Logits/Conv2d_1c_1x1",)),
        ("inception_v3", ("InceptionV3/AuxLogits/Conv2d_2b_1x1", "InceptionV3/Logits/Conv2d_1c_1x1")),
    ],
)
def test_the_zoo_tells_its_classifiers_itself(net: str, fresh: tuple[str, ...]) -> None:
    """What has another shape with other classes, of the auxiliary logits too, and nothing else."""
    before = NetSpec.make(net, None, {})
    after = with_classes(before, 7)
    assert after.num_classes == 7
    assert set(fresh_scopes(before, after)) == set(fresh)


def test_the_same_classes_are_the_same_network() -> None:
    """Nothing starts afresh then."""
    network = tiny_network()
    assert with_classes(network, 5) is network
    assert fresh_scopes(network, network) == ()


def graph_network(*, reshapes: bool = False, ends_in_sum: bool = False) -> GraphNetwork:
    x = layers.inputs((8, 8, 3))
    graph = x.graph
    x = layers.conv2d(x, 4, 3, name="net/conv")
    x = layers.global_avg_pool(x, name="net/pool")
    x = layers.conv2d(x, 5, 1, activation=None, name="net/logits")
    if reshapes:
        x = graph.add(layers.Layer("Reshape", "net/reshape", {"target_shape": (5,)}, (x,)), (5,))
    if ends_in_sum:
        x = graph.add(layers.Layer("Add", "net/add", {}, (x, x)), x.shape)
    graph.outputs.append(x)
    return GraphNetwork("net", graph, num_classes=5)


@pytest.mark.parametrize("reshapes", [False, True])
def test_a_graph_gets_another_last_layer(reshapes: bool) -> None:
    """With what lies behind it; the model that is built has as many outputs."""
    before = graph_network(reshapes=reshapes)
    after = with_classes(before, 3)
    assert fresh_scopes(before, after) == ("net/logits",)
    assert build_model(after).output_shape[-1] == 3
    assert after.num_classes == 3
    assert before.graph.layers["net/logits"].config["filters"] == 5


def test_a_graph_that_ends_otherwise_is_refused() -> None:
    """It says what is there, and what to do."""
    with pytest.raises(UnsupportedArgumentError, match=r"its output comes from net/add \(Add\)"):
        with_classes(graph_network(ends_in_sum=True), 3)
