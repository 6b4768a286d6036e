"""What ``build`` makes: plain functional models of stock layers."""

from __future__ import annotations

import numpy as np
import pytest

import slim2keras
from slim2keras.graphs.graph import Tensor
from slim2keras.models.building import build, build_model, model_of
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from tests.reference import SMALL_NET, assign_values, images, values_of
from tests.towers_network import SHAPE, VARIABLES, towers_network

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_fresh_temporal_convolutions_pass_everything_on() -> None:
    """slim starts the temporal half of a separable convolution as the identity in the middle frame."""
    model = slim2keras.build("s3dg", num_classes=0, input_shape=(4, 64, 64, 3), final_endpoint="Conv2d_2c_3x3")
    temporal = slim_variables(model)["InceptionV1/Conv2d_2c_3x3/temporal/weights"].numpy()
    np.testing.assert_array_equal(temporal[1, 0, 0], np.eye(temporal.shape[-1]))
    assert not np.any(temporal[[0, 2]])


def test_layers_are_stock_layers_named_after_slim_scopes() -> None:
    """What is built loads without slim2keras, and its variables are slim's."""
    import tf_keras

    model = build("inception_v3", num_classes=5, input_shape=(139, 139, 3), depth_multiplier=0.25)
    assert type(model) is tf_keras.Model or type(model).__name__ == "Functional"
    for layer in model.layers:
        assert type(layer) is getattr(tf_keras.layers, type(layer).__name__), layer
        assert type(layer).__name__ != "Lambda"
    wanted = [variable.name for variable in network_of(model).trace().variables()]
    assert set(slim_variables(model)) == set(wanted)


def test_auxiliary_logits_are_a_second_output_named_after_their_end_point() -> None:
    """Squeezed or not."""
    for squeeze in (True, False):
        arguments = {"spatial_squeeze": squeeze, "depth_multiplier": 0.25}
        model = build("inception_v3", num_classes=5, input_shape=(299, 299, 3), **arguments)
        assert model.output_names == ["Logits", "AuxLogits"]


def test_decay_epsilon_and_weight_decay_are_slims() -> None:
    """BatchNorm has the numbers given, and the loss is half the sum of squares."""
    import tf_keras

    model = build(SMALL_NET, depth_multiplier=0.125, batch_norm_decay=0.95, batch_norm_epsilon=1e-4, weight_decay=0.002)
    norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.95, 1e-4)}
    kernel = model.get_layer("resnet_v1_50/conv1").kernel
    first_loss = float(model.losses[0])
    assert first_loss == pytest.approx(0.002 * float(np.sum(kernel.numpy() ** 2)) / 2, rel=1e-6)
    assert len(model.losses) == len([name for name in slim_variables(model) if name.endswith("/weights")])


def test_without_weight_decay_there_are_no_losses() -> None:
    """A decay of 0 adds no terms of 0."""
    assert build(SMALL_NET, depth_multiplier=0.125, weight_decay=0.0).losses == []


def test_dropout_drops_in_training_alone() -> None:
    """At inference the same image gives the same bits."""
    model = build("lenet", num_classes=3, dropout_keep_prob=0.5)
    batch = images(0, (1, 28, 28, 1))
    still = [model(batch, training=False).numpy() for _ in range(2)]
    dropped = [model(batch, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.any(dropped[0] != dropped[1])


def test_variable_input_sizes() -> None:
    """One model with open sides takes images of several sizes."""
    model = build("resnet_v2_14", num_classes=4, input_shape=(None, None, 3))
    assert model(images(0, (1, 33, 48, 3))).shape == (1, 4)
    assert model(images(0, (2, 65, 64, 3))).shape == (2, 4)
    mapped = build(
        "inception_v3", num_classes=4, input_shape=(None, None, 3), spatial_squeeze=False, depth_multiplier=0.1
    )
    assert mapped(images(0, (1, 320, 310, 3)))[0].shape == (1, 1, 1, 4)


def test_towers_share_their_layers() -> None:
    """A call of an earlier layer makes none, whichever of its calls lead to an output."""
    import tf_keras

    network = towers_network()
    model = build_model(network)
    assert [tensor.name for tensor in model.inputs] == ["left", "right"]
    assert "tower/conv_1" not in {layer.name for layer in model.layers}
    graph = towers_network().layers
    graph.outputs = [Tensor(graph, "tower/prelu_1", (6, 5, 4))]
    second = model_of(graph, "second")
    assign_values(model, values_of(VARIABLES))
    assign_values(second, values_of(VARIABLES))
    pair = [images(0, (2, *SHAPE)), images(1, (2, *SHAPE))]
    same = [pair[1], pair[1]]
    np.testing.assert_array_equal(second(pair).numpy(), second(same).numpy())
    distance = tf_keras.Model(model.inputs, end_points(model)["distance"])
    assert np.any(distance(pair).numpy())
    assert not np.any(distance(same).numpy())


def test_channels_are_last_whatever_the_default_of_keras_is() -> None:
    """``keras.json`` of somebody who works with channels first changes no network, and stays as it is."""
    import tf_keras

    tf_keras.backend.set_image_data_format("channels_first")
    try:
        model = build("lenet", num_classes=3)
        assert tf_keras.backend.image_data_format() == "channels_first"
    finally:
        tf_keras.backend.set_image_data_format("channels_last")
    assert {layer.data_format for layer in model.layers if hasattr(layer, "data_format")} == {"channels_last"}
