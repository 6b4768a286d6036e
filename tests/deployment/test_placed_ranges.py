"""Ranges of quantization-aware training find their layers by the names that tf.contrib.quantize gives them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from slim2keras.deployment.derived_ranges import derive_ranges
from slim2keras.deployment.placed_ranges import PlacedRanges, is_same_scope, place_ranges
from slim2keras.deployment.trained_ranges import Range
from slim2keras.errors import CheckpointMismatchError
from slim2keras.graphs.folding import fold_graph
from slim2keras.graphs.graph import LayerGraph
from slim2keras.nets.spec import NetSpec

UNIT = "resnet_v1_50/block1/unit_1/bottleneck_v1"


def graph_of(net: str) -> LayerGraph:
    return fold_graph(NetSpec.make(net, None, {"num_classes": 5}).graph).graph


def placed(net: str, *quantizers: str) -> PlacedRanges:
    """The ranges, each of another width, so that it is seen which is where."""
    return place_ranges(
        graph_of(net), {name: Range(0.0, float(width)) for width, name in enumerate(quantizers, start=1)}
    )


@pytest.mark.parametrize(
    ("net", "quantizer", "layer"),
    [
        ("mobilenet_v1", "MobilenetV1/MobilenetV1/Conv2d_0/act_quant", "MobilenetV1/Conv2d_0/Relu6"),
        (
            "mobilenet_v1",
            "MobilenetV1/MobilenetV1/Conv2d_1_depthwise/act_quant",
            "MobilenetV1/Conv2d_1_depthwise/Relu6",
        ),
        ("mobilenet_v1", "MobilenetV1/Logits/Conv2d_1c_1x1/act_quant", "MobilenetV1/Logits/Conv2d_1c_1x1"),
        ("mobilenet_v2", "MobilenetV2/Conv_1/act_quant", "MobilenetV2/Conv_1/Relu6"),
        ("mobilenet_v2", "MobilenetV2/expanded_conv_2/project/act_quant", "MobilenetV2/expanded_conv_2/project"),
        ("mobilenet_v2", "MobilenetV2/expanded_conv_2/add_quant", "MobilenetV2/expanded_conv_2/add"),
        ("mobilenet_v2", "MobilenetV2/expanded_conv_2/add/add_quant", "MobilenetV2/expanded_conv_2/add"),
        ("mobilenet_v2", "MobilenetV2/expanded_conv_2/post_activation_bypass_quant", "MobilenetV2/expanded_conv_2/add"),
        (
            "mobilenet_v3_small",
            "MobilenetV3/Conv/hard_swish/mul_1/activation_Mul_quant",
            "MobilenetV3/Conv/hard_swish/mul_1",
        ),
        ("mobilenet_v2", "MobilenetV2/expanded_conv_2/add/activation_Add_quant", "MobilenetV2/expanded_conv_2/add"),
        (
            "inception_v3",
            "InceptionV3/InceptionV3/Mixed_5b/Branch_1/Conv2d_0b_5x5/act_quant",
            "InceptionV3/Mixed_5b/Branch_1/Conv2d_0b_5x5/Relu",
        ),
    ],
)
def test_an_activation_finds_its_layer(net: str, quantizer: str, layer: str) -> None:
    """What leaves an activation, a layer without one, or a sum, by its scope, in which the root may be repeated."""
    assert placed(net, quantizer).outputs == {layer: Range(0.0, 1.0)}


def test_gates_of_one_block_find_their_layers_in_order() -> None:
    """``relu6(x + 3)`` is rounded by the scope around the layer before it, the second one of a scope by a number."""
    block = "MobilenetV3/expanded_conv_4"
    names = [f"{block}/act_quant_1", f"{block}/act_quant", f"{block}/squeeze_excite/act_quant", "MobilenetV3/act_quant"]
    found = {width.high: layer for layer, width in placed("mobilenet_v3_small", *names).outputs.items()}
    assert found == {
        1.0: f"{block}/depthwise/hard_swish/Relu6",
        2.0: f"{block}/expand/hard_swish/Relu6",
        3.0: f"{block}/squeeze_excite/Conv_1/hard_sigmoid/Relu6",
        4.0: "MobilenetV3/Conv/hard_swish/Relu6",
    }
    with pytest.raises(CheckpointMismatchError, match="expanded_conv_4/act_quant_2"):
        placed("mobilenet_v3_small", *names, f"{block}/act_quant_2")


def test_weights_find_their_layer() -> None:
    """Weights are those of the layer of their scope, and of no other that has a like name."""
    found = placed("mobilenet_v2", "MobilenetV2/Conv/weights_quant", "MobilenetV2/Conv_1/weights_quant")
    assert found.weights == {"MobilenetV2/Conv": Range(0.0, 1.0), "MobilenetV2/Conv_1": Range(0.0, 2.0)}


@pytest.mark.parametrize("bypassed", ["shortcut", "conv3"])
def test_the_activation_behind_a_sum(bypassed: str) -> None:
    """In a unit of ResNet the range in its scope is that of the activation behind the sum of what was bypassed."""
    found = placed("resnet_v1_50", f"{UNIT}/{bypassed}/conv_quant", f"{UNIT}/act_quant")
    assert found.outputs == {f"{UNIT}/{bypassed}": Range(0.0, 1.0), f"{UNIT}/Relu": Range(0.0, 2.0)}


def test_ranges_without_a_layer_are_listed() -> None:
    """All of them at once, the first few by name, and no close name is taken."""
    strays = [f"MobilenetV2/Conv_{number}/act_quant" for number in range(5, 20)]
    with pytest.raises(CheckpointMismatchError, match=r"15 of 16 ranges(.|\n)*Conv_5/act_quant(.|\n)*and 5 more"):
        placed("mobilenet_v2", "MobilenetV2/Conv/act_quant", *strays)


@pytest.mark.parametrize(
    ("scope", "name", "same"),
    [
        ("A/A/Conv", "A/Conv", True),
        ("F/A/A/Conv", "F/A/Conv", True),
        ("A/B/Conv", "A/Conv", False),
        ("A/Conv", "A/B/Conv", False),
        ("A/Conv_1", "A/Conv", False),
    ],
)
def test_scopes_repeat_parts_alone(scope: str, name: str, same: bool) -> None:
    """The scope of an op is a layer's if all that it has more are parts of the layer's own."""
    assert is_same_scope(scope, name) is same


def derived(net: str, known: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...], dict[str, Range]]:
    graph = graph_of(net)
    found = derive_ranges(
        graph, {name: Range(0.0, float(n)) for n, name in enumerate(known, start=1)}, Range(-1.0, 1.0)
    )
    return dict(found.derived), found.unknown, dict(found.known)


def test_a_concatenation_has_the_range_of_its_parts() -> None:
    """The widest of the branches, of which a pool has that of what it pools; images that of the preprocessing."""
    scope = "InceptionV3/Mixed_5b"
    branches = ["Branch_0/Conv2d_0a_1x1", "Branch_1/Conv2d_0b_5x5", "Branch_2/Conv2d_0c_3x3", "Branch_3/Conv2d_0b_1x1"]
    origins, unknown, known = derived("inception_v3", [f"{scope}/{name}/Relu" for name in branches])
    assert known[f"{scope}/concat"] == Range(0.0, 4.0)
    assert known["InceptionV3/Mixed_5c/Branch_3/AvgPool_0a_3x3"] == Range(0.0, 4.0)
    assert origins["inputs"] == "of the preprocessing"
    assert "InceptionV3/Mixed_5c/concat" in unknown
