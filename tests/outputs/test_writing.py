"""Weights are laid as tf_keras lays them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from tests.reference import (
    SHALLOW_NET,
    SMALL_SHAPE,
    assign_values,
    small_spec,
    small_values,
    value,
    values_of,
    write_checkpoint,
)

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_a_weights_file_has_the_datasets_of_tf_keras_own_writer(tmp_path: Path) -> None:
    """The same places with the same values, below a scope too."""
    spec = small_spec(SHALLOW_NET, scope="a/b")
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", small_values(SHALLOW_NET, scope="a/b"))
    convert_to_file(checkpoint, tmp_path / "ours.weights.h5", CheckpointRequest(input_shape=SMALL_SHAPE))
    model = build_model(spec)
    assign_values(model, small_values(SHALLOW_NET, scope="a/b"))
    model.save_weights(tmp_path / "theirs.weights.h5")

    def datasets(path: Path) -> dict[str, np.ndarray]:
        found = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        return found

    ours, theirs = datasets(tmp_path / "ours.weights.h5"), datasets(tmp_path / "theirs.weights.h5")
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


def test_a_separable_convolution_survives_a_weights_file(tmp_path: Path) -> None:
    """tf_keras reads both of its kernels back."""
    spec = NetSpec.make("inception_v2", (64, 64, 3), {"num_classes": 3, "depth_multiplier": 0.1})
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values_of(spec.trace().variables()))
    convert_to_file(checkpoint, tmp_path / "model.weights.h5", CheckpointRequest(input_shape=(64, 64, 3)))
    model = build_model(spec)
    model.load_weights(tmp_path / "model.weights.h5")
    for name, variable in slim_variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), value(name, tuple(variable.shape)))
