"""Which networks are compared with living slim, at which size, with which arguments.

Small odd and even sizes where the network allows it; Inception v1, VGG, AlexNet and OverFeat have windows of fixed size
behind a fixed stride, so they need their own.
"""

from __future__ import annotations

from typing import Any

SIZES: dict[str, tuple[int, int]] = {
    "alexnet_v2": (225, 224),
    "inception_v1": (224, 224),
    "inception_v2": (97, 64),
    "inception_v3": (139, 150),
    "overfeat": (231, 232),
    "resnet_v1_50": (65, 48),
    "resnet_v1_101": (33, 36),
    "resnet_v1_152": (33, 36),
    "resnet_v1_200": (33, 36),
    "resnet_v2_50": (65, 48),
    "resnet_v2_101": (33, 36),
    "resnet_v2_152": (33, 36),
    "resnet_v2_200": (33, 36),
    "vgg_a": (225, 224),
    "vgg_16": (224, 224),
    "vgg_19": (224, 224),
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

EXEMPT: dict[str, str] = {}
"""Networks that living slim cannot judge, and why."""

VARIANTS: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    ("resnet_v1_50", (65, 65, 3), {"output_stride": 8, "global_pool": False, "spatial_squeeze": False}),
    ("resnet_v1_50", (64, 65, 3), {"output_stride": 16, "depth_multiplier": 0.25}),
    ("resnet_v1_50", (33, 33, 1), {"num_classes": 0, "depth_multiplier": 0.3, "min_base_depth": 32}),
    ("resnet_v1_50", (36, 33, 3), {"scope": "tower_0/backbone", "batch_norm_scale": False, "depth_multiplier": 0.25}),
    ("resnet_v2_50", (66, 65, 3), {"output_stride": 4, "global_pool": False, "spatial_squeeze": False}),
    ("resnet_v2_50", (36, 36, 4), {"num_classes": None, "batch_norm_decay": 0.9, "batch_norm_epsilon": 1e-3}),
    ("inception_v2", (64, 97, 1), {"depth_multiplier": 0.35, "min_depth": 8, "spatial_squeeze": False}),
    ("inception_v2", (64, 64, 3), {"final_endpoint": "Mixed_4e", "scope": "FeatureExtractor/InceptionV2"}),
    ("inception_v2", (230, 230, 3), {"global_pool": True, "depth_multiplier": 0.25}),
    ("inception_v3", (150, 150, 3), {"create_aux_logits": False, "depth_multiplier": 0.5, "batch_norm_epsilon": 0.01}),
    ("inception_v3", (139, 139, 3), {"num_classes": 0, "depth_multiplier": 0.25}),
]
"""slim's arguments against living slim; ``num_classes`` is 5 unless given."""
