"""A model is described as tf_keras has it, without being built."""

from __future__ import annotations

import json

import pytest

from slim2keras.models.building import build_model
from slim2keras.outputs.outline import outline_of_model, outline_of_network
from tests.parity.cases import small_spec_of

ONE_OF_EACH_FAMILY = (
    "alexnet_v2",
    "cifarnet",
    "densenet121",
    "i3d",
    "inception_resnet_v2",
    "inception_v1",
    "inception_v2",
    "inception_v3",
    "inception_v4",
    "lenet",
    "mobilenet_v1_025",
    "mobilenet_v2_035",
    "mobilenet_v3_small",
    "nasnet_cifar",
    "overfeat",
    "resnet_v1_50",
    "resnet_v2_50",
    "s3dg",
    "vgg_a",
)

QUICK_TO_BUILD = ("cifarnet", "inception_v2", "lenet", "mobilenet_v1_025", "mobilenet_v3_small")


@pytest.mark.parametrize(
    "net",
    [pytest.param(net, marks=() if net in QUICK_TO_BUILD else pytest.mark.slow) for net in ONE_OF_EACH_FAMILY],
)
def test_a_network_is_described_without_being_built(net: str) -> None:
    """Configuration, order of layers, places of weights and number of parameters are those of the built model."""
    spec = small_spec_of(net)
    ours, theirs = outline_of_network(spec), outline_of_model(build_model(spec))
    assert json.dumps(ours.config()) == json.dumps(theirs.config())
    assert list(ours.places.items()) == list(theirs.places.items())
    assert ours.num_parameters == theirs.num_parameters
