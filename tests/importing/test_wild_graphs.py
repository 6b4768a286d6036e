"""Spellings of strangers: each graph is imported, and judges what was made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.compat import v1

import slim2keras
from slim2keras.errors import CheckpointMismatchError, GraphWarning
from slim2keras.slim.runtime import slim_graph
from tests.importing.wild_networks import (
    DECAYS,
    FROZEN,
    PLACEHOLDERS,
    WILD,
    convolution,
    placeholder,
    values_of_variables,
)

# Statistics of the batch by another formula than Keras' round differently.
BAR = 3e-7


def write(name: str, directory: Path) -> tuple[Path, list[str]]:
    """The file of a network, and the names of its outputs."""
    with slim_graph() as graph:
        result = WILD[name]()
        outputs = [item.op.name for item in (result if isinstance(result, list) else [result])]
        with v1.Session() as session:
            values = values_of_variables()
            session.run([item.initializer for item in values], {item.initial_value: values[item] for item in values})
            if name not in FROZEN:
                return Path(v1.train.Saver().save(session, str(directory / "model.ckpt-1"))), outputs
            frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), outputs)
    path = directory / "frozen.pb"
    path.write_bytes(frozen.SerializeToString())
    return path, outputs


@pytest.mark.parametrize("name", WILD)
def test_it_is_imported_and_its_graph_finds_no_difference(name: str, tmp_path: Path) -> None:
    """At inference and, where the graph trains, in training; decays are those that it moves statistics by."""
    path, outputs = write(name, tmp_path)
    named: Any = {"output_tensors": outputs} if len(outputs) > 1 else {}
    model = slim2keras.convert(path, placeholder_values=PLACEHOLDERS.get(name), **named)
    report = slim2keras.verify(path, model)
    assert report.passed, report.first_failure
    assert report.largest_difference <= BAR
    decays = {layer.momentum for layer in model.layers if hasattr(layer, "momentum")}
    assert decays == ({DECAYS[name]} if name in DECAYS else set())


def test_batch_statistics_for_want_of_others_are_said(tmp_path: Path) -> None:
    """What the network says of an image depends on the others."""
    path, _ = write("frozen_batch_statistics", tmp_path)
    with pytest.warns(GraphWarning, match="no moving statistics"):
        slim2keras.convert(path)


def test_a_condition_of_tensorflow_2_is_a_switch_too(tmp_path: Path) -> None:
    """``tf.cond`` as ``If`` with functions, around moments, statistics, updates and dropout."""
    import tf_slim as slim

    was_enabled = v1.control_flow_v2_enabled()
    v1.enable_control_flow_v2()
    try:
        with slim_graph() as graph:
            is_training = v1.placeholder(v1.bool, (), name="is_training")
            x = v1.placeholder(v1.float32, (None, 12, 12, 3), name="x")
            for scope, fused in (("fused", True), ("unfused", False)):
                params = {"is_training": is_training, "decay": 0.9, "scale": True, "fused": fused}
                x = slim.conv2d(x, 4, 3, normalizer_fn=slim.batch_norm, normalizer_params=params, scope=scope)
            x = slim.dropout(x, 0.7, is_training=is_training)
            slim.conv2d(x, 2, 1, activation_fn=None, scope="out")
            assert {node.op for node in graph.as_graph_def().node} & {"If", "StatelessIf"}
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                for item, array in values_of_variables().items():
                    item.load(array, session)
                path = v1.train.Saver().save(session, str(tmp_path / "model.ckpt-1"))
    finally:
        if not was_enabled:
            v1.disable_control_flow_v2()
    model = slim2keras.convert(path)
    assert [layer.momentum for layer in model.layers if hasattr(layer, "momentum")] == [0.9, 0.9]
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [pytest.approx(0.3)]
    assert slim2keras.verify(path, model).passed


def test_weight_decay_among_the_losses_of_the_data_is_told(tmp_path: Path) -> None:
    """As a tutorial of TensorFlow has it: no regularization loss, and no regularizer of the model."""
    with slim_graph():
        v1.add_to_collection("losses", 0.004 * v1.nn.l2_loss(WILD["ops_of_several_outputs"]().op.inputs[1]))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            path = v1.train.Saver().save(session, str(tmp_path / "model.ckpt-1"))
    with pytest.warns(GraphWarning, match="weight decay of 1 variables, first out/weights"):
        model = slim2keras.convert(path)
    assert not model.losses


@pytest.mark.parametrize("spelled", ["square", "magnitude", "both"])
def test_penalties_of_other_spellings_are_regularizers(spelled: str, tmp_path: Path) -> None:
    """``scale * sum(square(w))``, ``scale * sum(abs(w))`` and their sum, as Keras has them."""
    with slim_graph():
        weights = WILD["tied_weights"]().op.inputs[1].graph.get_collection(v1.GraphKeys.TRAINABLE_VARIABLES)[0]
        square, magnitude = 0.01 * v1.reduce_sum(v1.square(weights)), 0.02 * v1.reduce_sum(v1.abs(weights))
        loss = {"square": square, "magnitude": magnitude, "both": square + magnitude}[spelled]
        v1.add_to_collection(v1.GraphKeys.REGULARIZATION_LOSSES, loss)
        with v1.Session() as session:
            for item, array in values_of_variables().items():
                item.load(array, session)
            expected = session.run(loss)
            path = v1.train.Saver().save(session, str(tmp_path / "model.ckpt-1"))
    model = slim2keras.convert(path, output_tensors=["add_1"])
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("is_scaled", [True, False])
def test_what_is_dropped_but_not_scaled_is_no_dropout(is_scaled: bool, tmp_path: Path) -> None:
    """A gate in front of the mask is no scale, and does not go with it."""
    with slim_graph():
        x = placeholder()
        kept = x / 0.75 if is_scaled else x * tf.nn.sigmoid(convolution(x, 3, 3, "gate"))
        mask = tf.floor(0.75 + tf.random.uniform(tf.shape(kept)))
        convolution(kept * mask, 3, 2, "out")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            path = v1.train.Saver().save(session, str(tmp_path / "model.ckpt-1"))
    if is_scaled:
        rates = [layer.rate for layer in slim2keras.convert(path).layers if hasattr(layer, "rate")]
        assert rates == [pytest.approx(0.25)]
    else:
        with pytest.raises(CheckpointMismatchError, match="RandomUniform"):
            slim2keras.convert(path)
