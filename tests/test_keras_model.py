"""What ``build`` makes: plain functional models of stock layers, that keep their end points when saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import UnrecognisedNetError
from slim2keras.models.building import build, make_layer
from slim2keras.models.config import model_config
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.models.precision import in_float32
from slim2keras.models.variables import slim_variables
from slim2keras.nets import NETS, list_nets
from slim2keras.nets.spec import NetSpec
from tests.parity.cases import QUICK, QUICK_VARIANTS, SHAPES, VARIANTS
from tests.reference import SHALLOW_NET, SMALL_NET, images, small_spec

pytestmark = pytest.mark.usefixtures("shallow_resnets")

QUICK_TO_BUILD = ("inception_v2", "lenet", "mobilenet_v1_025", "mobilenet_v3_small", "resnet_v1_50")
QUICK_TO_TELL = ("lenet", "mobilenet_v1", "mobilenet_v1_050", "mobilenet_v2")


def test_layers_are_stock_layers_named_after_slim_scopes() -> None:
    import tf_keras

    model = build("inception_v3", num_classes=5, input_shape=(139, 139, 3), depth_multiplier=0.25)
    assert type(model) is tf_keras.Model or type(model).__name__ == "Functional"
    for layer in model.layers:
        assert type(layer) is getattr(tf_keras.layers, type(layer).__name__), layer
        assert type(layer).__name__ != "Lambda"
    wanted = [variable.name for variable in network_of(model).trace().variables()]
    assert set(slim_variables(model)) == set(wanted)


def test_auxiliary_logits_are_a_second_output_named_after_their_end_point() -> None:
    for squeeze in (True, False):
        arguments = {"spatial_squeeze": squeeze, "depth_multiplier": 0.25}
        model = build("inception_v3", num_classes=5, input_shape=(299, 299, 3), **arguments)
        assert model.output_names == ["Logits", "AuxLogits"]


def test_decay_epsilon_and_weight_decay_are_slims() -> None:
    import tf_keras

    model = build(SMALL_NET, depth_multiplier=0.125, batch_norm_decay=0.95, batch_norm_epsilon=1e-4, weight_decay=0.002)
    norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.95, 1e-4)}
    kernel = model.get_layer("resnet_v1_50/conv1").kernel
    first_loss = float(model.losses[0])
    assert first_loss == pytest.approx(0.002 * float(np.sum(kernel.numpy() ** 2)) / 2, rel=1e-6)
    assert len(model.losses) == len([name for name in slim_variables(model) if name.endswith("/weights")])


def test_without_weight_decay_there_are_no_losses() -> None:
    assert build(SMALL_NET, depth_multiplier=0.125, weight_decay=0.0).losses == []


def test_dropout_drops_in_training_alone() -> None:
    model = build("lenet", num_classes=3, dropout_keep_prob=0.5)
    batch = images(0, (1, 28, 28, 1))
    still = [model(batch, training=False).numpy() for _ in range(2)]
    dropped = [model(batch, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.any(dropped[0] != dropped[1])


@pytest.mark.parametrize(
    "net", [pytest.param(net, marks=() if net in QUICK_TO_BUILD else pytest.mark.slow) for net in QUICK]
)
def test_end_points_are_slims_in_slims_order(net: str) -> None:
    spec = NetSpec.make(net, SHAPES[net], {"num_classes": 5})
    model = build(net, num_classes=5, input_shape=spec.input_shape)
    found = end_points(model)
    assert list(found) == list(spec.trace().end_points)
    for name, tensor in spec.trace().end_points.items():
        assert tuple(found[name].shape[1:]) == tensor.shape, name


@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("lenet", {"num_classes": 3}),
        ("cifarnet", {"num_classes": 3}),
        ("mobilenet_v1_025", {"num_classes": 0}),
    ],
)
def test_outputs_and_predictions_are_float32_in_mixed_precision(net: str, arguments: dict[str, Any]) -> None:
    """Logits, features and the softmax; all that lies below computes in half precision."""
    import tensorflow as tf
    import tf_keras

    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build(net, **arguments)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    found = end_points(model)
    assert {output.dtype for output in model.outputs} == {tf.float32}
    assert found["Predictions"].dtype == tf.float32 if "Predictions" in found else not arguments["num_classes"]
    assert next(iter(found.values())).dtype == tf.bfloat16
    assert {variable.dtype for variable in model.weights} == {tf.float32}
    assert model(images(0, (1, *network_of(model).input_shape))) is not None
    assert {layer.compute_dtype for layer in in_float32(model).layers} == {"float32"}


def test_variable_input_sizes() -> None:
    model = build("resnet_v2_14", num_classes=4, input_shape=(None, None, 3))
    assert model(images(0, (1, 33, 48, 3))).shape == (1, 4)
    assert model(images(0, (2, 65, 64, 3))).shape == (2, 4)
    mapped = build(
        "inception_v3", num_classes=4, input_shape=(None, None, 3), spatial_squeeze=False, depth_multiplier=0.1
    )
    assert mapped(images(0, (1, 320, 310, 3)))[0].shape == (1, 1, 1, 4)


@pytest.mark.parametrize(
    ("net", "shape", "arguments"),
    [
        *QUICK_VARIANTS,
        *(
            variant if variant[0] in QUICK_TO_TELL else pytest.param(*variant, marks=pytest.mark.slow)
            for variant in VARIANTS
            if variant not in QUICK_VARIANTS
        ),
        ("vgg_16", (225, 225, 3), {"fc_conv_padding": "SAME", "spatial_squeeze": False, "global_pool": True}),
    ],
)
def test_network_and_arguments_are_told_from_a_loaded_model(
    net: str, shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    """From its configuration alone, which is that of the model that was built."""
    import tf_keras

    wanted = NetSpec.make(net, shape, {"num_classes": 5, "weight_decay": 0.003, **arguments})
    loaded = tf_keras.Model.from_config(model_config(wanted.trace(), net)["config"])
    told = network_of(loaded)
    assert told.net == net
    assert told.input_shape == wanted.input_shape
    # Several minimum depths, and several strides that are never reached, make the same network.
    irrelevant = {
        "min_depth",
        "min_base_depth",
        "output_stride",
        "dropout_keep_prob",
        "create_aux_logits",
        "num_classes",
        "stddev",
        "depth_multiplier",
        "finegrain_classification_mode",
        "drop_path_keep_prob",
    }
    if not wanted.arguments["num_classes"] or wanted.arguments.get("final_endpoint"):
        irrelevant |= {"spatial_squeeze", "global_pool"}
    for name, value in wanted.arguments.items():
        if name not in irrelevant:
            assert told.arguments[name] == value, name
    assert (told.arguments["num_classes"] or 0) == (
        wanted.arguments["num_classes"] or 0
    ) or "final_endpoint" in arguments
    assert list(end_points(loaded)) == list(wanted.trace().end_points)


def test_a_model_that_is_no_network_of_slim_is_refused() -> None:
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    with pytest.raises(UnrecognisedNetError, match="not a network of slim2keras"):
        end_points(model)


def test_a_saved_model_keeps_its_end_points(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("net", list_nets())
def test_shapes_of_the_laid_network_are_those_of_keras(net: str) -> None:
    """The graph computes shapes by itself; here Keras computes them, without making variables of the real size."""
    import tensorflow as tf

    graph = NETS[net].trace(NETS[net].default_input_shape, num_classes=7)
    shapes: dict[str, tuple[Any, ...]] = {}
    for layer in graph.layers.values():
        if layer.kind == "InputLayer":
            shapes[layer.name] = (None, *layer.config["input_shape"])
            continue
        inputs = [tf.TensorShape(shapes[tensor.layer_name]) for tensor in layer.inputs]
        shape = make_layer(layer).compute_output_shape(inputs[0] if len(inputs) == 1 else inputs)
        shapes[layer.name] = tuple(shape)
    for tensor in (*graph.outputs, *graph.end_points.values()):
        assert shapes[tensor.layer_name][1:] == tensor.shape, tensor.layer_name
