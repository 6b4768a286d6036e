"""The foreign networks themselves: they build, they run, and their files hold what the references were taken of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from slim2keras.importing.meta_graph import read_decays
from slim2keras.slim.runtime import op_by_op_session
from tests.importing.foreign_networks import NETWORKS
from tests.importing.writing_graphs import BATCH, MODES, WrittenGraph, reference, write_graph
from tests.reference import first_quick

SWITCHED = {name for name, network in NETWORKS.items() if network.decay}
QUICK = {
    "training": "unet",
    "inference": "two_towers",
    "switchable": "batch_norm_of_a_blog",
    "frozen": "regularized",
    "saved_model": "super_resolution",
}
"""One network for each mode; the others are slow."""


def cases() -> Iterator[Any]:
    """Networks in the modes in which they are left; what drops at random is not compared where it trains."""
    for mode in MODES:
        for name, network in NETWORKS.items():
            if network.is_left_in(mode) and not network.rounds and not (network.drops and mode == "training"):
                yield pytest.param(name, mode, marks=() if QUICK[mode] == name else pytest.mark.slow)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK.values() else pytest.mark.slow) for name in NETWORKS]
)
def test_a_network_computes_something(name: str) -> None:
    """Finite, another number for another image; BatchNorm, and it alone, tells batch from moving statistics."""
    found = reference(name)
    for output in (*found.inference, *found.training):
        assert np.isfinite(output).all()
        assert output.shape[0] == (NETWORKS[name].batch or BATCH)
        assert not np.allclose(output[0], output[-1], rtol=1e-2)
    pairs = zip(found.inference, found.training, strict=True)
    moved = {key for key, before in found.values.items() if not np.array_equal(before, found.moved[key])}
    has_batch_norm = NETWORKS[name].decay is not None
    assert any(not np.allclose(*pair, rtol=1e-2) for pair in pairs) == bool(moved) == has_batch_norm
    assert not moved & found.trainable


@contextlib.contextmanager
def restored(written: WrittenGraph) -> Iterator[Any]:
    """A session of what the files hold, by nothing but TensorFlow."""
    with tf.Graph().as_default() as graph, op_by_op_session(graph) as session:
        if written.meta:
            tf.train.import_meta_graph(str(written.meta)).restore(session, str(written.path))
        elif written.path.is_dir():
            tf.saved_model.load(session, ["serve"], str(written.path))
        else:
            tf.import_graph_def(tf.GraphDef.FromString(written.path.read_bytes()), name="")
        yield session


def named(tensors: Sequence[str]) -> list[str]:
    """Names as a session wants them."""
    return [name if ":" in name else f"{name}:0" for name in tensors]


@pytest.mark.parametrize(("name", "mode"), list(cases()))
def test_files_hold_the_network(name: str, mode: str, tmp_path: Path) -> None:
    """TensorFlow, given the files alone, computes the reference bit for bit."""
    written, expected = write_graph(NETWORKS[name], mode, tmp_path), reference(name)
    with restored(written) as session:
        feeds = dict(zip(named(written.input_tensors), expected.images, strict=True))
        if mode == "switchable":
            feeds["is_training:0"] = False
        found = session.run(named(written.output_tensors), feeds)
    wanted = expected.training if mode == "training" else expected.inference
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def ops_of(written: WrittenGraph) -> set[str]:
    meta = tf.MetaGraphDef.FromString(written.meta.read_bytes())
    return {node.op for node in meta.graph_def.node}


@pytest.mark.parametrize("name", first_quick("regularized", *sorted(SWITCHED - {"regularized"})))
def test_a_training_graph_is_what_a_trainer_leaves(name: str, tmp_path: Path) -> None:
    """Reference variables, momentum, pipeline, and the decay of every BatchNorm that slim moves."""
    written, network = write_graph(NETWORKS[name], "training", tmp_path), NETWORKS[name]
    ops, decays = ops_of(written), read_decays(written.path)
    assert {"VariableV2", "ApplyMomentum", "SaveV2"} <= ops
    assert {"queue": "QueueDequeueV2", "iterator": "IteratorGetNext"}.get(network.pipeline, "Placeholder") in ops
    assert all(decay == pytest.approx(network.decay) for decay in decays.values())
    kept = {key for key, _ in tf.train.list_variables(str(written.path))}
    assert {"global_step", *(f"{key}/Momentum" for key in reference(name).trainable)} <= kept
    assert any("ExponentialMovingAverage" in key for key in kept) >= network.has_ema


@pytest.mark.parametrize("name", first_quick("unet", *sorted(SWITCHED - {"unet"})))
def test_a_switchable_graph_has_the_switch_of_tensorflow_1(name: str, tmp_path: Path) -> None:
    """Branches by Switch and Merge on the placeholder, no functions."""
    ops = ops_of(write_graph(NETWORKS[name], "switchable", tmp_path))
    assert {"Switch", "Merge"} <= ops
    assert not ops & {"If", "StatelessIf"}
