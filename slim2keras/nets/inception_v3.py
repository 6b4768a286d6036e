"""Inception v3, "Rethinking the Inception Architecture for Computer Vision" (C. Szegedy et al., arXiv:1512.00567).

ImageNet top-1 / top-5 of the published checkpoint: 78.0/93.9. Outputs: logits (batch, num_classes) and, with
``create_aux_logits``, auxiliary logits of the same shape; features (batch, 1, 1, 2048) without classes.

Source: research/slim/nets/inception_v3.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import truncated_normal
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits, reduced_kernel_size
from slim2keras.nets.parts.inception import (
    IN_TF_SLIM,
    Branch,
    GlobalPool,
    InceptionArgScope,
    Operation,
    avg_pool,
    classifier_head,
    fork,
    lay_base,
    max_pool,
    mixed,
)
from slim2keras.nets.registry import Net, VariableShapes, classes_in, read_depths

LAST_END_POINT = "Mixed_7c"


def _blocks(arg_scope: InceptionArgScope, depth_multiplier: float, min_depth: int) -> Branch:
    conv = arg_scope.conv

    def d(depth: int) -> int:
        return max(int(depth * depth_multiplier), min_depth)

    def grid_35(pool_depth: int, first: str = "Conv2d_0a_1x1", second: str = "Conv2d_0b_5x5") -> Operation:
        return mixed(
            {"Conv2d_0a_1x1": conv(d(64), 1)},
            {first: conv(d(48), 1), second: conv(d(64), 5)},
            {"Conv2d_0a_1x1": conv(d(64), 1), "Conv2d_0b_3x3": conv(d(96), 3), "Conv2d_0c_3x3": conv(d(96), 3)},
            {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(d(pool_depth), 1)},
        )

    def grid_17(depth: int) -> Operation:
        return mixed(
            {"Conv2d_0a_1x1": conv(d(192), 1)},
            {
                "Conv2d_0a_1x1": conv(d(depth), 1),
                "Conv2d_0b_1x7": conv(d(depth), (1, 7)),
                "Conv2d_0c_7x1": conv(d(192), (7, 1)),
            },
            {
                "Conv2d_0a_1x1": conv(d(depth), 1),
                "Conv2d_0b_7x1": conv(d(depth), (7, 1)),
                "Conv2d_0c_1x7": conv(d(depth), (1, 7)),
                "Conv2d_0d_7x1": conv(d(depth), (7, 1)),
                "Conv2d_0e_1x7": conv(d(192), (1, 7)),
            },
            {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(d(192), 1)},
        )

    def grid_8(name_3x1: str) -> Operation:
        wide, tall = conv(d(384), (1, 3)), conv(d(384), (3, 1))
        return mixed(
            {"Conv2d_0a_1x1": conv(d(320), 1)},
            {"Conv2d_0a_1x1": conv(d(384), 1), "concat": fork({"Conv2d_0b_1x3": wide, name_3x1: tall})},
            {
                "Conv2d_0a_1x1": conv(d(448), 1),
                "Conv2d_0b_3x3": conv(d(384), 3),
                "concat": fork({"Conv2d_0c_1x3": wide, "Conv2d_0d_3x1": tall}),
            },
            {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(d(192), 1)},
        )

    return {
        "Conv2d_1a_3x3": conv(d(32), 3, stride=2, padding="VALID"),
        "Conv2d_2a_3x3": conv(d(32), 3, padding="VALID"),
        "Conv2d_2b_3x3": conv(d(64), 3),
        "MaxPool_3a_3x3": max_pool(3, stride=2, padding="VALID"),
        "Conv2d_3b_1x1": conv(d(80), 1, padding="VALID"),
        "Conv2d_4a_3x3": conv(d(192), 3, padding="VALID"),
        "MaxPool_5a_3x3": max_pool(3, stride=2, padding="VALID"),
        "Mixed_5b": grid_35(32),
        # The scopes of the second branch are slim's own slips of the pen, kept because checkpoints have them.
        "Mixed_5c": grid_35(64, "Conv2d_0b_1x1", "Conv_1_0c_5x5"),
        "Mixed_5d": grid_35(64),
        "Mixed_6a": mixed(
            {"Conv2d_1a_1x1": conv(d(384), 3, stride=2, padding="VALID")},
            {
                "Conv2d_0a_1x1": conv(d(64), 1),
                "Conv2d_0b_3x3": conv(d(96), 3),
                "Conv2d_1a_1x1": conv(d(96), 3, stride=2, padding="VALID"),
            },
            {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
        ),
        "Mixed_6b": grid_17(128),
        "Mixed_6c": grid_17(160),
        "Mixed_6d": grid_17(160),
        "Mixed_6e": grid_17(192),
        "Mixed_7a": mixed(
            {"Conv2d_0a_1x1": conv(d(192), 1), "Conv2d_1a_3x3": conv(d(320), 3, stride=2, padding="VALID")},
            {
                "Conv2d_0a_1x1": conv(d(192), 1),
                "Conv2d_0b_1x7": conv(d(192), (1, 7)),
                "Conv2d_0c_7x1": conv(d(192), (7, 1)),
                "Conv2d_1a_3x3": conv(d(192), 3, stride=2, padding="VALID"),
            },
            {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
        ),
        "Mixed_7b": grid_8("Conv2d_0b_3x1"),
        "Mixed_7c": grid_8("Conv2d_0c_3x1"),
    }


def _aux_logits(
    x: Tensor, arg_scope: InceptionArgScope, *, scope: str, depths: tuple[int, int], num_classes: int, squeeze: bool
) -> Tensor:
    """Auxiliary classifier on ``Mixed_6e``; the name of its second convolution tells the window, 5x5 at 299 pixels."""
    scope = f"{scope}/AuxLogits"
    x = avg_pool(5, stride=3, padding="VALID")(x, f"{scope}/AvgPool_1a_5x5")
    x = arg_scope.conv(depths[0], 1)(x, f"{scope}/Conv2d_1b_1x1")
    height, width = kernel_size = reduced_kernel_size(x, (5, 5))
    conv = arg_scope.conv(depths[1], kernel_size, padding="VALID", weights_initializer=truncated_normal(0.01))
    x = conv(x, f"{scope}/Conv2d_2a_{height}x{width}")
    x = arg_scope.logits(num_classes, weights_initializer=truncated_normal(0.001))(x, f"{scope}/Conv2d_2b_1x1")
    return name_logits(x, "AuxLogits", spatial_squeeze=squeeze)


def inception_v3(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    min_depth: int = 16,
    depth_multiplier: arguments.DepthMultiplier = 1.0,
    spatial_squeeze: arguments.ShownSwitch = True,
    create_aux_logits: arguments.CreateAuxLogits = True,
    scope: str,
    global_pool: GlobalPool = False,
    final_endpoint: arguments.FinalEndPoint = None,
    weight_decay: arguments.WeightDecay = 0.00004,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
    batch_norm_scale: bool = False,
    use_batch_norm: bool = True,
) -> list[Tensor]:
    """Lay Inception v3; with ``final_endpoint`` only its base, up to there.

    Source: research/slim/nets/inception_v3.py, ``inception_v3`` and ``inception_v3_base``.
    """
    arg_scope = InceptionArgScope.make(
        weight_decay, batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale, use_batch_norm=use_batch_norm
    )
    ends = x.graph.end_points
    x = lay_base(x, scope, _blocks(arg_scope, depth_multiplier, min_depth), final_endpoint or LAST_END_POINT)
    if final_endpoint:
        return [x]
    auxiliary = []
    if create_aux_logits and num_classes:
        depths = (max(int(128 * depth_multiplier), min_depth), max(int(768 * depth_multiplier), min_depth))
        auxiliary.append(
            _aux_logits(
                ends["Mixed_6e"],
                arg_scope,
                scope=scope,
                depths=depths,
                num_classes=num_classes,
                squeeze=spatial_squeeze,
            )
        )
    logits = classifier_head(
        x,
        arg_scope,
        scope=scope,
        window=8,
        num_classes=num_classes,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        global_pool=global_pool,
    )
    return [logits, *auxiliary]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    widths = {"Conv2d_4a_3x3": 192, "Mixed_7c/Branch_0/Conv2d_0a_1x1": 320}
    for depths in read_depths(variables, widths, "min_depth", "(Conv2d|Mixed)_.*"):
        yield {
            **depths,
            "num_classes": classes_in(variables, "Logits/Conv2d_1c_1x1"),
            "create_aux_logits": "AuxLogits/Conv2d_2b_1x1/weights" in variables,
            "use_batch_norm": "Conv2d_1a_3x3/BatchNorm/beta" in variables,
            "batch_norm_scale": "Conv2d_1a_3x3/BatchNorm/gamma" in variables,
        }


NETS = (
    Net(
        name="inception_v3",
        lay=inception_v3,
        scope="InceptionV3",
        image_size=299,
        preprocessing="inception",
        labels_offset=0,
        anchor="Mixed_5b/Branch_1/Conv2d_0a_1x1/weights",
        read_arguments=_read_arguments,
        slim=IN_TF_SLIM,
    ),
)
