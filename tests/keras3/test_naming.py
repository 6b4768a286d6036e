from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slim2keras.keras3.naming import to_keras3_name, to_slim_name
from slim2keras.nets import list_nets
from slim2keras.nets.spec import NetSpec

IN_GRAPHS = st.text("ab0_-./>\\ :|", min_size=1, max_size=12)


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
    """PyTorch refuses a dot, TensorFlow a colon, a bar and blanks, Keras the slash."""
    assert re.fullmatch(r"[\w>-]+", to_keras3_name(name), re.ASCII)


@pytest.mark.parametrize("name", ["a>b", "a/b", "a.b", "a//b", "a>>b", "a/>b"])
def test_near_names_stay_apart(name: str) -> None:
    """A slash, and what stands for one."""
    others = {"a>b", "a/b", "a.b", "a//b", "a>>b", "a/>b"} - {name}
    assert to_keras3_name(name) not in set(map(to_keras3_name, others))
