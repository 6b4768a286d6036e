"""Which network has exactly these variables?"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from slim2keras.errors import UnknownNetError, UnrecognisedNetError, UnsupportedArgumentError
from slim2keras.nets import NETS, list_nets
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.from_variables import recognise, variables_left_out
from tests.parity.cases import VARIANTS

# The arg scope of object detection.
DETECTION = {"batch_norm_scale": True, "separable_batch_norm": True}


def shapes_of(spec: NetSpec) -> dict[str, tuple[int, ...]]:
    return {variable.name: variable.shape for variable in spec.trace().variables()}


ASKED: tuple[dict[str, Any], ...] = ({"num_classes": 17}, {"num_classes": 0}, {"num_classes": 3, "scope": "a/b/c"})


def everything_asked_of_every_net() -> list[Any]:
    """Of each network in the quick tests one thing, in turn; the rest is slow."""
    asked = list(itertools.product(ASKED, (1, 3, 4)))
    return [
        pytest.param(net, *item, marks=() if item == asked[number % len(asked)] else pytest.mark.slow)
        for number, net in enumerate(list_nets())
        for item in asked
    ]


@pytest.mark.parametrize(("net", "arguments", "channels"), everything_asked_of_every_net())
def test_exactly_the_net_that_wrote_it_is_found(net: str, arguments: dict[str, Any], channels: int) -> None:
    """Among all networks, with any channels, without a classifier and below other scopes."""
    spec = NetSpec.make(net, (*NETS[net].default_input_shape[:-1], channels), arguments)
    found = recognise(shapes_of(spec))
    assert found.fits
    assert found.spec.net == net
    assert found.spec.input_shape == spec.input_shape
    assert found.spec.scope == spec.scope
    assert (found.spec.arguments["num_classes"] or 0) == arguments["num_classes"]


@pytest.mark.parametrize("multiplier", [0.125, 0.25, 0.33, 0.5, 0.75, 1.0, 1.4])
@pytest.mark.parametrize("net", ["resnet_v1_50", "inception_v2", "inception_v3"])
def test_the_depth_multiplier_is_read_from_the_shapes(net: str, multiplier: float) -> None:
    """The very number that the network was built with."""
    found = recognise(shapes_of(NetSpec.make(net, None, {"depth_multiplier": multiplier})))
    assert found.fits
    assert found.spec.arguments["depth_multiplier"] == multiplier


@pytest.mark.parametrize(("net", "shape", "arguments"), VARIANTS)
def test_the_variables_of_every_variant_are_reproduced(
    net: str, shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    """What is recognised has the names and shapes of the checkpoint."""
    spec = NetSpec.make(net, shape, {"num_classes": 5, **arguments})
    named = {name: arguments[name] for name in ("final_endpoint",) if name in arguments}
    assert shapes_of(recognise(shapes_of(spec), net=net, input_shape=shape, arguments=named).spec) == shapes_of(spec)


@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("inception_v2", {"use_separable_conv": False}),
        ("inception_v3", {"create_aux_logits": False, "num_classes": 4}),
        ("resnet_v1_50", {"use_batch_norm": False}),
        ("resnet_v2_50", {"batch_norm_scale": False}),
        ("inception_v1", {"use_batch_norm": False}),
        ("inception_v3", {"batch_norm_scale": True}),
        ("inception_v2", {"batch_norm_scale": True, "separable_batch_norm": True}),
    ],
)
def test_arguments_that_decide_about_variables_are_read(net: str, arguments: dict[str, Any]) -> None:
    """They need not be given."""
    found = recognise(shapes_of(NetSpec.make(net, None, arguments)))
    assert found.fits
    assert {name: found.spec.arguments[name] for name in arguments} == arguments


@pytest.mark.parametrize(
    ("net", "multiplier"),
    [
        *(("mobilenet_v1", multiplier) for multiplier in (0.33, 0.6, 1.3)),
        *(("mobilenet_v2", multiplier) for multiplier in (0.25, 0.5, 0.75, 1.3, 0.62)),
        *(("mobilenet_v3_large", multiplier) for multiplier in (0.75, 1.25)),
    ],
)
def test_any_multiplier_of_a_mobilenet_is_read_from_the_shapes(net: str, multiplier: float) -> None:
    """The widths of the table and those between them."""
    found = recognise(shapes_of(NetSpec.make(net, None, {"depth_multiplier": multiplier})))
    assert found.fits
    assert (found.spec.net, found.spec.arguments["depth_multiplier"]) == (net, multiplier)


@pytest.mark.parametrize(
    ("net", "shape", "arguments"),
    [
        ("lenet", (32, 32, 3), {}),
        ("cifarnet", (64, 64, 3), {}),
        ("inception_v4", (224, 224, 3), {"num_classes": 3}),
        ("nasnet_mobile", (192, 192, 3), {}),
    ],
)
def test_the_image_size_is_read_where_a_layer_takes_in_the_whole_map(
    net: str, shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    """Another size would not fit its weights."""
    found = recognise(shapes_of(NetSpec.make(net, shape, arguments)))
    assert found.fits
    assert found.spec.net == net
    assert shapes_of(found.spec) == shapes_of(NetSpec.make(net, shape, arguments))


@pytest.mark.parametrize("net", ["nasnet_cifar", "nasnet_mobile", "nasnet_large", "pnasnet_mobile", "pnasnet_large"])
@pytest.mark.parametrize("use_aux_head", [0, 1])
def test_a_nasnet_keeps_the_wiring_of_its_name(net: str, use_aux_head: int) -> None:
    """Where a cell takes its second input from need not show in any variable."""
    spec = NetSpec.make(net, None, {"use_aux_head": use_aux_head, "num_classes": 7})
    found = recognise(shapes_of(spec))
    assert found.spec.net == net
    assert found.spec.arguments == spec.arguments


def test_facenets_classifier_lies_beside_its_root_scope() -> None:
    """It is found with the classifier, and without it as an embedding."""
    spec = NetSpec.make("inception_resnet_v1", None, {"num_classes": 100, "bottleneck_layer_size": 512})
    found = recognise(shapes_of(spec))
    assert found.fits
    assert (found.spec.arguments["num_classes"], found.spec.arguments["bottleneck_layer_size"]) == (100, 512)
    embedding = recognise(shapes_of(spec), arguments={"num_classes": 0})
    assert embedding.fits
    assert set(dict(variables_left_out(embedding, shapes_of(spec)))) == {"Logits/weights", "Logits/biases"}


def test_two_networks_in_one_checkpoint_are_ambiguous_and_listed() -> None:
    """The scope that is given decides."""
    first = shapes_of(NetSpec.make("inception_v1", None, {"scope": "left"}))
    second = shapes_of(NetSpec.make("inception_v1", None, {"scope": "right"}))
    with pytest.raises(UnrecognisedNetError, match=r"fits 2 networks(.|\n)*scope='left'(.|\n)*scope='right'"):
        recognise({**first, **second})
    assert recognise({**first, **second}, arguments={"scope": "right"}).spec.scope == "right"


def test_an_unknown_network_is_refused_with_what_was_found() -> None:
    """The names of its variables are shown."""
    with pytest.raises(UnrecognisedNetError, match=r"not a network that slim2keras knows(.|\n)*my/own/weights"):
        recognise({"my/own/weights": (3, 3, 3, 8)})


def test_the_wrong_name_is_answered_with_the_right_one() -> None:
    """A checkpoint is not bent to the name that was given."""
    with pytest.raises(UnrecognisedNetError, match="looks like inception_v1"):
        recognise(shapes_of(NetSpec.make("inception_v1", None, {})), net="inception_v3")


def test_an_argument_of_another_net_is_refused_by_the_net_that_it_is() -> None:
    """The network need not be named for it."""
    shapes = shapes_of(NetSpec.make("inception_v3", None, {}))
    with pytest.raises(UnsupportedArgumentError, match="inception_v3 has no argument 'output_stride'"):
        recognise(shapes, arguments={"output_stride": 16})


def test_a_misspelt_net_is_answered_with_the_names_near_it() -> None:
    """Instead of the list of all."""
    with pytest.raises(UnknownNetError, match="Did you mean resnet_v1_50"):
        NetSpec.make("resnet_v1_5", None, {})


def test_parts_of_a_larger_model_are_accounted_for_and_others_are_not() -> None:
    """Box predictors beside a detection backbone are known parts, beside a classifier they are strangers."""
    detection = shapes_of(
        NetSpec.make("inception_v2", None, {"num_classes": 0, "scope": "FeatureExtractor/InceptionV2", **DETECTION})
    )
    boxes = {"BoxPredictor_0/BoxEncodingPredictor/weights": (1, 1, 576, 12)}
    found = recognise({**detection, **boxes})
    assert found.spec.scope == "FeatureExtractor/InceptionV2"
    assert dict(variables_left_out(found, {**detection, **boxes})).keys() == boxes.keys()
    plain = shapes_of(NetSpec.make("inception_v2", None, {"num_classes": 0}))
    assert not dict(variables_left_out(recognise({**plain, **boxes}), {**plain, **boxes}))


def test_what_the_users_arguments_leave_out_is_accounted_for() -> None:
    """Classifiers that were not asked for are no surplus."""
    shapes = shapes_of(NetSpec.make("inception_v3", None, {"num_classes": 5}))
    found = recognise(shapes, arguments={"num_classes": 0})
    assert found.fits
    left_out = dict(variables_left_out(found, shapes))
    assert {name.split("/")[1] for name in left_out} == {"Logits", "AuxLogits"}
