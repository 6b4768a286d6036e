from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from slim2keras.keras3.building import to_keras3
from slim2keras.keras3.pooling import average_pooling, is_symmetric, same_average_pool
from slim2keras.keras3.registration import own_layers
from tests.keras3.networks import model_of, pooled
from tests.keras3.test_building import difference
from tests.reference import images

MOVED = [(size, window, stride) for size in (7, 8) for window in (2, 3) for stride in (1, 2, 3)]


@pytest.mark.parametrize(("size", "window", "stride"), MOVED)
def test_it_leaves_the_padding_out(size: int, window: int, stride: int) -> None:
    """As TensorFlow does, whichever layers it is made of, and on axes that differ."""
    x = images(0, (2, size, size + 1, 3)) + 5
    config = {"pool_size": (window, 3), "strides": (stride, 2), "padding": "same"}
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, average_pooling("net/pool", config, inputs))
    wanted = tf.nn.avg_pool2d(x, (window, 3), (stride, 2), "SAME")
    np.testing.assert_allclose(model(x), wanted, rtol=1e-6)
    np.testing.assert_allclose(same_average_pool(x, (window, 3), (stride, 2)), wanted, rtol=1e-6)
    assert model.layers[-1].name == "net>pool"


@pytest.mark.parametrize("shape", [(9, 3), (4, 6, 5, 3)])
def test_of_signals_and_of_videos_too(shape: tuple[int, ...]) -> None:
    """One axis, or three."""
    rank = len(shape) - 1
    x = images(0, (2, *shape)) + 5
    stock = {1: keras.layers.AveragePooling1D, 3: keras.layers.AveragePooling3D}[rank](3, 2, "same")
    config = {"pool_size": (3,) * rank, "strides": (2,) * rank, "padding": "same"}
    inputs = keras.Input(shape)
    np.testing.assert_allclose(keras.Model(inputs, average_pooling("net/pool", config, inputs))(x), stock(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "window", "stride", "expected"), [(8, 3, 2, False), (9, 3, 2, True), (None, 3, 1, True)]
)
def test_where_the_stock_layer_is_right_everywhere_it_is_taken(
    size: int | None, window: int, stride: int, expected: bool
) -> None:
    """Where both ends are padded alike."""
    assert is_symmetric(size, window, stride) is expected
    inputs = keras.Input((size, size, 3))
    config = {"pool_size": (window, window), "strides": (stride, stride), "padding": "same"}
    model = keras.Model(inputs, average_pooling("net/pool", config, inputs))
    assert (len(model.layers) == 2) is expected


def test_of_known_sizes_stock_layers_are_enough() -> None:
    """The file loads without slim2keras."""
    model = model_of(pooled((8, 8, 3), 3, 2))
    built = to_keras3(model)
    assert own_layers(built) == []
    assert difference(model, built, images(0, (2, 8, 8, 3))) <= 1e-6


def test_of_open_sizes_it_takes_a_layer_of_ours() -> None:
    """Which of the two paddings it is, nobody knows before there is an image."""
    model = model_of(pooled((None, None, 3), 3, 2))
    built = to_keras3(model)
    assert own_layers(built) == ["SameAveragePooling"]
    assert built.input_shape == (None, None, None, 3)
    for size in (7, 8):
        assert difference(model, built, images(0, (2, size, size, 3))) <= 1e-6
