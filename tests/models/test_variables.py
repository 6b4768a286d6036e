"""Variables of models by the names and shapes of a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from slim2keras.graphs.graph import LayerGraph
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from slim2keras.models.networks import keep_network, knows_network
from slim2keras.models.variables import (
    StoredShapes,
    restore_stored_variables,
    share_stored_variables,
    slim_variables,
    stored_shapes,
    stored_variables_config,
)
from tests.own_network import own_network
from tests.towers_network import SHAPE, VARIABLES, towers_network


def test_names_and_shapes_are_those_of_the_network() -> None:
    """Of every variable, trainable or not, also where Keras has more axes of size one."""
    model = build_model(towers_network())
    shapes = stored_shapes(model)
    found = {name: shapes.of(name, variable) for name, variable in slim_variables(model).items()}
    assert found == {variable.name: variable.shape for variable in VARIABLES}
    assert shapes.differing == {"tower/prelu/alpha": (4,)}


def test_slots_and_shadows_have_the_shape_of_their_variable() -> None:
    """A variable that only lies below another one, and has other values, keeps its own."""
    shapes = StoredShapes({"net/alpha": (4,), "net/one": ()})
    value = np.arange(4.0).reshape(1, 1, 4)
    np.testing.assert_array_equal(shapes.stored("net/alpha/Momentum", value), np.arange(4.0))
    assert shapes.of("net/one", np.ones(1)) == ()
    assert shapes.of("net/alpha/other", SimpleNamespace(shape=(2, 3))) == (2, 3)


def swapped(network: GraphNetwork) -> GraphNetwork:
    """The same layers, the second tower on the first image."""
    config = network.layers.to_config()
    row = next(row for row in config["layers"] if row["config"]["name"] == "tower/conv_1")
    row["inputs"] = [["left", SHAPE]]
    return replace(network, layers=LayerGraph.from_config(config))


def test_a_model_gets_the_names_of_a_network_that_it_is() -> None:
    """A network is believed by its layers, their variables, and what every call of them is on."""
    import tf_keras

    network = towers_network()
    plain = tf_keras.Model.from_config(build_model(network).get_config())
    for other in (own_network(), swapped(network)):
        keep_network(plain, other)
        assert not knows_network(plain)
        assert "tower/conv/weights" in slim_variables(plain)
    keep_network(plain, network)
    assert knows_network(plain)
    assert {*slim_variables(plain)} == {variable.name for variable in VARIABLES}


def test_names_are_shared_by_name_and_survive_as_plain_values() -> None:
    """What a copy, or a file, needs to know."""
    import tf_keras

    model = build_model(towers_network())
    copies = [tf_keras.Model.from_config(model.get_config()) for _ in range(2)]
    share_stored_variables(model, copies[0])
    restore_stored_variables(copies[1], json.loads(json.dumps(stored_variables_config(model))))
    for copy in copies:
        assert [*slim_variables(copy)] == [*slim_variables(model)]
        assert stored_shapes(copy) == stored_shapes(model)
