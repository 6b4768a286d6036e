"""Which network is it, and with which arguments, by its layers alone?"""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.models.config import model_config
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.nets.spec import NetSpec
from tests.parity.cases import QUICK_VARIANTS, VARIANTS

pytestmark = pytest.mark.usefixtures("shallow_resnets")


QUICK_TO_TELL = ("lenet", "mobilenet_v1", "mobilenet_v1_050", "mobilenet_v2")


@pytest.mark.parametrize(
    ("net", "shape", "arguments"),
    [
        *QUICK_VARIANTS,
        *(
            variant if variant[0] in QUICK_TO_TELL else pytest.param(*variant, marks=pytest.mark.slow)
            for variant in VARIANTS
            if variant not in QUICK_VARIANTS
        ),
        ("vgg_16", (225, 225, 3), {"fc_conv_padding": "SAME", "spatial_squeeze": False, "global_pool": True}),
    ],
)
def test_network_and_arguments_are_told_from_a_loaded_model(
    net: str, shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    """From its configuration alone, which is that of the model that was built."""
    import tf_keras

    wanted = NetSpec.make(net, shape, {"num_classes": 5, "weight_decay": 0.003, **arguments})
    loaded = tf_keras.Model.from_config(model_config(wanted.trace(), net)["config"])
    told = network_of(loaded)
    assert told.net == net
    assert told.input_shape == wanted.input_shape
    # Several minimum depths, and several strides that are never reached, make the same network.
    irrelevant = {
        "min_depth",
        "min_base_depth",
        "output_stride",
        "dropout_keep_prob",
        "create_aux_logits",
        "num_classes",
        "stddev",
        "depth_multiplier",
        "finegrain_classification_mode",
        "drop_path_keep_prob",
    }
    if not wanted.arguments["num_classes"] or wanted.arguments.get("final_endpoint"):
        irrelevant |= {"spatial_squeeze", "global_pool"}
    for name, value in wanted.arguments.items():
        if name not in irrelevant:
            assert told.arguments[name] == value, name
    assert (told.arguments["num_classes"] or 0) == (
        wanted.arguments["num_classes"] or 0
    ) or "final_endpoint" in arguments
    assert list(end_points(loaded)) == list(wanted.trace().end_points)
