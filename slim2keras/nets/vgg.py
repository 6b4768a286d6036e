"""VGG: plain stacks of 3x3 convolutions, fully connected layers written as convolutions.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition (arXiv:1409.1556).
ImageNet top-1 / top-5 of the published checkpoints: vgg_16 71.5/89.8, vgg_19 71.1/89.8.

Output: logits (batch, num_classes), or features (batch, 1, 1, 4096) without classes.

Source: research/slim/nets/vgg.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from slim2keras.graphs import layers
from slim2keras.graphs.graph import Tensor
from slim2keras.nets import arguments
from slim2keras.nets.parts.fully_connected import GlobalPool, classifier_head, read_num_classes
from slim2keras.nets.registry import Net
from slim2keras.nets.slim_function import SlimFunction


@dataclass(frozen=True)
class _Row:
    """Number of convolutions in each of the five blocks."""

    convolutions: tuple[int, int, int, int, int]


CONFIGS = {
    "vgg_a": _Row(convolutions=(1, 1, 2, 2, 2)),
    "vgg_16": _Row(convolutions=(2, 2, 3, 3, 3)),
    "vgg_19": _Row(convolutions=(2, 2, 4, 4, 4)),
}
_FILTERS = (64, 128, 256, 512, 512)

FcConvPadding = Annotated[str, arguments.OneOf(("SAME", "VALID"))]


def vgg(
    row: _Row,
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.5,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    fc_conv_padding: FcConvPadding = "VALID",
    global_pool: GlobalPool = False,
    weight_decay: arguments.WeightDecay = 0.0005,
) -> list[Tensor]:
    """Lay a VGG.

    Source: research/slim/nets/vgg.py, ``vgg_16`` and its siblings.
    """
    ends = x.graph.end_points
    conv = partial(layers.conv2d, weight_decay=weight_decay)
    for block, (count, filters) in enumerate(zip(row.convolutions, _FILTERS, strict=True), start=1):
        for index in range(1, count + 1):
            name = f"{scope}/conv{block}/conv{block}_{index}"
            x = ends[name] = conv(x, filters, 3, name=name)
        x = ends[f"{scope}/pool{block}"] = layers.max_pool2d(x, 2, name=f"{scope}/pool{block}")
    x = ends[f"{scope}/fc6"] = conv(x, 4096, 7, padding=fc_conv_padding, name=f"{scope}/fc6")
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/dropout6")
    x = ends[f"{scope}/fc7"] = conv(x, 4096, 1, name=f"{scope}/fc7")
    return classifier_head(
        x,
        conv,
        scope=scope,
        num_classes=num_classes,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        global_pool=global_pool,
    )


def _rows() -> Iterator[Net]:
    for name, row in CONFIGS.items():
        yield Net(
            name=name,
            lay=partial(vgg, row),
            scope=name,
            image_size=224,
            preprocessing="vgg",
            labels_offset=1,
            anchor="conv1/conv1_1/weights",
            read_arguments=read_num_classes,
            slim=SlimFunction(module="vgg", arg_scope="vgg_arg_scope"),
        )


NETS = tuple(_rows())
