"""Slim's own networks as the judge: what each cut of slim can say, and what it must not be asked."""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.keras_model import build_model
from slim2keras.parity import ParityReport, compare_with_slim
from slim2keras.recognition import NetSpec
from slim2keras.slim_networks import open_judge
from tests.reference import STAND_IN_SLIM, assign_values, images, values_of


@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("inception_v2", {"use_separable_conv": False}),
        ("vgg_16", {"fc_conv_padding": "SAME"}),
        ("resnet_v1_50", {"store_non_strided_activations": True}),
        ("inception_v1", {"use_batch_norm": False}),
    ],
)
def test_what_the_older_cut_of_slim_cannot_judge_is_refused_by_name(net: str, arguments: dict[str, Any]) -> None:
    spec = NetSpec.make(net, None, {"num_classes": 5, "global_pool": True, **arguments})
    with (
        open_judge() as judge,
        pytest.raises(UnsupportedArgumentError, match=f"tf_slim's {net} has no argument {next(iter(arguments))}"),
    ):
        judge.unjudged_end_points(spec, list(spec.trace().end_points))


def test_an_argument_of_the_head_leaves_the_rest_to_be_judged() -> None:
    spec = NetSpec.make("inception_v3", None, {"num_classes": 5, "global_pool": True})
    names = list(spec.trace().end_points)
    with open_judge() as judge:
        skipped = judge.unjudged_end_points(spec, names)
        assert judge.unjudged_end_points(NetSpec.make("inception_v3", None, {"num_classes": 5}), names) == []
    assert set(skipped) == {"global_pool", "PreLogits", "Logits", "Predictions"}


def judged_by_the_stand_in(spec: NetSpec, **mutation: Any) -> ParityReport:
    model = build_model(NetSpec.make(spec.net, spec.input_shape, {**spec.arguments, **mutation}))
    values = values_of(spec.trace().variables())
    assign_values(model, values)
    return compare_with_slim(spec, model, values, images(3, (3, *spec.input_shape)), slim_source=STAND_IN_SLIM)


@pytest.mark.parametrize("net", ["cifarnet", "lenet"])
def test_the_users_own_slim_judges_networks_that_tf_slim_lacks(net: str) -> None:
    report = judged_by_the_stand_in(NetSpec.make(net, None, {"num_classes": 5, "weight_decay": 0.01}))
    assert report.passed, report.first_failure
    assert report.largest_difference <= 1e-7
    assert not report.not_judged
    assert {comparison.rung for comparison in report.comparisons} == {"inference", "training", "regularization loss"}


def test_the_users_own_slim_finds_a_difference() -> None:
    report = judged_by_the_stand_in(NetSpec.make("lenet", None, {"weight_decay": 0.01}), weight_decay=0.02)
    assert report.first_failure is not None
    assert report.first_failure.rung == "regularization loss"


def test_without_a_checkout_the_error_says_how_to_give_one() -> None:
    spec = NetSpec.make("lenet", None, {})
    with (
        open_judge() as judge,
        pytest.raises(UnsupportedArgumentError, match=r"tf_slim has no network lenet(.|\n)*--slim-source"),
    ):
        judge.build(spec, (1, 28, 28, 1), is_training=False)


def test_a_network_that_the_checkout_lacks_is_refused_by_name() -> None:
    spec = NetSpec.make("densenet121", None, {})
    with open_judge(STAND_IN_SLIM) as judge, pytest.raises(UnsupportedArgumentError, match="no network densenet121"):
        judge.build(spec, (1, 32, 32, 3), is_training=False)
