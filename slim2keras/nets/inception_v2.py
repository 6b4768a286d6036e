"""Inception v2, "Batch Normalization" (S. Ioffe, C. Szegedy, arXiv:1502.03167).

ImageNet top-1 / top-5 of the published checkpoint: 73.9/91.8. Output: logits (batch, num_classes), or features
(batch, 1, 1, 1024) without classes. The first convolution is separable, has biases and no BatchNorm, and is not
regularized: slim's arg scope covers plain convolutions only.

Source: research/slim/nets/inception_v2.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from slim2keras.graphs import layers
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import truncated_normal
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.parts.inception import (
    IN_TF_SLIM,
    Branch,
    GlobalPool,
    InceptionArgScope,
    Operation,
    avg_pool,
    classifier_head,
    lay_base,
    max_pool,
    mixed,
)
from slim2keras.nets.registry import Net, VariableShapes, classes_in, read_depths

LAST_END_POINT = "Mixed_5c"


def _separable(filters: int, batch_norm: BatchNorm | None) -> Operation:
    # The depthwise multiplier is slim's: at most 8, and no more channels than the pointwise convolution gives out.
    return lambda x, name: layers.separable_conv2d(
        x,
        filters,
        7,
        depth_multiplier=min(int(filters / 3), 8),
        stride=2,
        batch_norm=batch_norm,
        weights_initializer=truncated_normal(1.0),
        name=name,
    )


def _blocks(
    arg_scope: InceptionArgScope,
    depth_multiplier: float,
    min_depth: int,
    *,
    use_separable_conv: bool,
    separable_batch_norm: bool,
) -> Branch:
    conv = arg_scope.conv
    # slim draws the weights of 1x1 convolutions that reduce, and of those after a pool, with deviations of their own.
    reduce = partial(conv, weights_initializer=truncated_normal(0.09))
    project = partial(conv, weights_initializer=truncated_normal(0.1))

    def d(depth: int) -> int:
        return max(int(depth * depth_multiplier), min_depth)

    def stem_conv() -> Operation:
        if use_separable_conv:
            return _separable(d(64), arg_scope.conv_options["batch_norm"] if separable_batch_norm else None)
        return conv(d(64), 7, stride=2, weights_initializer=truncated_normal(1.0))

    def regular(
        b0: int, b1: tuple[int, int], b2: tuple[int, int], b3: int, pool: Operation, pool_name: str
    ) -> Operation:
        return mixed(
            {"Conv2d_0a_1x1": conv(d(b0), 1)},
            {"Conv2d_0a_1x1": reduce(d(b1[0]), 1), "Conv2d_0b_3x3": conv(d(b1[1]), 3)},
            {
                "Conv2d_0a_1x1": reduce(d(b2[0]), 1),
                "Conv2d_0b_3x3": conv(d(b2[1]), 3),
                "Conv2d_0c_3x3": conv(d(b2[1]), 3),
            },
            {pool_name: pool, "Conv2d_0b_1x1": project(d(b3), 1)},
        )

    def reduction(b0: tuple[int, int], b1: tuple[int, int]) -> Operation:
        return mixed(
            {"Conv2d_0a_1x1": reduce(d(b0[0]), 1), "Conv2d_1a_3x3": conv(d(b0[1]), 3, stride=2)},
            {
                "Conv2d_0a_1x1": reduce(d(b1[0]), 1),
                "Conv2d_0b_3x3": conv(d(b1[1]), 3),
                "Conv2d_1a_3x3": conv(d(b1[1]), 3, stride=2),
            },
            {"MaxPool_1a_3x3": max_pool(3, stride=2)},
        )

    averaged = partial(regular, pool=avg_pool(3), pool_name="AvgPool_0a_3x3")
    return {
        "Conv2d_1a_7x7": stem_conv(),
        "MaxPool_2a_3x3": max_pool(3, stride=2),
        "Conv2d_2b_1x1": project(d(64), 1),
        "Conv2d_2c_3x3": conv(d(192), 3),
        "MaxPool_3a_3x3": max_pool(3, stride=2),
        "Mixed_3b": averaged(64, (64, 64), (64, 96), 32),
        "Mixed_3c": averaged(64, (64, 96), (64, 96), 64),
        "Mixed_4a": reduction((128, 160), (64, 96)),
        "Mixed_4b": averaged(224, (64, 96), (96, 128), 128),
        "Mixed_4c": averaged(192, (96, 128), (96, 128), 128),
        "Mixed_4d": averaged(160, (128, 160), (128, 160), 96),
        "Mixed_4e": averaged(96, (128, 192), (160, 192), 96),
        "Mixed_5a": reduction((128, 192), (192, 256)),
        "Mixed_5b": averaged(352, (192, 320), (160, 224), 128),
        "Mixed_5c": regular(352, (192, 320), (192, 224), 128, max_pool(3), "MaxPool_0a_3x3"),
    }


def inception_v2(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    min_depth: int = 16,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    global_pool: GlobalPool = False,
    final_endpoint: arguments.FinalEndPoint = None,
    use_separable_conv: bool = True,
    separable_batch_norm: bool = False,
    weight_decay: arguments.WeightDecay = 0.00004,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
    batch_norm_scale: bool = False,
    use_batch_norm: bool = True,
) -> list[Tensor]:
    """Lay Inception v2; with ``final_endpoint`` only its base, up to there.

    ``separable_batch_norm`` and ``batch_norm_scale`` are not slim's: the arg scope of object detection normalises the
    first convolution too, and with a gamma.

    Source: research/slim/nets/inception_v2.py, ``inception_v2`` and ``inception_v2_base``.
    """
    arg_scope = InceptionArgScope.make(
        weight_decay, batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale, use_batch_norm=use_batch_norm
    )
    blocks = _blocks(
        arg_scope,
        depth_multiplier,
        min_depth,
        use_separable_conv=use_separable_conv,
        separable_batch_norm=separable_batch_norm,
    )
    x = lay_base(x, scope, blocks, final_endpoint or LAST_END_POINT)
    if final_endpoint:
        return [x]
    logits = classifier_head(
        x,
        arg_scope,
        scope=scope,
        window=7,
        num_classes=num_classes,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        global_pool=global_pool,
    )
    return [logits]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    widths = {"Conv2d_2c_3x3": 192, "Mixed_5c/Branch_0/Conv2d_0a_1x1": 352}
    for depths in read_depths(variables, widths, "min_depth", "Mixed_.*"):
        yield {
            **depths,
            "num_classes": classes_in(variables, "Logits/Conv2d_1c_1x1"),
            "use_separable_conv": "Conv2d_1a_7x7/weights" not in variables,
            "separable_batch_norm": "Conv2d_1a_7x7/pointwise_weights" in variables
            and "Conv2d_1a_7x7/BatchNorm/beta" in variables,
            "use_batch_norm": "Mixed_3b/Branch_0/Conv2d_0a_1x1/BatchNorm/beta" in variables,
            "batch_norm_scale": "Mixed_3b/Branch_0/Conv2d_0a_1x1/BatchNorm/gamma" in variables,
        }


NETS = (
    Net(
        name="inception_v2",
        lay=inception_v2,
        scope="InceptionV2",
        image_size=224,
        preprocessing="inception",
        labels_offset=0,
        anchor="Mixed_3b/Branch_1/Conv2d_0a_1x1/weights",
        read_arguments=_read_arguments,
        slim=IN_TF_SLIM,
    ),
)
