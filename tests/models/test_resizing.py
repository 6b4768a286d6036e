"""The same network for images of another size."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build, build_model
from slim2keras.models.networks import network_of
from slim2keras.models.resizing import resized_model
from tests.reference import SHALLOW_NET, SMALL_ARGUMENTS, assign_values, images, small_spec, small_values


@pytest.mark.usefixtures("shallow_resnets")
def test_a_resized_network_has_the_same_values() -> None:
    """It gives what one that is built at that size gives; at its own size it is the model itself."""
    model = build_model(small_spec(SHALLOW_NET))
    assign_values(model, small_values(SHALLOW_NET))
    assert resized_model(model, (33, 36)) is model
    resized = resized_model(model, (40, 48))
    built = build(SHALLOW_NET, input_shape=(40, 48, 3), **SMALL_ARGUMENTS)
    assign_values(built, small_values(SHALLOW_NET))
    batch = images(0, (2, 40, 48, 3))
    np.testing.assert_array_equal(resized(batch), built(batch))
    assert network_of(resized).image_size == (40, 48)


def test_variables_that_go_by_the_size_are_refused() -> None:
    """So is a network of nobody's zoo, whose graph has a size."""
    with pytest.raises(UnsupportedArgumentError, match=r"lenet of images of .* has other variables than with 40 x 40"):
        resized_model(build("lenet", num_classes=3), (40, 40))
    graph = network_of(build("lenet", num_classes=3)).graph
    mine = build_model(GraphNetwork("mine", graph))
    assert isinstance(mine, tf_keras.Model)
    with pytest.raises(UnsupportedArgumentError, match=r"mine takes images of .*, as its graph says"):
        resized_model(mine, (40, 40))
