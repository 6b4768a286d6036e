"""Facts of the checkpoints that were published: what they expect, and how well they do.

Sources: research/slim/README.md, nets/mobilenet_v1.md, nets/mobilenet/README.md; pudae/tensorflow-densenet and
davidsandberg/facenet for theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slim2keras.nets import find_net
from slim2keras.nets.spec import NetSpec


@dataclass(frozen=True)
class PublishedCheckpoint:
    """One published checkpoint.

    Attributes:
        name: How the name of its archive begins.
        net: Network.
        image_size: Pixels of the square images that the accuracy was measured on.
        classes: Logits; 0 where the checkpoint is used for its features.
        top_1: Accuracy in percent, ``None`` where none was published.
        top_5: The same.
        dataset: What the accuracy was measured on.
        arguments: slim arguments that differ from the network's defaults.
        preprocessing: Key of slim's ``preprocessing_factory``, or of its original's own.
        labels_offset: 1 where there is no background class.
    """

    name: str
    net: str
    image_size: int
    classes: int
    top_1: float | None
    top_5: float | None = None
    dataset: str = "ImageNet"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: str = ""
    labels_offset: int = 0

    def __post_init__(self) -> None:
        net = find_net(self.net)
        object.__setattr__(self, "preprocessing", self.preprocessing or net.preprocessing)
        object.__setattr__(self, "labels_offset", net.labels_offset)

    def is_network(self, spec: NetSpec) -> bool:
        """Whether ``spec`` is the network of this checkpoint, whatever its classes."""
        defaults = find_net(self.net).defaults
        return spec.net == self.net and all(
            spec.arguments[name] == self.arguments.get(name, defaults[name])
            for name in ("depth_multiplier", "bottleneck_layer_size")
            if name in defaults
        )


_MOBILENET_V1_NETS = {1.0: "mobilenet_v1", 0.75: "mobilenet_v1_075", 0.5: "mobilenet_v1_050", 0.25: "mobilenet_v1_025"}
_MOBILENET_V1 = {
    1.0: ((70.9, 89.9), (70.0, 89.2), (68.0, 87.7), (65.2, 85.8)),
    0.75: ((68.4, 88.2), (67.2, 87.3), (65.3, 86.0), (62.1, 83.9)),
    0.5: ((63.3, 84.9), (61.7, 83.6), (59.1, 81.9), (56.3, 79.4)),
    0.25: ((49.8, 74.2), (47.7, 72.3), (45.5, 70.3), (41.5, 66.3)),
}
_MOBILENET_V2_NETS = {1.4: "mobilenet_v2_140", 0.35: "mobilenet_v2_035"}
_MOBILENET_V2 = {
    1.4: ((75.0, 92.5),),
    1.3: ((74.4, 92.1),),
    1.0: ((71.8, 91.0), (70.7, 90.1), (68.8, 89.0), (65.3, 86.9), (60.3, 83.2)),
    0.75: ((69.8, 89.6), (68.7, 88.9), (66.4, 87.3), (63.2, 85.3), (58.8, 81.6)),
    0.5: ((65.4, 86.4), (63.9, 85.4), (61.0, 83.2), (57.7, 80.8), (51.2, 75.8)),
    0.35: ((60.3, 82.9), (58.2, 81.2), (55.7, 79.1), (50.8, 75.0), (45.5, 70.4)),
}
_SIZES = (224, 192, 160, 128, 96)


def _mobilenets() -> Iterator[PublishedCheckpoint]:
    for multiplier, accuracies in _MOBILENET_V1.items():
        for size, (top_1, top_5) in zip(_SIZES, accuracies, strict=False):
            name = f"mobilenet_v1_{multiplier}_{size}"
            yield PublishedCheckpoint(name, _MOBILENET_V1_NETS[multiplier], size, 1001, top_1, top_5)
    for multiplier, of_sizes in _MOBILENET_V2.items():
        net = _MOBILENET_V2_NETS.get(multiplier, "mobilenet_v2")
        arguments = {"depth_multiplier": multiplier} if net == "mobilenet_v2" else {}
        for size, (top_1, top_5) in zip(_SIZES, of_sizes, strict=False):
            name = f"mobilenet_v2_{multiplier}_{size}"
            yield PublishedCheckpoint(name, net, size, 1001, top_1, top_5, arguments=arguments)
    three_quarters = {"depth_multiplier": 0.75}
    yield PublishedCheckpoint("v3-large_224_1.0_float", "mobilenet_v3_large", 224, 1001, 75.2)
    yield PublishedCheckpoint(
        "v3-large_224_0.75_float", "mobilenet_v3_large", 224, 1001, 73.3, arguments=three_quarters
    )
    yield PublishedCheckpoint("v3-large_224_1.0_uint8", "mobilenet_v3_large", 224, 1001, 73.9)
    yield PublishedCheckpoint("v3-small_224_1.0_float", "mobilenet_v3_small", 224, 1001, 67.5)
    yield PublishedCheckpoint(
        "v3-small_224_0.75_float", "mobilenet_v3_small", 224, 1001, 65.4, arguments=three_quarters
    )
    yield PublishedCheckpoint("v3-small_224_1.0_uint8", "mobilenet_v3_small", 224, 1001, 64.9)
    minimalistic = "mobilenet_v3_large_minimalistic"
    yield PublishedCheckpoint("v3-large-minimalistic_224_1.0_float", minimalistic, 224, 1001, 72.3)
    yield PublishedCheckpoint("v3-large-minimalistic_224_1.0_uint8", minimalistic, 224, 1001, 71.3)
    minimalistic = "mobilenet_v3_small_minimalistic"
    yield PublishedCheckpoint("v3-small-minimalistic_224_1.0_float", minimalistic, 224, 1001, 61.9)
    yield PublishedCheckpoint("mobilenet_edgetpu_224_1.0", "mobilenet_edgetpu", 224, 1001, 75.6)
    yield PublishedCheckpoint("mobilenet_edgetpu_224_0.75", "mobilenet_edgetpu_075", 224, 1001, 73.5)


def _faces(name: str, lfw: float | None, size: int, preprocessing: str) -> PublishedCheckpoint:
    return PublishedCheckpoint(
        name,
        "inception_resnet_v1",
        160,
        0,
        lfw,
        dataset="LFW",
        arguments={"bottleneck_layer_size": size},
        preprocessing=preprocessing,
    )


PUBLISHED = (
    PublishedCheckpoint("inception_v1_2016_08_28", "inception_v1", 224, 1001, 69.8, 89.6),
    PublishedCheckpoint("inception_v2_2016_08_28", "inception_v2", 224, 1001, 73.9, 91.8),
    PublishedCheckpoint("inception_v3_2016_08_28", "inception_v3", 299, 1001, 78.0, 93.9),
    PublishedCheckpoint("adv_inception_v3_2017_08_18", "inception_v3", 299, 1001, None),
    PublishedCheckpoint("inception_v4_2016_09_09", "inception_v4", 299, 1001, 80.2, 95.2),
    PublishedCheckpoint("inception_resnet_v2_2016_08_30", "inception_resnet_v2", 299, 1001, 80.4, 95.3),
    PublishedCheckpoint("ens_adv_inception_resnet_v2_2017_08_18", "inception_resnet_v2", 299, 1001, None),
    PublishedCheckpoint("resnet_v1_50_2016_08_28", "resnet_v1_50", 224, 1000, 75.2, 92.2),
    PublishedCheckpoint("resnet_v1_101_2016_08_28", "resnet_v1_101", 224, 1000, 76.4, 92.9),
    PublishedCheckpoint("resnet_v1_152_2016_08_28", "resnet_v1_152", 224, 1000, 76.8, 93.2),
    PublishedCheckpoint("resnet_v2_50_2017_04_14", "resnet_v2_50", 299, 1001, 75.6, 92.8),
    PublishedCheckpoint("resnet_v2_101_2017_04_14", "resnet_v2_101", 299, 1001, 77.0, 93.7),
    PublishedCheckpoint("resnet_v2_152_2017_04_14", "resnet_v2_152", 299, 1001, 77.8, 94.1),
    PublishedCheckpoint("vgg_16_2016_08_28", "vgg_16", 224, 1000, 71.5, 89.8),
    PublishedCheckpoint("vgg_19_2016_08_28", "vgg_19", 224, 1000, 71.1, 89.8),
    *_mobilenets(),
    PublishedCheckpoint("nasnet-a_mobile_04_10_2017", "nasnet_mobile", 224, 1001, 74.0, 91.6),
    PublishedCheckpoint("nasnet-a_large_04_10_2017", "nasnet_large", 331, 1001, 82.7, 96.2),
    PublishedCheckpoint("pnasnet-5_mobile_2017_12_13", "pnasnet_mobile", 224, 1001, 74.2, 91.9),
    PublishedCheckpoint("pnasnet-5_large_2017_12_13", "pnasnet_large", 331, 1001, 82.9, 96.2),
    PublishedCheckpoint("tf-densenet121", "densenet121", 224, 1000, 74.91, 92.19),
    PublishedCheckpoint("tf-densenet169", "densenet169", 224, 1000, 76.09, 93.14),
    PublishedCheckpoint("tf-densenet161", "densenet161", 224, 1000, 77.64, 93.79),
    _faces("20170512-110547", None, 128, "facenet_prewhiten"),
    _faces("20180408-102900", 99.05, 512, "facenet_fixed"),
    _faces("20180402-114759", 99.65, 512, "facenet_fixed"),
)
"""Every published checkpoint; those trained for quantisation (``..._quant``) are the rows that they begin with."""


def find_published(path: Path, spec: NetSpec) -> PublishedCheckpoint | None:
    """The published checkpoint that a file is by its name or that of its directory, and that has this network."""
    matching = [
        row
        for part in (path.name, path.absolute().parent.name)
        for row in PUBLISHED
        if part.startswith(row.name) and row.is_network(spec)
    ]
    return max(matching, key=lambda row: len(row.name), default=None)
