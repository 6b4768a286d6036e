"""Drop-path: off at inference, scaled by depth, growing with the step, as slim's ``_apply_drop_path`` has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.drop_path import scheduled_drop_path
from slim2keras.models.building import build
from slim2keras.models.networks import network_of
from tests.reference import images

ARGUMENTS = {
    "num_classes": 3,
    "input_shape": (32, 32, 3),
    "num_cells": 3,
    "num_conv_filters": 8,
    "total_training_steps": 100,
}


@pytest.fixture(scope="module")
def model() -> Any:
    return build("nasnet_cifar", drop_path_keep_prob=0.5, **ARGUMENTS)


def rates(model: Any) -> dict[str, float]:
    return {layer.name: layer.rate for layer in model.layers if getattr(layer, "noise_shape", None)}


def test_the_rate_grows_with_the_depth_of_the_cell(model: Any) -> None:
    """Linearly, reduction cells counted as slim counts them."""
    cells = {name.split("/")[0]: rate for name, rate in rates(model).items()}
    # Two reduction cells among three normal ones; slim counts all five.
    order = ["cell_0", "reduction_cell_0", "cell_1", "reduction_cell_1", "cell_2"]
    assert cells == pytest.approx({cell: 0.5 * depth / 5 for depth, cell in enumerate(order, start=1)})


@pytest.mark.parametrize(("step", "ratio"), [(0, 0.0), (25, 0.25), (100, 1.0), (1000, 1.0)])
def test_the_rate_grows_with_the_training_step(model: Any, step: int, ratio: float) -> None:
    """Up to the final rate, which is there again afterwards."""
    final = rates(model)
    with scheduled_drop_path(model, step):
        scheduled = {name: float(rate) for name, rate in rates(model).items()}
    assert scheduled == pytest.approx({name: rate * ratio for name, rate in final.items()})
    assert rates(model) == final


def test_paths_are_dropped_whole_for_an_image_and_scaled_otherwise(model: Any) -> None:
    """At the rate of the cell; at inference they pass as they are."""
    import tensorflow as tf

    name = next(name for name in rates(model) if name.startswith("cell_2"))
    ones = np.ones((400, 4, 4, 2), "float32")
    dropped = model.get_layer(name)(ones, training=True).numpy()
    per_image = dropped.reshape(400, -1)
    np.testing.assert_array_equal(per_image, per_image[:, :1].repeat(per_image.shape[1], axis=1))
    assert set(np.unique(per_image)) == {np.float32(0.0), np.float32(2.0)}
    assert 0.35 < np.mean(per_image == 0) < 0.65
    np.testing.assert_array_equal(model.get_layer(name)(tf.constant(ones), training=False).numpy(), ones)


def test_the_schedule_works_in_a_compiled_step(model: Any) -> None:
    """The step is read at each call, not when the function is traced."""
    import tensorflow as tf

    steps = tf.Variable(0, dtype=tf.int64)
    batch = images(0, (2, 32, 32, 3))

    @tf.function
    def features() -> Any:
        with scheduled_drop_path(model, steps):
            return model(batch, training=True)[0]

    first, second = features().numpy(), features().numpy()
    np.testing.assert_array_equal(first, second)
    steps.assign(100)
    assert any(np.any(features().numpy() != first) for _ in range(5))


def test_at_inference_nothing_is_dropped(model: Any) -> None:
    """However far the training is."""
    batch = images(0, (2, 32, 32, 3))
    with scheduled_drop_path(model, 100):
        first, second = (model(batch, training=False)[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_network_without_drop_path_is_left_as_it_is() -> None:
    """There is nothing to schedule in it."""
    other = build("lenet")
    with scheduled_drop_path(other, 10):
        assert not rates(other)


def test_a_fine_tuned_model_from_a_file_keeps_the_steps_of_its_schedule(tmp_path: Path) -> None:
    """Layers do not tell over how many steps drop-path grows; the network that is saved with the model does."""
    tuned = slim2keras.finetune(build("nasnet_cifar", **ARGUMENTS), batch_norm="frozen")
    tuned.save(tmp_path / "tuned.keras")
    loaded = slim2keras.load_model(tmp_path / "tuned.keras")
    assert network_of(loaded).drop_path_steps == ARGUMENTS["total_training_steps"]
