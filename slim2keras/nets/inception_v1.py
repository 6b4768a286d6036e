"""Inception v1, "Going deeper with convolutions" (C. Szegedy et al., arXiv:1409.4842), with BatchNorm as in slim.

ImageNet top-1 / top-5 of the published checkpoint: 69.8/89.6. Output: logits (batch, num_classes), or features
(batch, 1, 1, 1024) without classes.

Source: research/slim/nets/inception_v1.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from slim2keras.graphs import layers
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import truncated_normal
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits
from slim2keras.nets.parts.inception import (
    IN_TF_SLIM,
    Branch,
    GlobalPool,
    InceptionArgScope,
    lay_base,
    max_pool,
    mixed,
)
from slim2keras.nets.registry import Net, VariableShapes, classes_in

LAST_END_POINT = "Mixed_5c"


def _blocks(arg_scope: InceptionArgScope) -> Branch:
    conv = partial(arg_scope.conv, weights_initializer=truncated_normal(0.01))
    return {
        "Conv2d_1a_7x7": conv(64, 7, stride=2),
        "MaxPool_2a_3x3": max_pool(3, stride=2),
        "Conv2d_2b_1x1": conv(64, 1),
        "Conv2d_2c_3x3": conv(192, 3),
        "MaxPool_3a_3x3": max_pool(3, stride=2),
        "Mixed_3b": mixed(
            {"Conv2d_0a_1x1": conv(64, 1)},
            {"Conv2d_0a_1x1": conv(96, 1), "Conv2d_0b_3x3": conv(128, 3)},
            {"Conv2d_0a_1x1": conv(16, 1), "Conv2d_0b_3x3": conv(32, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(32, 1)},
        ),
        "Mixed_3c": mixed(
            {"Conv2d_0a_1x1": conv(128, 1)},
            {"Conv2d_0a_1x1": conv(128, 1), "Conv2d_0b_3x3": conv(192, 3)},
            {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(96, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(64, 1)},
        ),
        "MaxPool_4a_3x3": max_pool(3, stride=2),
        "Mixed_4b": mixed(
            {"Conv2d_0a_1x1": conv(192, 1)},
            {"Conv2d_0a_1x1": conv(96, 1), "Conv2d_0b_3x3": conv(208, 3)},
            {"Conv2d_0a_1x1": conv(16, 1), "Conv2d_0b_3x3": conv(48, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(64, 1)},
        ),
        "Mixed_4c": mixed(
            {"Conv2d_0a_1x1": conv(160, 1)},
            {"Conv2d_0a_1x1": conv(112, 1), "Conv2d_0b_3x3": conv(224, 3)},
            {"Conv2d_0a_1x1": conv(24, 1), "Conv2d_0b_3x3": conv(64, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(64, 1)},
        ),
        "Mixed_4d": mixed(
            {"Conv2d_0a_1x1": conv(128, 1)},
            {"Conv2d_0a_1x1": conv(128, 1), "Conv2d_0b_3x3": conv(256, 3)},
            {"Conv2d_0a_1x1": conv(24, 1), "Conv2d_0b_3x3": conv(64, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(64, 1)},
        ),
        "Mixed_4e": mixed(
            {"Conv2d_0a_1x1": conv(112, 1)},
            {"Conv2d_0a_1x1": conv(144, 1), "Conv2d_0b_3x3": conv(288, 3)},
            {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(64, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(64, 1)},
        ),
        "Mixed_4f": mixed(
            {"Conv2d_0a_1x1": conv(256, 1)},
            {"Conv2d_0a_1x1": conv(160, 1), "Conv2d_0b_3x3": conv(320, 3)},
            {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(128, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(128, 1)},
        ),
        "MaxPool_5a_2x2": max_pool(2, stride=2),
        "Mixed_5b": mixed(
            {"Conv2d_0a_1x1": conv(256, 1)},
            {"Conv2d_0a_1x1": conv(160, 1), "Conv2d_0b_3x3": conv(320, 3)},
            # slim names the second convolution of this branch 0a as well.
            {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0a_3x3": conv(128, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(128, 1)},
        ),
        "Mixed_5c": mixed(
            {"Conv2d_0a_1x1": conv(384, 1)},
            {"Conv2d_0a_1x1": conv(192, 1), "Conv2d_0b_3x3": conv(384, 3)},
            {"Conv2d_0a_1x1": conv(48, 1), "Conv2d_0b_3x3": conv(128, 3)},
            {"MaxPool_0a_3x3": max_pool(3), "Conv2d_0b_1x1": conv(128, 1)},
        ),
    }


def inception_v1(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    global_pool: GlobalPool = False,
    final_endpoint: arguments.FinalEndPoint = None,
    weight_decay: arguments.WeightDecay = 0.00004,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
    batch_norm_scale: bool = False,
    use_batch_norm: bool = True,
) -> list[Tensor]:
    """Lay Inception v1; with ``final_endpoint`` only its base, up to there.

    Source: research/slim/nets/inception_v1.py, ``inception_v1`` and ``inception_v1_base``.
    """
    arg_scope = InceptionArgScope.make(
        weight_decay, batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale, use_batch_norm=use_batch_norm
    )
    ends = x.graph.end_points
    x = lay_base(x, scope, _blocks(arg_scope), final_endpoint or LAST_END_POINT)
    if final_endpoint:
        return [x]
    if global_pool:
        x = ends["global_pool"] = layers.global_avg_pool(x, name=f"{scope}/Logits/global_pool")
    else:
        name = f"{scope}/Logits/AvgPool_0a_7x7"
        x = ends["AvgPool_0a_7x7"] = layers.avg_pool2d(x, 7, stride=1, name=name)
    if not num_classes:
        return [x]
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout_0b")
    x = arg_scope.logits(num_classes)(x, f"{scope}/Logits/Conv2d_0c_1x1")
    x = name_logits(x, "Logits", spatial_squeeze=spatial_squeeze)
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return [x]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {
        "num_classes": classes_in(variables, "Logits/Conv2d_0c_1x1"),
        "use_batch_norm": "Conv2d_1a_7x7/BatchNorm/beta" in variables,
        "batch_norm_scale": "Conv2d_1a_7x7/BatchNorm/gamma" in variables,
    }


NETS = (
    Net(
        name="inception_v1",
        lay=inception_v1,
        scope="InceptionV1",
        image_size=224,
        preprocessing="inception",
        labels_offset=0,
        anchor="Mixed_3b/Branch_1/Conv2d_0a_1x1/weights",
        read_arguments=_read_arguments,
        slim=IN_TF_SLIM,
    ),
)
