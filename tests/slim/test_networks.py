"""Slim's own networks as the judge: what each cut of slim can say, and what it must not be asked."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.building import build_model
from slim2keras.nets import NETS
from slim2keras.nets.slim_function import SlimFunction
from slim2keras.nets.spec import NetSpec
from slim2keras.parity.comparing import compare_with_slim
from slim2keras.parity.report import ParityReport
from slim2keras.slim.networks import open_judge
from slim2keras.slim.runtime import slim_directory, slim_source_modules
from tests.parity.cases import EXEMPT, SLIM_SOURCE
from tests.reference import SHALLOW_NETS, STAND_IN_SLIM, assign_values, images, values_of


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
    """The argument is named, and nothing is passed without a judge."""
    spec = NetSpec.make(net, None, {"num_classes": 5, "global_pool": True, **arguments})
    with (
        open_judge() as judge,
        pytest.raises(UnsupportedArgumentError, match=f"tf_slim's {net} has no argument {next(iter(arguments))}"),
    ):
        judge.unjudged_end_points(spec, list(spec.trace().end_points))


def test_an_argument_of_the_head_leaves_the_rest_to_be_judged() -> None:
    """Only what comes behind it is skipped."""
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
    """On every rung that such a network has."""
    report = judged_by_the_stand_in(NetSpec.make(net, None, {"num_classes": 5, "weight_decay": 0.01}))
    assert report.passed, report.first_failure
    assert report.largest_difference <= 1e-7
    assert not report.not_judged
    assert {comparison.rung for comparison in report.comparisons} == {"inference", "training", "regularization loss"}


def test_the_users_own_slim_finds_a_difference() -> None:
    """A doubled weight decay fails on its rung."""
    report = judged_by_the_stand_in(NetSpec.make("lenet", None, {"weight_decay": 0.01}), weight_decay=0.02)
    assert report.first_failure is not None
    assert report.first_failure.rung == "regularization loss"


def registered(monkeypatch: pytest.MonkeyPatch, name: str, of: str, **arguments: Any) -> str:
    """A row of a family with other arguments under a name that slim does not have."""
    net = NETS[of]
    row = replace(net, name=name, lay=functools.partial(net.lay, **arguments), slim_name=net.slim_name)
    monkeypatch.setitem(NETS, name, row)
    return name


def test_a_row_that_slim_lacks_is_judged_by_the_function_it_is_a_variant_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's slim judges a row of our own with the row's arguments, and still finds a difference."""
    net = registered(monkeypatch, "lenet_decayed", "lenet", weight_decay=0.01)
    report = judged_by_the_stand_in(NetSpec.make(net, None, {}))
    assert report.passed, report.first_failure
    assert report.net == "lenet_decayed"
    assert not report.not_judged
    assert not judged_by_the_stand_in(NetSpec.make(net, None, {}), weight_decay=0.02).passed


@pytest.mark.slow
def test_a_row_that_tf_slim_lacks_is_judged_by_it_at_its_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    """``tf_slim`` judges a new width of a family that it has."""
    net = registered(monkeypatch, "inception_v2_0125", "inception_v2", depth_multiplier=0.125, min_depth=4)
    spec = NetSpec.make(net, (97, 64, 3), {"num_classes": 5})
    model = build_model(spec)
    values = values_of(spec.trace().variables())
    assign_values(model, values)
    report = compare_with_slim(spec, model, values, images(3, (2, 97, 64, 3)))
    assert report.passed, report.first_failure


def test_an_argument_of_a_row_that_slims_function_lacks_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes the row a variant is never left out of the judgement in silence."""
    net = registered(monkeypatch, "inception_v2_plain", "inception_v2", use_separable_conv=False)
    with open_judge() as judge, pytest.raises(UnsupportedArgumentError, match="has no argument use_separable_conv"):
        judge.unjudged_end_points(NetSpec.make(net, None, {}), [])


@pytest.mark.skipif(SLIM_SOURCE is None, reason="needs the source of research/slim")
@pytest.mark.parametrize(
    ("of", "arguments"),
    [
        ("mobilenet_v1", {"depth_multiplier": 0.375}),
        ("mobilenet_v2", {"depth_multiplier": 0.2, "finegrain_classification_mode": True}),
    ],
)
def test_a_new_width_of_a_mobilenet_is_judged(monkeypatch: pytest.MonkeyPatch, of: str, arguments: Any) -> None:
    """The row of docs/adding-a-network.md is judged by slim's own MobileNet."""
    spec = NetSpec.make(registered(monkeypatch, f"{of}_new", of, **arguments), (65, 64, 3), {"num_classes": 5})
    model = build_model(spec)
    values = values_of(spec.trace().variables())
    assign_values(model, values)
    report = compare_with_slim(spec, model, values, images(3, (2, 65, 64, 3)), slim_source=SLIM_SOURCE)
    assert report.passed, report.first_failure
    assert not report.not_judged


