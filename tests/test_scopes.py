"""Names between slim and Keras, and what a checkpoint's variables are for."""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.scopes import (
    VariableInfo,
    VariableKind,
    classify_variables,
    ema_name,
    global_step_name,
    in_scope,
    join,
    slim_variable_name,
)
from slim2keras.slim.runtime import import_tf_slim, slim_graph

LEAVES = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}

OPTIMIZERS: dict[str, Any] = {
    "GradientDescent": lambda v1: v1.train.GradientDescentOptimizer(0.1),
    "Momentum": lambda v1: v1.train.MomentumOptimizer(0.1, 0.9),
    "RMSProp": lambda v1: v1.train.RMSPropOptimizer(0.1, momentum=0.9),
    "CenteredRMSProp": lambda v1: v1.train.RMSPropOptimizer(0.1, momentum=0.9, centered=True),
    "Adam": lambda v1: v1.train.AdamOptimizer(0.1),
    "Adagrad": lambda v1: v1.train.AdagradOptimizer(0.1),
    "Adadelta": lambda v1: v1.train.AdadeltaOptimizer(0.1),
    "Ftrl": lambda v1: v1.train.FtrlOptimizer(0.1),
}


@pytest.mark.parametrize(("keras", "slim"), LEAVES.items())
def test_each_leaf_has_its_slim_name(keras: str, slim: str) -> None:
    """The leaf table, row by row."""
    assert slim_variable_name("InceptionV1/Conv", keras) == f"InceptionV1/Conv/{slim}"


def test_scopes_are_whole_parts_between_slashes() -> None:
    """``logits`` is no scope of ``logits_2``."""
    assert in_scope("a/logits/weights", "a/logits")
    assert in_scope("a/logits", "a/logits")
    assert not in_scope("a/logits_2/weights", "a/logits")
    assert in_scope("anything", "")
    assert join("", "a", "", "b") == "a/b"


def info(*shape: int, dtype: str = "float32") -> VariableInfo:
    return VariableInfo(shape, dtype)


def test_what_training_for_quantization_adds_is_told_from_the_model() -> None:
    """Ranges are not weights, and weights with such names are."""
    added = (
        "MobilenetV1/Conv2d_0/weights_quant/min",
        "MobilenetV1/Conv2d_0/act_quant/max",
        "MobilenetV1/Conv2d_0/act_quant_1/max",
        "MobilenetV1/Conv2d_0/act_quant/max/biased",
        "MobilenetV1/Conv2d_0/act_quant/max/local_step",
        "MobilenetV2/expanded_conv_2/add/add_quant/MobilenetV2/expanded_conv_2/add/add_quant/min",
    )
    model = ("MobilenetV1/Conv2d_0/weights", "my_quant/weights", "min/weights")
    kinds = classify_variables({name: info(4) for name in (*added, *model)})
    assert {kinds[name] for name in added} == {VariableKind.QUANTIZATION}
    assert {kinds[name] for name in model} == {VariableKind.MODEL}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_slim_training_adds_is_told_from_the_model(name: str) -> None:
    """Slots, shadows, powers and step of each optimizer, as slim itself makes them."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    with slim_graph():
        images = v1.placeholder(tf.float32, (2, 8, 8, 3))
        net = slim.conv2d(images, 4, 3, normalizer_fn=slim.batch_norm, normalizer_params={"scale": True})
        slim.losses.sparse_softmax_cross_entropy(slim.fully_connected(slim.flatten(net), 3), [0, 1])
        averages = v1.train.ExponentialMovingAverage(0.9)
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, averages.apply(slim.get_model_variables()))
        slim.learning.create_train_op(slim.losses.get_total_loss(), OPTIMIZERS[name](v1))
        model = {variable.op.name for variable in slim.get_model_variables()}
        variables = {
            variable.op.name: VariableInfo(tuple(variable.shape), variable.dtype.base_dtype.name)
            for variable in v1.global_variables()
        }
    kinds = classify_variables(variables)
    assert {name for name, kind in kinds.items() if kind is VariableKind.MODEL} == model
    assert {name for name, kind in kinds.items() if kind is VariableKind.EMA} == {ema_name(item) for item in model}
    assert global_step_name(kinds) == "global_step"
    powers = {name for name, kind in kinds.items() if kind is VariableKind.POWER}
    assert powers == ({"beta1_power", "beta2_power"} if name == "Adam" else set())
    slots = {item for item, kind in kinds.items() if kind is VariableKind.SLOT}
    assert slots == set(variables) - model - powers - {ema_name(item) for item in model} - {"global_step"}


def test_a_layer_that_is_called_adam_stays_a_layer() -> None:
    """What hangs on it is its slot."""
    kinds = classify_variables(
        {"net/Adam": info(3, 3), "net/Adam/weights": info(3, 3), "net/Adam/weights/Adam": info(3, 3)}
    )
    assert kinds["net/Adam"] is VariableKind.MODEL
    assert kinds["net/Adam/weights"] is VariableKind.MODEL
    assert kinds["net/Adam/weights/Adam"] is VariableKind.SLOT


def test_slots_below_a_scope_of_the_optimizer_are_slots() -> None:
    """Wherever the optimizer was built."""
    kinds = classify_variables({"net/weights": info(2), "train/net/weights/Momentum": info(2)})
    assert kinds["train/net/weights/Momentum"] is VariableKind.SLOT


@pytest.mark.parametrize("name", ["global_step", "Variable", "train/global_step"])
def test_a_scalar_integer_is_a_counter(name: str) -> None:
    """Whatever it is called."""
    assert classify_variables({name: info(dtype="int64")})[name] is VariableKind.STEP


def test_the_mean_colour_of_published_checkpoints_is_no_weight() -> None:
    """Only the variable itself, not a layer of that name."""
    kinds = classify_variables({"vgg_16/mean_rgb": info(3), "vgg_16/mean_rgb/weights": info(3)})
    assert kinds["vgg_16/mean_rgb"] is VariableKind.PREPROCESSING
    assert kinds["vgg_16/mean_rgb/weights"] is VariableKind.MODEL


def test_global_step_comes_before_other_counters() -> None:
    """And without any there is none."""
    kinds = classify_variables({"Variable": info(dtype="int32"), "global_step": info(dtype="int64")})
    assert global_step_name(kinds) == "global_step"
    assert global_step_name({}) is None
