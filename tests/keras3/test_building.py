from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.deployment.proof import relative_difference
from slim2keras.errors import UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.graphs import layers
from slim2keras.graphs.graph import Layer
from slim2keras.graphs.network import GraphNetwork
from slim2keras.keras3.building import build_keras3, to_keras3
from slim2keras.keras3.registration import own_layers
from slim2keras.models.variables import slim_variables
from tests.keras3.networks import model_of, pooled
from tests.own_network import SHAPE, WEIGHTS, own_network
from tests.reference import images
from tests.towers_network import towers_network

BAR = 1e-5


def difference(ours: Any, theirs: Any, inputs: Any) -> float:
    """Largest between the outputs of a tf_keras model and of the Keras 3 model of it."""
    wanted = tf.nest.flatten(ours(inputs, training=False))
    found = keras.tree.flatten(theirs(inputs, training=False))
    assert [tuple(item.shape) for item in found] == [tuple(item.shape) for item in wanted]
    return max(relative_difference(np.asarray(f), np.asarray(w)) for f, w in zip(found, wanted, strict=True))


@pytest.fixture(scope="module", name="mobilenet")
def _mobilenet() -> Any:
    spec = slim2keras.build("mobilenet_v1_025", num_classes=5, input_shape=(32, 32, 3), weight_decay=4e-5)
    return model_of(spec.slim_network)


def test_outputs_are_those_of_tf_keras(mobilenet: Any) -> None:
    """Of stock layers alone, named after slim's scopes."""
    built = slim2keras.to_keras3(mobilenet)
    assert difference(mobilenet, built, images(0, (2, 32, 32, 3))) <= BAR
    assert own_layers(built) == []
    assert built.get_layer("MobilenetV1>Conv2d_1_depthwise").get_config()["strides"] == (1, 1)
    assert {*slim_variables(built)} == {*slim_variables(mobilenet)}


def test_one_other_weight_is_seen(mobilenet: Any) -> None:
    """The comparison can fail."""
    built = to_keras3(mobilenet)
    kernel = built.get_layer("MobilenetV1>Conv2d_13_pointwise").kernel
    kernel.assign(np.asarray(kernel)[:, :, ::-1])
    assert difference(mobilenet, built, images(0, (2, 32, 32, 3))) > 100 * BAR


def test_regularization_and_momentum_are_slims(mobilenet: Any) -> None:
    """Training goes on with the same loss, and the same decay of the statistics."""
    built = to_keras3(mobilenet)
    assert float(sum(built.losses)) == pytest.approx(float(sum(mobilenet.losses)), rel=1e-6)
    norm = built.get_layer("MobilenetV1>Conv2d_0>BatchNorm")
    assert (norm.momentum, norm.epsilon) == (0.9997, 0.001)


def test_what_is_frozen_stays_frozen() -> None:
    """A flag of a layer is part of a model."""
    model = model_of(own_network())
    model.get_layer("own/first").trainable = False
    built = to_keras3(model)
    assert [layer.name for layer in built.layers if not layer.trainable] == ["own>first"]


def test_variables_start_as_slim_has_them() -> None:
    """By its initializers, and by the values of a network of one's own."""
    built = build_keras3(own_network())
    np.testing.assert_array_equal(np.asarray(built.get_layer("own>second").kernel), WEIGHTS)
    assert np.asarray(built.get_layer("own>first").kernel).std() > 0


def test_slims_batch_norm_gives_the_same_at_inference() -> None:
    """It is another layer in training alone, and the file needs it."""
    model = model_of(own_network())
    built = to_keras3(model, batch_norm_layer="slim")
    assert own_layers(built) == ["BatchNormalization"]
    assert difference(model, built, images(0, (2, *SHAPE))) <= BAR


def test_towers_share_their_variables() -> None:
    """A layer that is called twice is one layer, and two inputs are two inputs."""
    model = model_of(towers_network())
    built = to_keras3(model)
    inputs = [images(seed, (3, *shape)) for seed, shape in enumerate(model.slim_network.input_shapes)]
    assert difference(model, built, inputs) <= BAR
    assert {*slim_variables(built)} == {*slim_variables(model)}


def test_drop_path_drops_whole_images() -> None:
    """The shape of the noise is NASNet's."""
    x = layers.inputs((4, 4, 3))
    x.graph.outputs = [layers.drop_path(x, 0.5, name="net/drop")]
    built = build_keras3(GraphNetwork("net", x.graph))
    ratios = np.asarray(built(np.ones((64, 4, 4, 3), "float32"), training=True))
    assert {0.0, 2.0} == {*ratios.ravel().tolist()}
    assert all(np.ptp(image) == 0 for image in ratios)


@pytest.fixture(name="_channels_first")
def _channels_first() -> Iterator[None]:
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


@pytest.mark.usefixtures("_channels_first")
def test_channels_are_last_whatever_somebody_has_as_default() -> None:
    """In a ``keras.json`` of long ago, which stays as it is; open sizes are pooled by a layer of ours."""
    for network in (own_network(), pooled((None, None, 3), 3, 2)):
        model = model_of(network)
        built = to_keras3(model)
        shape = SHAPE if network.name == "own" else (8, 8, 3)
        assert difference(model, built, images(0, (2, *shape))) <= BAR
    assert keras.config.image_data_format() == "channels_first"


def test_an_unknown_batch_norm_layer_is_refused() -> None:
    """With what there is."""
    with pytest.raises(UnsupportedArgumentError, match="batch_norm_layer must be 'keras' or 'slim'"):
        to_keras3(model_of(own_network()), batch_norm_layer="torch")


def test_a_layer_that_keras_3_lacks_is_named() -> None:
    """Kind and scope."""
    x = layers.inputs((4,))
    x.graph.outputs = [x.graph.add(Layer("ThresholdedReLU", "net/thresholded", {}, (x,)), (4,))]
    with pytest.raises(UnsupportedGraphError, match=r"net/thresholded: Keras 3\S* has no layer ThresholdedReLU"):
        build_keras3(GraphNetwork("net", x.graph))


@pytest.mark.slow
def test_networks_may_be_deep() -> None:
    """Keras goes through a model by recursion, and a thousand frames are Python's limit."""
    x = layers.inputs((4,))
    graph = x.graph
    for number in range(1200):
        x = layers.identity(x, name=f"net/{number}")
    graph.outputs = [x]
    assert len(build_keras3(GraphNetwork("net", graph)).layers) == 1201