@pytest.mark.usefixtures("shallow_resnets")
@pytest.mark.parametrize("net", SHALLOW_NETS)
@pytest.mark.parametrize("slim_source", [None, SLIM_SOURCE][: 2 if SLIM_SOURCE else 1])
def test_a_resnet_of_another_depth_is_judged_by_slims_blocks(net: str, slim_source: Path | None) -> None:
    """A depth that slim has no function for needs no word of how to judge it, with either slim."""
    spec = NetSpec.make(net, (33, 36, 3), {"num_classes": 5})
    model = build_model(spec)
    values = values_of(spec.trace().variables())
    assign_values(model, values)
    report = compare_with_slim(spec, model, values, images(3, (3, 33, 36, 3)), slim_source=slim_source)
    assert report.passed, report.first_failure


def test_the_judge_knows_of_no_network_but_what_its_row_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of slim under names of its own is found, given what the row says, and finds a difference."""
    row = replace(
        NETS["lenet"],
        name="lenet_of_a_stranger",
        slim_name="lenet_of_a_stranger",
        slim=SlimFunction(module="of_a_stranger", name="network", arg_scope="scope", parameter="scale", make=made),
    )
    monkeypatch.setitem(NETS, row.name, row)
    with slim_directory(STAND_IN_SLIM) as directory, slim_source_modules(directory) as factory:
        module = ModuleType("tf_slim.nets.of_a_stranger")
        module.network, module.scope = strange_functions(factory)  # type: ignore[attr-defined]
        module.network.__module__ = module.__name__
        monkeypatch.setitem(sys.modules, module.__name__, module)
        spec = NetSpec.make(row.name, None, {"num_classes": 5, "weight_decay": 0.01})
        for mutation, passes in (({}, True), ({"weight_decay": 0.02}, False)):
            model = build_model(NetSpec.make(row.name, None, {**spec.arguments, **mutation}))
            values = values_of(spec.trace().variables())
            assign_values(model, values)
            assert compare_with_slim(spec, model, values, images(3, (3, *spec.input_shape))).passed is passes


def made(module: ModuleType, arguments: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
    return {"weight_decay": arguments["weight_decay"]}, frozenset({"weight_decay"})


def strange_functions(factory: ModuleType) -> tuple[Any, Any]:
    def network(images: Any, num_classes: int, scale: Any, scope: str) -> Any:
        import tf_slim

        with tf_slim.arg_scope(factory.arg_scopes_map["lenet"](**scale)):
            return factory.networks_map["lenet"](images, num_classes, dropout_keep_prob=1.0, scope=scope)

    def scope() -> dict[str, Any]:
        return {}

    return network, scope


def test_every_network_says_which_function_of_slim_judges_it() -> None:
    """Names of slim's functions are themselves networks of ours; what slim lacks says so."""
    assert {net.slim_name for net in NETS.values()} - {None} <= set(NETS)
    assert {name for name, net in NETS.items() if net.slim_name is None} == set(EXEMPT)


@pytest.mark.parametrize("net", sorted(EXEMPT))
def test_a_network_that_no_slim_has_is_not_sent_to_one(net: str) -> None:
    """The error does not send the user for a source that cannot judge the network either."""
    with open_judge() as judge, pytest.raises(UnsupportedArgumentError, match=f"slim has no network {net}") as caught:
        judge.functions(NetSpec.make(net, None, {}))
    assert "--slim-source" not in str(caught.value)


def test_without_a_checkout_the_error_says_how_to_give_one() -> None:
    """With the command that fetches it."""
    spec = NetSpec.make("lenet", None, {})
    with (
        open_judge() as judge,
        pytest.raises(
            UnsupportedArgumentError, match=r"tf_slim has no network lenet(.|\n)*pip download(.|\n)*--slim-source"
        ),
    ):
        judge.build(spec, (1, 28, 28, 1), is_training=False)


def test_a_network_that_the_checkout_lacks_is_refused_by_name() -> None:
    """The user's slim is not asked for what it does not have."""
    spec = NetSpec.make("densenet121", None, {})
    with open_judge(STAND_IN_SLIM) as judge, pytest.raises(UnsupportedArgumentError, match="no network densenet121"):
        judge.build(spec, (1, 32, 32, 3), is_training=False)
