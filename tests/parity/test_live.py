"""Each network against slim's own, running on the same TensorFlow; the rungs of the parity ladder one by one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest

from slim2keras.errors import ParityError
from slim2keras.models.building import build_model
from slim2keras.models.end_points import end_points
from slim2keras.models.variables import slim_variables
from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec
from slim2keras.parity.comparing import compare_with_slim
from slim2keras.parity.report import BARS, ParityReport
from slim2keras.slim.networks import Judge, SlimNetwork, assign_variables, open_judge
from slim2keras.slim.runtime import op_by_op_session
from tests.parity.cases import (
    EXEMPT,
    JUDGED,
    JUDGED_VARIANTS,
    LEFT_TO_GOLDEN_VALUES,
    QUICK,
    QUICK_VARIANTS,
    SHAPES,
    SLIM_SOURCE,
)
from tests.reference import SHALLOW_NETS, assign_values, images, labels, values_of

pytestmark = pytest.mark.usefixtures("shallow_resnets")

RUNGS = ("inference", "training", "moving statistics", "regularization loss")
WITHOUT_BATCH_NORM = ("alexnet_v2", "cifarnet", "lenet", "overfeat", "vgg_a", "vgg_16", "vgg_19")

QUICK_TO_JUDGE = set(QUICK) - set(LEFT_TO_GOLDEN_VALUES)
NET_PARAMETERS = [pytest.param(net, marks=() if net in QUICK_TO_JUDGE else pytest.mark.slow) for net in JUDGED]


@dataclass(frozen=True)
class Subject:
    """A network of ours with the values of the recipe."""

    spec: NetSpec
    values: dict[str, np.ndarray]
    model: Any

    @classmethod
    def of(cls, spec: NetSpec) -> Subject:
        values = values_of(spec.trace().variables())
        model = build_model(spec)
        assign_values(model, values)
        return cls(spec, values, model)

    def compare(self) -> ParityReport:
        batch = images(3, (2, *self.spec.input_shape))
        return compare_with_slim(self.spec, self.model, self.values, batch, slim_source=SLIM_SOURCE)


@contextlib.contextmanager
def slim_networks_built_once() -> Iterator[None]:
    """What is judged several times in the block gets the same graph of slim, and a session of its own."""
    build, built = Judge.build, {}

    def once(judge: Judge, spec: NetSpec, shape: tuple[int, ...], *, is_training: bool) -> SlimNetwork:
        key = repr((judge.label, spec, shape, is_training))
        if key not in built:
            built[key] = build(judge, spec, shape, is_training=is_training)
        return built[key]

    with mock.patch.object(Judge, "build", once):
        yield


@pytest.fixture(scope="module", params=NET_PARAMETERS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with slim_networks_built_once():
        yield Subject.of(NetSpec.make(request.param, SHAPES[request.param], {"num_classes": 5, "weight_decay": 0.001}))


@pytest.fixture(scope="module")
def report(subject: Subject) -> ParityReport:
    """The comparison of one network, made once for all rungs."""
    return subject.compare()


def rung_of(report: ParityReport, rung: str) -> list[Any]:
    comparisons = [comparison for comparison in report.comparisons if comparison.rung == rung]
    if rung == "moving statistics" and report.net in WITHOUT_BATCH_NORM:
        assert not comparisons
    else:
        assert comparisons
    return comparisons


def test_every_network_is_compared_or_exempt_with_a_reason() -> None:
    """A network without a size to be compared at fails here."""
    assert set(SHAPES) == set(NETS) - set(SHALLOW_NETS)
    assert set(EXEMPT) | set(QUICK) <= set(NETS)


@pytest.mark.parametrize("rung", ["inference", "training"])
def test_end_points_have_the_same_bits(report: ParityReport, rung: str) -> None:
    """Each one, at inference and in training mode."""
    assert [item.name for item in rung_of(report, rung) if item.difference != 0.0] == []


@pytest.mark.parametrize("rung", ["moving statistics", "regularization loss"])
def test_statistics_and_loss_are_within_the_bar(report: ParityReport, rung: str) -> None:
    """The moving statistics after a step and the regularization loss."""
    assert [(item.name, item.difference) for item in rung_of(report, rung) if not item.passed] == []


def test_what_slim_cannot_judge_is_what_its_older_cut_lacks(report: ParityReport) -> None:
    """No other end point is passed over."""
    newer = set() if SLIM_SOURCE else {"global_pool", "AvgPool_0a_7x7", "AvgPool_1a", "PreLogits"}
    assert {name for name in report.not_judged if not name.endswith("spatial_squeeze")} <= newer


@pytest.mark.parametrize(
    ("net", "shape", "arguments"),
    [
        *QUICK_VARIANTS,
        *(pytest.param(*item, marks=pytest.mark.slow) for item in JUDGED_VARIANTS if item not in QUICK_VARIANTS),
    ],
)
def test_arguments_mean_what_they_mean_in_slim(net: str, shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    """Every end point has slim's bits, whatever the arguments."""
    report = Subject.of(NetSpec.make(net, shape, {"num_classes": 5, **arguments})).compare()
    assert report.passed, report.first_failure
    judged = [item for item in report.comparisons if item.rung == "inference"]
    assert len(judged) > 2
    assert [item.name for item in judged if item.difference != 0.0] == []


