"""Variables of models by the names and shapes of a checkpoint."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from slim2keras.models.building import build_model
from slim2keras.models.variables import StoredShapes, slim_variables, stored_shapes
from tests.towers_network import VARIABLES, towers_network


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


def test_a_model_of_other_variables_does_not_get_the_names() -> None:
    """A network is believed by its layers, variables and calls; then its names are the model's."""
    import tf_keras

    network = towers_network()
    plain = tf_keras.Model.from_config(build_model(network).get_config())
    assert "tower/conv/weights" in slim_variables(plain)
    other = towers_network()
    other.layers.layers["tower/conv_1"].inputs = ()  # type: ignore[misc]
