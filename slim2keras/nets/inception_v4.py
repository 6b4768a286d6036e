"""Inception v4, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning" (C. Szegedy et al.,
arXiv:1602.07261).

ImageNet top-1 / top-5 of the published checkpoint: 80.2/95.2. Outputs: logits (batch, num_classes) and, with
``create_aux_logits``, auxiliary logits of the same shape; features (batch, 1, 1, 1536) without classes.

Source: research/slim/nets/inception_v4.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slim2keras.graphs.graph import Tensor
from slim2keras.nets import arguments
from slim2keras.nets.parts.inception import (
    Branch,
    InceptionArgScope,
    avg_pool,
    flat_aux_logits,
    flat_classifier_head,
    fork,
    lay_base,
    max_pool,
    mixed,
)
from slim2keras.nets.registry import Net, VariableShapes, classes_in

LAST_END_POINT = "Mixed_7d"


def _blocks(arg_scope: InceptionArgScope) -> Branch:
    conv = arg_scope.conv
    inception_a = mixed(
        {"Conv2d_0a_1x1": conv(96, 1)},
        {"Conv2d_0a_1x1": conv(64, 1), "Conv2d_0b_3x3": conv(96, 3)},
        {"Conv2d_0a_1x1": conv(64, 1), "Conv2d_0b_3x3": conv(96, 3), "Conv2d_0c_3x3": conv(96, 3)},
        {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(96, 1)},
    )
    reduction_a = mixed(
        {"Conv2d_1a_3x3": conv(384, 3, stride=2, padding="VALID")},
        {
            "Conv2d_0a_1x1": conv(192, 1),
            "Conv2d_0b_3x3": conv(224, 3),
            "Conv2d_1a_3x3": conv(256, 3, stride=2, padding="VALID"),
        },
        {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
    )
    inception_b = mixed(
        {"Conv2d_0a_1x1": conv(384, 1)},
        {"Conv2d_0a_1x1": conv(192, 1), "Conv2d_0b_1x7": conv(224, (1, 7)), "Conv2d_0c_7x1": conv(256, (7, 1))},
        {
            "Conv2d_0a_1x1": conv(192, 1),
            "Conv2d_0b_7x1": conv(192, (7, 1)),
            "Conv2d_0c_1x7": conv(224, (1, 7)),
            "Conv2d_0d_7x1": conv(224, (7, 1)),
            "Conv2d_0e_1x7": conv(256, (1, 7)),
        },
        {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(128, 1)},
    )
    reduction_b = mixed(
        {"Conv2d_0a_1x1": conv(192, 1), "Conv2d_1a_3x3": conv(192, 3, stride=2, padding="VALID")},
        {
            "Conv2d_0a_1x1": conv(256, 1),
            "Conv2d_0b_1x7": conv(256, (1, 7)),
            "Conv2d_0c_7x1": conv(320, (7, 1)),
            "Conv2d_1a_3x3": conv(320, 3, stride=2, padding="VALID"),
        },
        {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
    )
    wide, tall = conv(256, (1, 3)), conv(256, (3, 1))
    inception_c = mixed(
        {"Conv2d_0a_1x1": conv(256, 1)},
        {"Conv2d_0a_1x1": conv(384, 1), "concat": fork({"Conv2d_0b_1x3": wide, "Conv2d_0c_3x1": tall})},
        {
            "Conv2d_0a_1x1": conv(384, 1),
            "Conv2d_0b_3x1": conv(448, (3, 1)),
            "Conv2d_0c_1x3": conv(512, (1, 3)),
            "concat": fork({"Conv2d_0d_1x3": wide, "Conv2d_0e_3x1": tall}),
        },
        {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(256, 1)},
    )
    return {
        "Conv2d_1a_3x3": conv(32, 3, stride=2, padding="VALID"),
        "Conv2d_2a_3x3": conv(32, 3, padding="VALID"),
        "Conv2d_2b_3x3": conv(64, 3),
        "Mixed_3a": mixed(
            {"MaxPool_0a_3x3": max_pool(3, stride=2, padding="VALID")},
            {"Conv2d_0a_3x3": conv(96, 3, stride=2, padding="VALID")},
        ),
        "Mixed_4a": mixed(
            {"Conv2d_0a_1x1": conv(64, 1), "Conv2d_1a_3x3": conv(96, 3, padding="VALID")},
            {
                "Conv2d_0a_1x1": conv(64, 1),
                "Conv2d_0b_1x7": conv(64, (1, 7)),
                "Conv2d_0c_7x1": conv(64, (7, 1)),
                "Conv2d_1a_3x3": conv(96, 3, padding="VALID"),
            },
        ),
        "Mixed_5a": mixed(
            {"Conv2d_1a_3x3": conv(192, 3, stride=2, padding="VALID")},
            {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
        ),
        **{f"Mixed_5{letter}": inception_a for letter in "bcde"},
        "Mixed_6a": reduction_a,
        **{f"Mixed_6{letter}": inception_b for letter in "bcdefgh"},
        "Mixed_7a": reduction_b,
        **{f"Mixed_7{letter}": inception_c for letter in "bcd"},
    }


def inception_v4(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1001,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    scope: str,
    create_aux_logits: arguments.CreateAuxLogits = True,
    final_endpoint: arguments.FinalEndPoint = None,
    weight_decay: arguments.WeightDecay = 0.00004,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
    batch_norm_scale: bool = False,
    use_batch_norm: bool = True,
) -> list[Tensor]:
    """Lay Inception v4; with ``final_endpoint`` only its base, up to there.

    Source: research/slim/nets/inception_v4.py, ``inception_v4`` and ``inception_v4_base``.
    """
    arg_scope = InceptionArgScope.make(
        weight_decay, batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale, use_batch_norm=use_batch_norm
    )
    ends = x.graph.end_points
    x = lay_base(x, scope, _blocks(arg_scope), final_endpoint or LAST_END_POINT)
    if final_endpoint:
        return [x]
    auxiliary = []
    if create_aux_logits and num_classes:
        names = ("AvgPool_1a_5x5", "Conv2d_1b_1x1", "Conv2d_2a", "Aux_logits")
        auxiliary.append(flat_aux_logits(ends["Mixed_6h"], arg_scope, names, scope=scope, num_classes=num_classes))
    logits = flat_classifier_head(
        x, arg_scope, scope=scope, pool="AvgPool_1a", num_classes=num_classes, dropout_keep_prob=dropout_keep_prob
    )
    return [logits, *auxiliary]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {
        "num_classes": classes_in(variables, "Logits/Logits"),
        "create_aux_logits": "AuxLogits/Aux_logits/weights" in variables,
        "use_batch_norm": "Conv2d_1a_3x3/BatchNorm/beta" in variables,
        "batch_norm_scale": "Conv2d_1a_3x3/BatchNorm/gamma" in variables,
    }


NETS = (
    Net(
        name="inception_v4",
        lay=inception_v4,
        scope="InceptionV4",
        image_size=299,
        preprocessing="inception",
        labels_offset=0,
        anchor="Mixed_4a/Branch_1/Conv2d_0b_1x7/weights",
        read_arguments=_read_arguments,
    ),
)
