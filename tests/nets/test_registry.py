"""slim's arguments are supported, or refused by name; never ignored."""

from __future__ import annotations

import inspect
from typing import Any, Optional, Union

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.nets import FAMILIES, NETS, find_net, list_nets, registry
from slim2keras.nets.arguments import NumClasses
from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import open_judge
from slim2keras.slim.runtime import import_tf_slim
from tests.parity.cases import JUDGED, SLIM_SOURCE
from tests.reference import STAND_IN_SLIM

SLIM_MODULES = {
    "alexnet_v2": "alexnet",
    "inception_v1": "inception_v1",
    "inception_v2": "inception_v2",
    "inception_v3": "inception_v3",
    "overfeat": "overfeat",
    "vgg_16": "vgg",
    "resnet_v1_50": "resnet_v1",
    "resnet_v2_50": "resnet_v2",
}


def test_names_are_sorted_by_family_and_depth() -> None:
    """50 comes before 101, and all networks are listed."""
    names = list_nets()
    assert set(names) == set(NETS)
    assert names.index("resnet_v1_50") < names.index("resnet_v1_101") < names.index("resnet_v2_50")


@pytest.mark.parametrize("net", SLIM_MODULES)
def test_every_argument_of_slims_function_is_supported_or_refused_by_name(net: str) -> None:
    """With slim's own default where it is supported."""
    import_tf_slim()
    module = __import__(f"tf_slim.nets.{SLIM_MODULES[net]}", fromlist=["_"])
    for name, parameter in inspect.signature(getattr(module, net)).parameters.items():
        if name in NETS[net].defaults:
            default = NETS[net].defaults[name]
            assert default == parameter.default or name in ("num_classes", "spatial_squeeze"), name
        else:
            with pytest.raises(UnsupportedArgumentError, match=f"slim's argument {name} is not supported: "):
                NETS[net].check_arguments({name: None})


@pytest.mark.parametrize("net", JUDGED if SLIM_SOURCE else ("cifarnet", "lenet"))
def test_every_argument_of_a_checkout_is_supported_or_refused_by_name(net: str) -> None:
    """Those of the function and of its arg scope alike."""
    with open_judge(SLIM_SOURCE or STAND_IN_SLIM) as judge:
        functions = judge.functions(NetSpec.make(net, None, {}))
        parameters = {**inspect.signature(functions[0]).parameters, **inspect.signature(functions[1]).parameters}
    for name, parameter in parameters.items():
        if name in NETS[net].defaults or parameter.kind is parameter.VAR_KEYWORD:
            continue
        with pytest.raises(UnsupportedArgumentError, match=f"slim's argument {name} is not supported: "):
            NETS[net].check_arguments({name: None})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_strid": 16}, "no argument 'output_strid'. Did you mean output_stride"),
        ({"global_pool": 1}, "global_pool of resnet_v1_50 must be bool. Received: global_pool=1"),
        ({"depth_multiplier": True}, "depth_multiplier of resnet_v1_50 must be float"),
        ({"num_classes": "five"}, "must be int or None"),
        ({"scope": 5}, "scope of resnet_v1_50 must be str"),
        ({"num_classes": -1}, "num_classes must be 0, None or positive"),
        ({"num_classes": True}, "must be int or None"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative"),
        ({"output_stride": 12}, "output_stride of resnet_v1_50 must be 4, 8, 16, 32 or None"),
        ({"output_stride": 6}, "output_stride of resnet_v1_50 must be 4, 8, 16, 32 or None"),
        ({"output_stride": 64}, "output_stride of resnet_v1_50 must be 4, 8, 16, 32 or None"),
        ({"num_classes": 5, "global_pool": False}, "spatial_squeeze needs logits of 1x1 pixels"),
        ({"is_training": True}, "slim's argument is_training is not supported"),
    ],
)
def test_a_wrong_argument_says_what_is_wrong(arguments: dict[str, Any], message: str) -> None:
    """Unknown names, wrong types and values out of range."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        NetSpec.make("resnet_v1_50", None, arguments).trace()


@pytest.mark.parametrize("net", ["mobilenet_v2", "mobilenet_v3_small", "resnet_v1_50", "mobilenet_v1"])
def test_a_number_is_checked_whatever_its_name_is(net: str) -> None:
    """slim's MobileNets call the decay ``bn_decay``; it may not be negative there either."""
    name = next(name for name in NETS[net].defaults if name in ("bn_decay", "batch_norm_decay"))
    with pytest.raises(UnsupportedArgumentError, match=f"{name} must not be negative. Received: {name}=-0.1"):
        NETS[net].check_arguments({name: -0.1})


