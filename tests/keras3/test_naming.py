from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slim2keras.keras3.naming import to_keras3_name, to_slim_name
from slim2keras.nets import list_nets
from slim2keras.nets.spec import NetSpec

IN_GRAPHS = st.text("ab0x2_-./>\\ :|", min_size=1, max_size=12)


def test_a_slash_is_what_changes_in_names_of_slim() -> None:
    """Whatever else slim's scopes are made of stays readable."""
    for net in ("resnet_v1_50", "mobilenet_v3_small", "nasnet_mobile"):
        assert net in list_nets()
        for name in NetSpec.make(net, None, {}).graph.layers:
            assert to_keras3_name(name) == name.replace("/", ">")


@given(IN_GRAPHS)
def test_it_can_be_undone(name: str) -> None:
    """Of any name that a graph may have, and so no two names become one."""
    assert to_slim_name(to_keras3_name(name)) == name


@given(IN_GRAPHS)
def test_every_backend_takes_what_comes_out(name: str) -> None:
    """PyTorch refuses a dot, TensorFlow a colon, a bar, blanks and a ``>`` with nothing behind it, Keras the slash."""
    assert re.fullmatch(r"(>[a-zA-Z0-9]|[\w-])+", to_keras3_name(name), re.ASCII)


NEAR = ["a>b", "a/b", "a.b", "a//b", "a>>b", "a/>b", "a/0x2e_b", "a/_b", "a/", "a/.b"]


@pytest.mark.parametrize("name", NEAR)
def test_near_names_stay_apart(name: str) -> None:
    """A slash, and what stands for one."""
    assert to_slim_name(to_keras3_name(name)) == name
    assert to_keras3_name(name) not in {to_keras3_name(other) for other in NEAR if other != name}


def test_names_of_the_first_release_are_still_told() -> None:
    """Its files have a second ``>``."""
    assert to_slim_name("a>>2e_b>c") == "a.b/c"


@pytest.mark.parametrize("name", ["a.b", "a/_b", "a/-b", "a/", "a//b", "a/.b", "/a", ".a"])
def test_tensorflow_makes_a_function_of_a_layer_of_that_name(name: str) -> None:
    """Op by op it takes names that it refuses in ``predict`` and ``fit``."""
    import keras
    import tensorflow as tf

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, name=to_keras3_name(name))(inputs))
    assert tf.function(model)(np.ones((1, 2), "float32")).shape == (1, 1)
