"""Which mode each BatchNorm layer gets, and which choices are none."""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.batch_norm.modes import batch_norm_layers, plan_modes
from slim2keras.errors import UnsupportedArgumentError


def two_layers() -> Any:
    import tf_keras

    x = inputs = tf_keras.Input((4, 4, 3))
    for name in ("net/block1/BatchNorm", "net/block10/BatchNorm"):
        x = tf_keras.layers.BatchNormalization(name=name)(x)
    return tf_keras.Model(inputs, x)


def test_the_first_pattern_wins_and_a_scope_is_a_whole_part() -> None:
    """``block1`` says nothing of ``block10``."""
    layers = batch_norm_layers(two_layers())
    modes = plan_modes(layers, {"net/block1": "frozen", "net/block[0-9]+": "batch"})
    assert {name: mode.value for name, mode in modes.items()} == {
        "net/block1/BatchNorm": "frozen",
        "net/block10/BatchNorm": "batch",
    }


@pytest.mark.parametrize(
    ("batch_norm", "message"),
    [
        ("updated", r"must be one of update, batch, frozen\. Received: 'updated'"),
        (None, "must be one of update, batch, frozen"),
        ({".*": "train"}, r"for '\.\*'\. Received: 'train'"),
        ({"net/block2": "batch", ".*": "update"}, r"'net/block2' matches none of 2 names\. Did you mean net/block1"),
        ({"net/block1": "batch"}, "says nothing of 1 of 2 BatchNorm layers, first 'net/block10/BatchNorm'"),
        ({"net/(": "batch"}, "no regular expression"),
        ({}, "says nothing of 2 of 2"),
    ],
)
def test_a_choice_that_is_none_is_refused(batch_norm: Any, message: str) -> None:
    """The error names the pattern, the choices there are or the layers that nothing was said of."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        plan_modes(batch_norm_layers(two_layers()), batch_norm)


@pytest.mark.parametrize("mode", ["update", "batch"])
def test_a_trainable_flag_that_contradicts_the_mode_is_refused(mode: str) -> None:
    """Only mode ``"frozen"`` agrees with ``trainable = False``."""
    model = two_layers()
    model.layers[1].trainable = False
    with pytest.raises(UnsupportedArgumentError, match="trainable = False, which in Keras means moving statistics"):
        plan_modes(batch_norm_layers(model), mode)
    assert plan_modes(batch_norm_layers(model), {"net/block1": "frozen", ".*": mode})


def test_layers_that_cannot_be_given_a_mode_are_refused_by_name() -> None:
    """Another axis than the last, and statistics synchronised over replicas."""
    import tf_keras

    inputs = tf_keras.Input((3, 4, 4))
    model = tf_keras.Model(inputs, tf_keras.layers.BatchNormalization(axis=1, name="first")(inputs))
    with pytest.raises(UnsupportedArgumentError, match=r"'first' is a BatchNormalization over axis \[1\] of rank 4"):
        plan_modes(batch_norm_layers(model), "update")
    layer = tf_keras.layers.BatchNormalization(synchronized=True, name="sync")
    model = tf_keras.Model(inputs, layer(inputs))
    with pytest.raises(UnsupportedArgumentError, match="unsynchronized"):
        plan_modes(batch_norm_layers(model), "batch")