def test_a_family_refuses_the_arguments_of_its_own_function_only() -> None:
    """What NASNet answers about ``config`` is no help to a user of another network, whose function has none."""
    with pytest.raises(UnsupportedArgumentError, match="config is not supported: give its hyperparameters by their na"):
        NETS["nasnet_cifar"].check_arguments({"config": None})
    with pytest.raises(UnsupportedArgumentError, match="vgg_16 has no argument 'config'"):
        NETS["vgg_16"].check_arguments({"config": None})


@pytest.mark.parametrize("annotation", [int | None, Optional[int], Union[int, None]])  # noqa: UP007, UP045
def test_both_unions_of_python_are_understood(annotation: Any) -> None:
    """``int | None`` is checked the same where ``typing.get_type_hints`` gives it as ``Optional[int]``."""
    assert registry._checked("lenet", "output_stride", None, annotation) is None
    assert registry._checked("lenet", "output_stride", np.int64(8), annotation) == 8
    with pytest.raises(UnsupportedArgumentError, match="output_stride of lenet must be int or None"):
        registry._checked("lenet", "output_stride", "8", annotation)


def test_what_an_argument_is_said_to_be_holds_within_an_optional_type() -> None:
    """``typing.get_type_hints`` of Python 3.10 wraps what is annotated, where the default is ``None``."""
    annotation = Optional[NumClasses]  # noqa: UP045
    assert registry._checked("lenet", "num_classes", None, annotation) is None
    with pytest.raises(UnsupportedArgumentError, match="num_classes must be 0, None or positive"):
        registry._checked("lenet", "num_classes", -1, annotation)


def test_numbers_of_numpy_serve_as_well() -> None:
    """They become numbers of Python, which a configuration can hold."""
    arguments = find_net("resnet_v1_50").check_arguments(
        {"num_classes": np.int64(3), "depth_multiplier": np.float32(0.5)}
    )
    assert (type(arguments["num_classes"]), type(arguments["depth_multiplier"])) == (int, float)


@pytest.mark.parametrize("shape", [(224, 224), (224, 224, None), (0, 224, 3), (2, 224, 224, 3), (224.0, 224, 3)])
def test_a_wrong_input_shape_is_refused(shape: Any) -> None:
    """The message says what the network takes."""
    with pytest.raises(UnsupportedArgumentError, match="input_shape of vgg_16 must be"):
        find_net("vgg_16").trace(shape)


def test_too_small_an_input_is_refused_where_it_gets_too_small() -> None:
    """The layer and the pixels that it needs are named."""
    with pytest.raises(UnsupportedArgumentError, match="input is too small: vgg_16/fc6 needs at least 7 pixels"):
        find_net("vgg_16").trace((100, 100, 3))


def test_a_wrong_padding_or_end_point_is_refused() -> None:
    """With the values that there are."""
    with pytest.raises(UnsupportedArgumentError, match='must be "SAME" or "VALID"'):
        find_net("vgg_16").trace((224, 224, 3), fc_conv_padding="same")
    with pytest.raises(UnsupportedArgumentError, match=r"final_endpoint must be one of .* Did you mean Mixed_5c"):
        find_net("inception_v1").trace((224, 224, 3), final_endpoint="mixed_5c")
    with pytest.raises(UnsupportedArgumentError, match="dropout_keep_prob"):
        find_net("vgg_16").trace((224, 224, 3), dropout_keep_prob=0.0)


def test_every_family_is_registered_once() -> None:
    """No name of one family hides another's."""
    assert sum(len(family.NETS) for family in FAMILIES) == len(NETS)
