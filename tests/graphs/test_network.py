"""A network is a value that travels as text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from slim2keras.graphs.graph import LayerGraph
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec, network_from_config
from tests.own_network import WEIGHTS, own_network
from tests.towers_network import ORIGIN, SHAPE, towers_network


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


def test_facts_of_an_imported_network() -> None:
    """All of its inputs, where it is from, and one decay of a layer that is called twice."""
    network = towers_network()
    assert (network.input_shape, network.input_shapes) == (SHAPE, (SHAPE, SHAPE))
    assert NetSpec.make("lenet", None, {}).input_shapes == ((28, 28, 1),)
    assert network.decays == {"tower/bn": 0.9}
    slower = network.with_decay(0.99)
    assert (slower.decays, slower.origin) == ({"tower/bn": 0.99}, ORIGIN)
    config = json.loads(json.dumps(slower.to_config()))
    assert network_from_config(config).origin == ORIGIN  # type: ignore[attr-defined]
    del config["origin"]
    assert network_from_config(config).origin is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("op", ["Softmax", "Sigmoid"])
def test_an_op_may_give_probabilities(op: str) -> None:
    """As a layer of Keras may."""
    assert towers_network().gives_logits
    assert not towers_network(output_op=op).gives_logits


def test_a_graph_without_inputs_is_no_network() -> None:
    """There would be nothing to feed."""
    with pytest.raises(ValueError, match="no InputLayer"):
        GraphNetwork("empty", LayerGraph())


def test_a_graph_without_outputs_is_refused() -> None:
    """There would be no model."""
    config = towers_network().to_config()
    config["graph"]["outputs"] = []
    with pytest.raises(ValueError, match="has no outputs"):
        GraphNetwork.from_config(config)
