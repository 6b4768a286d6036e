"""Images as small as a network takes them, and smaller ones, which slim does not take either."""

from __future__ import annotations

import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import open_judge
from tests.parity.cases import OF_TF_SLIM, QUICK, SHAPES

SMALLEST = {
    "alexnet_v2": 195,
    "cifarnet": 4,
    "densenet121": 29,
    "inception_resnet_v1": 75,
    "inception_resnet_v2": 107,
    "inception_v1": 193,
    "inception_v2": 1,
    "inception_v3": 107,
    "inception_v4": 107,
    "lenet": 4,
    "mobilenet_edgetpu": 1,
    "mobilenet_v1_025": 1,
    "mobilenet_v2_035": 1,
    "mobilenet_v3_small": 1,
    "nasnet_cifar": 9,
    "pnasnet_mobile": 67,
    "resnet_v1_50": 1,
    "resnet_v2_50": 1,
    "s3dg": 1,
    "vgg_a": 224,
}
"""Side of the smallest square image that a network of each family takes; 1 where it pads everywhere."""
JUDGED = [net for net in SMALLEST if net.startswith(OF_TF_SLIM)]


def spec(net: str, size: int) -> NetSpec:
    shape = SHAPES[net]
    return NetSpec.make(net, (*shape[:-3], size, size, shape[-1]), {"num_classes": 3})


def test_every_family_has_a_smallest_size() -> None:
    """A family that is added is measured."""
    assert {*SMALLEST} == {*QUICK}


@pytest.mark.parametrize("net", SMALLEST)
def test_one_pixel_less_is_refused_by_name(net: str) -> None:
    """Before anything is built, with the layer that it does not reach."""
    size = SMALLEST[net]
    assert spec(net, size).graph.layers
    if size > 1:
        with pytest.raises(UnsupportedArgumentError, match=r"The input is too small: \S+ needs at least \d+ pixels"):
            _ = spec(net, size - 1).graph


@pytest.mark.slow
@pytest.mark.parametrize("net", JUDGED)
def test_slim_draws_the_line_at_the_same_pixel(net: str) -> None:
    """Its graph cannot be built of a smaller image either."""
    size, channels = SMALLEST[net], SHAPES[net][-1]
    with open_judge() as judge:
        judge.build(spec(net, size), (2, size, size, channels), is_training=False)
        if size > 1:
            with pytest.raises(ValueError, match="Negative dimension size"):
                judge.build(spec(net, size - 1), (2, size - 1, size - 1, channels), is_training=False)
