"""End points of a model, by slim's names, before and after a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import UnrecognisedNetError
from slim2keras.models.building import build
from slim2keras.models.end_points import end_points
from slim2keras.nets.spec import NetSpec
from tests.parity.cases import QUICK, SHAPES
from tests.reference import SHALLOW_NET, images, small_spec

pytestmark = pytest.mark.usefixtures("shallow_resnets")


QUICK_TO_BUILD = ("inception_v2", "lenet", "mobilenet_v1_025", "mobilenet_v3_small", "resnet_v1_50")


@pytest.mark.parametrize(
    "net", [pytest.param(net, marks=() if net in QUICK_TO_BUILD else pytest.mark.slow) for net in QUICK]
)
def test_end_points_are_slims_in_slims_order(net: str) -> None:
    """With the shapes that the laid network has."""
    spec = NetSpec.make(net, SHAPES[net], {"num_classes": 5})
    model = build(net, num_classes=5, input_shape=spec.input_shape)
    found = end_points(model)
    assert list(found) == list(spec.trace().end_points)
    for name, tensor in spec.trace().end_points.items():
        assert tuple(found[name].shape[1:]) == tensor.shape, name


def test_a_model_that_is_no_network_of_slim_is_refused() -> None:
    """It has no end points to guess."""
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    with pytest.raises(UnrecognisedNetError, match="not a network of slim2keras"):
        end_points(model)


def test_a_saved_model_keeps_its_end_points(tmp_path: Path) -> None:
    """After stock tf_keras has loaded it, with the same bits."""
    import tf_keras

    spec = small_spec(SHALLOW_NET)
    model = slim2keras.build(SHALLOW_NET, **spec.changed_arguments(), input_shape=spec.input_shape)
    model.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    batch = images(1, (2, *spec.input_shape))
    ours = tf_keras.Model(model.input, end_points(model))(batch)
    theirs = tf_keras.Model(loaded.input, end_points(loaded))(batch)
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name].numpy(), theirs[name].numpy())
