"""Which networks are compared with living slim, at which size, with which arguments.

Small odd and even sizes where the network allows it; Inception v1, VGG, AlexNet and OverFeat have windows of fixed size
behind a fixed stride, so they need their own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec

SLIM_SOURCE = Path(os.environ["SLIM_SOURCE"]) if os.environ.get("SLIM_SOURCE") else None
"""A checkout of research/slim, which judges all networks of its factory; else ``tf_slim`` judges those it has."""

SHAPES: dict[str, tuple[int, ...]] = {
    "alexnet_v2": (225, 224, 3),
    "cifarnet": (32, 36, 3),
    "densenet121": (64, 65, 3),
    "densenet161": (33, 32, 3),
    "densenet169": (33, 32, 3),
    "i3d": (8, 64, 65, 3),
    "inception_resnet_v1": (160, 150, 3),
    "inception_resnet_v2": (150, 139, 3),
    "inception_v1": (224, 224, 3),
    "inception_v2": (97, 64, 3),
    "inception_v3": (139, 150, 3),
    "inception_v4": (139, 150, 3),
    "lenet": (28, 32, 1),
    "mobilenet_edgetpu": (65, 64, 3),
    "mobilenet_edgetpu_075": (64, 65, 3),
    "mobilenet_v1": (96, 97, 3),
    "mobilenet_v1_025": (64, 65, 3),
    "mobilenet_v1_050": (65, 64, 3),
    "mobilenet_v1_075": (65, 64, 3),
    "mobilenet_v2": (96, 97, 3),
    "mobilenet_v2_035": (64, 65, 3),
    "mobilenet_v2_140": (64, 64, 3),
    "mobilenet_v3_large": (65, 65, 3),
    "mobilenet_v3_large_minimalistic": (64, 64, 3),
    "mobilenet_v3_small": (96, 96, 3),
    "mobilenet_v3_small_minimalistic": (65, 65, 3),
    "nasnet_cifar": (32, 32, 3),
    "nasnet_large": (224, 224, 3),
    "nasnet_mobile": (160, 161, 3),
    "overfeat": (231, 232, 3),
    "pnasnet_large": (224, 224, 3),
    "pnasnet_mobile": (161, 160, 3),
    "resnet_v1_50": (65, 48, 3),
    "resnet_v1_101": (33, 36, 3),
    "resnet_v1_152": (33, 36, 3),
    "resnet_v1_200": (33, 36, 3),
    "resnet_v2_50": (65, 48, 3),
    "resnet_v2_101": (33, 36, 3),
    "resnet_v2_152": (33, 36, 3),
    "resnet_v2_200": (33, 36, 3),
    "s3dg": (9, 64, 64, 3),
    "vgg_a": (225, 224, 3),
    "vgg_16": (224, 224, 3),
    "vgg_19": (224, 224, 3),
}

QUICK = (
    "alexnet_v2",
    "cifarnet",
    "densenet121",
    "inception_resnet_v1",
    "inception_resnet_v2",
    "inception_v1",
    "inception_v2",
    "inception_v3",
    "inception_v4",
    "lenet",
    "mobilenet_edgetpu",
    "mobilenet_v1_025",
    "mobilenet_v2_035",
    "mobilenet_v3_small",
    "nasnet_cifar",
    "pnasnet_mobile",
    "resnet_v1_50",
    "resnet_v2_50",
    "s3dg",
    "vgg_a",
)
"""One network a family; the others run in ``make test-all``."""

LEFT_TO_GOLDEN_VALUES = ("inception_v1", "inception_v2", "resnet_v1_50", "resnet_v2_50")
"""Of these, those that the quick tests hold to golden values; living slim judges their blocks in shallow networks."""

OF_TF_SLIM = ("alexnet_v2", "inception_v1", "inception_v2", "inception_v3", "overfeat", "resnet_", "vgg_")
"""How the names of the networks begin that ``tf_slim`` has."""

EXEMPT: dict[str, str] = dict.fromkeys(
    ("densenet121", "densenet161", "densenet169", "inception_resnet_v1"),
    "its original runs on TensorFlow 1 only, and is not in slim's factory",
)
"""Networks that living slim cannot judge, and why."""

JUDGED = tuple(net for net in SHAPES if net not in EXEMPT and (SLIM_SOURCE or net.startswith(OF_TF_SLIM)))
"""Networks that the slim at hand can judge."""

Variant = tuple[str, tuple[int, ...], dict[str, Any]]

_VARIANTS_OF_RESNETS: list[Variant] = [
    ("resnet_v1_50", (65, 65, 3), {"output_stride": 8, "global_pool": False, "spatial_squeeze": False}),
    ("resnet_v1_50", (64, 65, 3), {"output_stride": 16, "depth_multiplier": 0.25}),
    ("resnet_v1_50", (33, 33, 1), {"num_classes": 0, "depth_multiplier": 0.3, "min_base_depth": 32}),
    ("resnet_v1_50", (36, 33, 3), {"scope": "tower_0/backbone", "batch_norm_scale": False, "depth_multiplier": 0.25}),
    ("resnet_v2_50", (66, 65, 3), {"output_stride": 4, "global_pool": False, "spatial_squeeze": False}),
    ("resnet_v2_50", (36, 36, 4), {"num_classes": None, "batch_norm_decay": 0.9, "batch_norm_epsilon": 1e-3}),
]
_VARIANTS_OF_INCEPTIONS: list[Variant] = [
    ("inception_v2", (64, 97, 1), {"depth_multiplier": 0.35, "min_depth": 8, "spatial_squeeze": False}),
    ("inception_v2", (64, 64, 3), {"final_endpoint": "Mixed_4e", "scope": "FeatureExtractor/InceptionV2"}),
    ("inception_v2", (230, 230, 3), {"global_pool": True, "depth_multiplier": 0.25}),
    ("inception_v3", (150, 150, 3), {"create_aux_logits": False, "depth_multiplier": 0.5, "batch_norm_epsilon": 0.01}),
    ("inception_v3", (139, 139, 3), {"num_classes": 0, "depth_multiplier": 0.25}),
]
VARIANTS_OF_TF_SLIM = [*_VARIANTS_OF_RESNETS, *_VARIANTS_OF_INCEPTIONS]

_SMALL_NASNET = {"num_cells": 6, "num_conv_filters": 8, "use_aux_head": 0}
VARIANTS_OF_RESEARCH_SLIM: list[Variant] = [
    ("mobilenet_v1", (64, 65, 3), {"global_pool": True, "depth_multiplier": 0.6, "min_depth": 30, "scope": "a/b"}),
    ("mobilenet_v1_050", (64, 65, 4), {"num_classes": 0, "regularize_depthwise": True, "batch_norm_decay": 0.9}),
    ("mobilenet_v2", (64, 65, 3), {"depth_multiplier": 0.33, "divisible_by": 1, "activation_fn": "relu"}),
    (
        "mobilenet_v2",
        (65, 64, 1),
        {"depth_multiplier": 0.4, "finegrain_classification_mode": True, "output_stride": 8},
    ),
    (
        "mobilenet_v2",
        (65, 64, 3),
        {"depth_multiplier": 0.35, "use_explicit_padding": True, "output_stride": 16, "final_endpoint": "layer_12"},
    ),
    ("mobilenet_v2", (65, 64, 3), {"depth_multiplier": 0.35, "base_only": True, "final_endpoint": "layer_7"}),
    (
        "mobilenet_v3_large",
        (64, 64, 3),
        {"depth_multiplier": 0.35, "finegrain_classification_mode": True, "use_reduce_mean_for_pooling": True},
    ),
    ("mobilenet_v3_small", (64, 64, 3), {"final_endpoint": "layer_8", "num_classes": 0, "bn_decay": 0.9}),
    ("mobilenet_edgetpu", (64, 64, 3), {"output_stride": 16, "depth_multiplier": 0.35}),
    ("nasnet_mobile", (65, 64, 3), {**_SMALL_NASNET, "use_bounded_activation": True}),
    ("nasnet_mobile", (64, 64, 3), {**_SMALL_NASNET, "skip_reduction_layer_input": 1, "scope": "tower/x"}),
    ("nasnet_mobile", (64, 64, 3), {**_SMALL_NASNET, "final_endpoint": "Cell_5"}),
    ("nasnet_cifar", (31, 32, 3), {"num_cells": 6, "num_conv_filters": 8, "stem_multiplier": 2.0}),
    ("pnasnet_mobile", (64, 65, 3), {**_SMALL_NASNET, "skip_reduction_layer_input": 0, "use_bounded_activation": True}),
    ("inception_resnet_v2", (140, 140, 3), {"activation_fn": "relu6", "batch_norm_scale": True, "num_classes": 0}),
    ("inception_resnet_v2", (140, 140, 1), {"activation_fn": None, "create_aux_logits": False}),
    ("inception_v4", (100, 100, 3), {"create_aux_logits": False, "use_batch_norm": False}),
    ("i3d", (5, 64, 64, 1), {"separable_conv3d": True, "spatial_squeeze": False}),
    (
        "s3dg",
        (6, 64, 64, 3),
        {"gating_startat": "Mixed_4b", "temporal_conv_startat": "Mixed_3b", "first_temporal_kernel_size": 1},
    ),
    ("s3dg", (6, 64, 64, 3), {"final_endpoint": "Mixed_4c", "depth_multiplier": 0.5}),
    ("s3dg", (6, 64, 64, 3), {"gating_startat": None, "temporal_conv_startat": None, "num_classes": 0}),
    ("lenet", (36, 28, 3), {"num_classes": 0}),
]

VARIANTS = [*VARIANTS_OF_TF_SLIM, *VARIANTS_OF_RESEARCH_SLIM]
"""slim's arguments against living slim; ``num_classes`` is 5 unless given."""

QUICK_VARIANTS = [
    *((net.replace("_50", "_14"), shape, arguments) for net, shape, arguments in _VARIANTS_OF_RESNETS),
]
"""The arguments of ResNets on shallow ones, whose depth does not matter to them."""

JUDGED_VARIANTS = VARIANTS if SLIM_SOURCE else VARIANTS_OF_TF_SLIM


def small_spec_of(net: str) -> NetSpec:
    """The network with few channels and cells where it has arguments for that."""
    arguments: dict[str, Any] = {"num_classes": 3}
    defaults = NETS[net].defaults
    if "num_cells" in defaults:
        arguments |= {"num_cells": 3, "num_conv_filters": 8}
    elif "depth_multiplier" in defaults and "depth_multiplier" not in NETS[net].row_arguments:
        arguments["depth_multiplier"] = 0.25
    return NetSpec.make(net, SHAPES[net], arguments)
