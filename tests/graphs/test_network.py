"""A network is a value that travels as text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec, network_from_config
from tests.own_network import WEIGHTS, own_network


@pytest.mark.parametrize("network", [own_network(), NetSpec.make("lenet", (28, 28, 1), {"num_classes": 3})])
def test_a_network_survives_json(network: Any) -> None:
    """Rebuilt from text it has the same layers."""
    rebuilt = network_from_config(json.loads(json.dumps(network.to_config())))
    assert rebuilt.graph.to_config() == network.graph.to_config()
    assert rebuilt.input_shape == network.input_shape
    assert rebuilt.preprocessing == network.preprocessing


def test_weights_that_no_initializer_gives_survive_json_too() -> None:
    """A layer's own initial values are part of the network."""
    rebuilt = network_from_config(json.loads(json.dumps(own_network().to_config())))
    np.testing.assert_array_equal(slim_variables(build_model(rebuilt))["own/second/weights"].numpy(), WEIGHTS)