def gradients_of_slim(spec: NetSpec, values: dict[str, Any], batch: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    import tensorflow as tf

    with open_judge(SLIM_SOURCE) as judge:
        network = judge.build(spec, batch.shape, is_training=True)
    with network.graph.as_default(), op_by_op_session(network.graph) as session:
        logits = tf.reshape(network.end_points["output"], [len(batch), -1])
        losses = [tf.compat.v1.losses.sparse_softmax_cross_entropy(target, logits)]
        if "AuxLogits" in network.end_points:
            auxiliary = network.end_points["AuxLogits"]
            losses.append(tf.compat.v1.losses.sparse_softmax_cross_entropy(target, auxiliary, weights=0.4))
        total = tf.add_n([*losses, *network.regularization_losses])
        trainable = {name: network.variables[name] for name in network.trainable}
        assign_variables(network, session, values)
        gradients = dict(zip(trainable, tf.gradients(total, list(trainable.values())), strict=True))
        return session.run({"loss": total, "gradients": gradients}, {network.images: batch})


def gradients_of_model(model: Any, batch: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    import tensorflow as tf
    import tf_keras

    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.Dropout):
            layer.rate = 0.0
    trainable = {name: item for name, item in slim_variables(model).items() if item.trainable}
    with tf.GradientTape() as tape:
        outputs = model(batch, training=True)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        total = tf.add_n(model.losses)
        for weight, logits in zip((1.0, 0.4), outputs, strict=False):
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
            total += weight * tf.reduce_mean(losses)
    gradients = tape.gradient(total, list(trainable.values()))
    return {"loss": total.numpy(), "gradients": dict(zip(trainable, (item.numpy() for item in gradients), strict=True))}


@pytest.mark.parametrize(
    "subject",
    [net if net.values[0] != "vgg_a" else pytest.param("vgg_a", marks=pytest.mark.slow) for net in NET_PARAMETERS],
    indirect=True,
)
def test_first_total_loss_and_gradients_are_slims(subject: Subject) -> None:
    """Of the sum of both classifiers' losses and the regularization, by every trainable variable."""
    if subject.spec.net in ("i3d", "s3dg") and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
        pytest.skip("in a graph oneDNN's gradient of a 3-D max pool goes elsewhere at ties: see docs/numerics.md")
    batch, target = images(5, (2, *subject.spec.input_shape)), labels(6, 5, 2)
    theirs = gradients_of_slim(subject.spec, subject.values, batch, target)
    ours = gradients_of_model(subject.model, batch, target)
    assert abs(ours["loss"] - theirs["loss"]) <= 1e-6 * abs(theirs["loss"])
    assert set(ours["gradients"]) == set(theirs["gradients"])
    largest = max(float(np.linalg.norm(item)) for item in theirs["gradients"].values())
    worst = max(
        float(np.linalg.norm(ours["gradients"][name] - gradient)) for name, gradient in theirs["gradients"].items()
    )
    assert worst <= 1e-4 * largest


def test_a_model_is_left_as_it_was() -> None:
    """Comparing moves no statistics and takes no end point away."""
    left = Subject.of(NetSpec.make("resnet_v1_14", (33, 33, 3), {"num_classes": 5, "depth_multiplier": 0.125}))
    left.compare()
    for name, variable in slim_variables(left.model).items():
        np.testing.assert_array_equal(variable.numpy(), left.values[name])
    assert list(end_points(left.model))[-1] == "predictions"


@pytest.fixture(scope="module")
def unchanged() -> Iterator[NetSpec]:
    """A shallow ResNet, which slim builds once for all mutants of it."""
    with slim_networks_built_once():
        yield NetSpec.make("resnet_v1_14", (48, 48, 3), {"num_classes": 5, "depth_multiplier": 0.25})


def mutated(spec: NetSpec, mutate: Any) -> ParityReport:
    """A network changed by ``mutate``, against slim's unchanged one."""
    model = mutate(spec)
    model.slim_network = spec
    values = values_of(spec.trace().variables())
    assign_values(model, values)
    return Subject(spec, values, model).compare()


def with_arguments(**arguments: Any) -> Any:
    return lambda spec: build_model(NetSpec.make(spec.net, spec.input_shape, {**spec.arguments, **arguments}))


def with_config(change: Any) -> Any:
    def mutate(spec: NetSpec) -> Any:
        import tf_keras

        config = build_model(spec).get_config()
        for layer in config["layers"]:
            change(layer["class_name"], layer["config"])
        return tf_keras.Model.from_config(config)

    return mutate


def keras_same_padding(kind: str, config: dict[str, Any]) -> None:
    """Keras' own SAME in place of slim's symmetric padding."""
    if kind == "ZeroPadding2D":
        config["padding"] = ((0, 0), (0, 0))
    elif kind == "Conv2D" and config["strides"] == (2, 2):
        config["padding"] = "same"


def frozen_batch_norm(kind: str, config: dict[str, Any]) -> None:
    """What ``trainable = False`` does: moving statistics in training mode."""
    if kind == "BatchNormalization":
        config["trainable"] = False


MUTANTS = {
    "epsilon": (with_arguments(batch_norm_epsilon=1e-3), "inference"),
    "padding": (with_config(keras_same_padding), "inference"),
    "decay": (with_arguments(batch_norm_decay=0.99), "moving statistics"),
    "weight decay factor": (with_arguments(weight_decay=0.0002), "regularization loss"),
    "BatchNorm mode": (with_config(frozen_batch_norm), "training"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fails_its_rung(unchanged: NetSpec, name: str) -> None:
    """Each kind of fault is found, and told as the rung that it is on."""
    mutate, rung = MUTANTS[name]
    report = mutated(unchanged, mutate)
    assert not report.passed
    assert report.worst_by_rung()[rung].difference > BARS[rung]
    assert report.first_failure is not None
    assert report.first_failure.rung == rung
    with pytest.raises(ParityError, match=re.escape(report.first_failure.name)):
        report.raise_if_failed()


def test_without_a_mutant_the_same_comparison_passes(unchanged: NetSpec) -> None:
    """So it is the mutant that fails, not the comparison."""
    report = mutated(unchanged, with_config(lambda kind, config: None))
    assert report.passed
    report.raise_if_failed()
