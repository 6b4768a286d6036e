"""Inception-ResNet v1, as in facenet, and v2: "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning" (C. Szegedy et al., arXiv:1602.07261).

v2: ImageNet top-1 / top-5 of the published checkpoint 80.4/95.3; logits (batch, num_classes) and, with
``create_aux_logits``, auxiliary logits; features (batch, 1, 1, 1536) without classes.

v1: a network of faces; embeddings (batch, bottleneck_layer_size), to be divided by their norm, or with ``num_classes``
the logits of facenet's classifier on top of them. Accuracy on LFW of the published checkpoints: 0.9965
(20180402-114759), 0.9905 (20180408-102900), both of 512 dimensions.

Source: research/slim/nets/inception_resnet_v2.py; davidsandberg/facenet, src/models/inception_resnet_v1.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs import activations, arithmetic, layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import whole_kernel_size
from slim2keras.nets.parts.inception import (
    Branch,
    InceptionArgScope,
    Operation,
    avg_pool,
    flat_aux_logits,
    flat_classifier_head,
    lay_base,
    max_pool,
    mixed,
)
from slim2keras.nets.registry import Net, VariableShapes, classes_in


@dataclass(frozen=True)
class _Blocks:
    """Residual blocks: branches joined, brought back to the input's channels, scaled and added.

    Attributes:
        activation: Of the sum; ``None`` for none.
        rate: Dilation of the convolutions in the middle of the network.
    """

    arg_scope: InceptionArgScope
    activation: str | None
    rate: int = 1

    def residual(self, scale: float, *branches: Branch, activate: bool = True) -> Operation:
        def lay(x: Tensor, scope: str) -> Tensor:
            activation = self.activation if activate else None
            up = mixed(*branches)(x, scope)
            back = self.arg_scope.logits(x.channels, rate=self.rate)
            up = back(up, f"{scope}/Conv2d_1x1")
            if scale != 1.0:
                up = arithmetic.rescale(up, scale, name=f"{scope}/mul")
            if activation == "relu6":
                up = activations.clip_to_6(up, name=f"{scope}/clip_by_value")
            x = arithmetic.add([x, up], name=f"{scope}/add")
            return activations.activate(x, activation, scope=scope)

        return lay


def _repeat(count: int, block: Operation, layer: str) -> Operation:
    """``slim.repeat``: the same block ``count`` times, below ``layer_1``, ``layer_2``, ..."""

    def lay(x: Tensor, scope: str) -> Tensor:
        for index in range(1, count + 1):
            x = block(x, f"{scope}/{layer}_{index}")
        return x

    return lay


def _chain(*operations: tuple[str, Operation]) -> Operation:
    """Operations one after the other, each below its own scope of the root; the end point's name is not a scope."""

    def lay(x: Tensor, name: str) -> Tensor:
        root = name.rpartition("/")[0]
        for scope, operation in operations:
            x = operation(x, f"{root}/{scope}")
        return x

    return lay


def _stem(conv: Any, padding: str) -> Branch:
    """What both versions begin with."""
    return {
        "Conv2d_1a_3x3": conv(32, 3, stride=2, padding=padding),
        "Conv2d_2a_3x3": conv(32, 3, padding=padding),
        "Conv2d_2b_3x3": conv(64, 3),
        "MaxPool_3a_3x3": max_pool(3, stride=2, padding=padding),
        "Conv2d_3b_1x1": conv(80, 1, padding=padding),
        "Conv2d_4a_3x3": conv(192, 3, padding=padding),
    }


def _blocks_v1(arg_scope: InceptionArgScope) -> Branch:
    conv = arg_scope.conv
    blocks = _Blocks(arg_scope, "relu")
    block35 = blocks.residual(
        0.17,
        {"Conv2d_1x1": conv(32, 1)},
        {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(32, 3)},
        {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(32, 3), "Conv2d_0c_3x3": conv(32, 3)},
    )
    block17 = blocks.residual(
        0.10,
        {"Conv2d_1x1": conv(128, 1)},
        {"Conv2d_0a_1x1": conv(128, 1), "Conv2d_0b_1x7": conv(128, (1, 7)), "Conv2d_0c_7x1": conv(128, (7, 1))},
    )
    branches_8 = (
        {"Conv2d_1x1": conv(192, 1)},
        {"Conv2d_0a_1x1": conv(192, 1), "Conv2d_0b_1x3": conv(192, (1, 3)), "Conv2d_0c_3x1": conv(192, (3, 1))},
    )
    return {
        **_stem(conv, "VALID"),
        "Conv2d_4b_3x3": conv(256, 3, stride=2, padding="VALID"),
        "Mixed_5a": _chain(("Repeat", _repeat(5, block35, "block35"))),
        "Mixed_6a": mixed(
            {"Conv2d_1a_3x3": conv(384, 3, stride=2, padding="VALID")},
            {
                "Conv2d_0a_1x1": conv(192, 1),
                "Conv2d_0b_3x3": conv(192, 3),
                "Conv2d_1a_3x3": conv(256, 3, stride=2, padding="VALID"),
            },
            {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
        ),
        "Mixed_6b": _chain(("Repeat_1", _repeat(10, block17, "block17"))),
        "Mixed_7a": mixed(
            {"Conv2d_0a_1x1": conv(256, 1), "Conv2d_1a_3x3": conv(384, 3, stride=2, padding="VALID")},
            {"Conv2d_0a_1x1": conv(256, 1), "Conv2d_1a_3x3": conv(256, 3, stride=2, padding="VALID")},
            {
                "Conv2d_0a_1x1": conv(256, 1),
                "Conv2d_0b_3x3": conv(256, 3),
                "Conv2d_1a_3x3": conv(256, 3, stride=2, padding="VALID"),
            },
            {"MaxPool_1a_3x3": max_pool(3, stride=2, padding="VALID")},
        ),
        "Mixed_8a": _chain(("Repeat_2", _repeat(5, blocks.residual(0.20, *branches_8), "block8"))),
        "Mixed_8b": _chain(("Block8", blocks.residual(1.0, *branches_8, activate=False))),
    }


def _blocks_v2(arg_scope: InceptionArgScope, activation: str | None, output_stride: int, padding: str) -> Branch:
    conv = arg_scope.conv
    stride, rate = (1, 2) if output_stride == 8 else (2, 1)
    blocks = _Blocks(arg_scope, activation)
    block35 = blocks.residual(
        0.17,
        {"Conv2d_1x1": conv(32, 1)},
        {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(32, 3)},
        {"Conv2d_0a_1x1": conv(32, 1), "Conv2d_0b_3x3": conv(48, 3), "Conv2d_0c_3x3": conv(64, 3)},
    )
    block17 = _Blocks(arg_scope, activation, rate).residual(
        0.10,
        {"Conv2d_1x1": conv(192, 1, rate=rate)},
        {
            "Conv2d_0a_1x1": conv(128, 1, rate=rate),
            "Conv2d_0b_1x7": conv(160, (1, 7), rate=rate),
            "Conv2d_0c_7x1": conv(192, (7, 1), rate=rate),
        },
    )
    branches_8 = (
        {"Conv2d_1x1": conv(192, 1)},
        {"Conv2d_0a_1x1": conv(192, 1), "Conv2d_0b_1x3": conv(224, (1, 3)), "Conv2d_0c_3x1": conv(256, (3, 1))},
    )
    mixed_5b = mixed(
        {"Conv2d_1x1": conv(96, 1)},
        {"Conv2d_0a_1x1": conv(48, 1), "Conv2d_0b_5x5": conv(64, 5)},
        {"Conv2d_0a_1x1": conv(64, 1), "Conv2d_0b_3x3": conv(96, 3), "Conv2d_0c_3x3": conv(96, 3)},
        {"AvgPool_0a_3x3": avg_pool(3), "Conv2d_0b_1x1": conv(64, 1)},
    )
    mixed_6a = mixed(
        {"Conv2d_1a_3x3": conv(384, 3, stride=stride, padding=padding)},
        {
            "Conv2d_0a_1x1": conv(256, 1),
            "Conv2d_0b_3x3": conv(256, 3),
            "Conv2d_1a_3x3": conv(384, 3, stride=stride, padding=padding),
        },
        {"MaxPool_1a_3x3": max_pool(3, stride=stride, padding=padding)},
    )
    return {
        **_stem(conv, padding),
        "MaxPool_5a_3x3": max_pool(3, stride=2, padding=padding),
        "Mixed_5b": mixed_5b,
        "Mixed_6a": _chain(("Repeat", _repeat(10, block35, "block35")), ("Mixed_6a", mixed_6a)),
        "PreAuxLogits": _chain(("Repeat_1", _repeat(20, block17, "block17"))),
        "Mixed_7a": mixed(
            {"Conv2d_0a_1x1": conv(256, 1), "Conv2d_1a_3x3": conv(384, 3, stride=2, padding=padding)},
            {"Conv2d_0a_1x1": conv(256, 1), "Conv2d_1a_3x3": conv(288, 3, stride=2, padding=padding)},
            {
                "Conv2d_0a_1x1": conv(256, 1),
                "Conv2d_0b_3x3": conv(288, 3),
                "Conv2d_1a_3x3": conv(320, 3, stride=2, padding=padding),
            },
            {"MaxPool_1a_3x3": max_pool(3, stride=2, padding=padding)},
        ),
        "Conv2d_7b_1x1": _chain(
            ("Repeat_2", _repeat(9, blocks.residual(0.20, *branches_8), "block8")),
            ("Block8", blocks.residual(1.0, *branches_8, activate=False)),
            ("Conv2d_7b_1x1", conv(1536, 1)),
        ),
    }


_BASE_OF_STRIDE_8 = ("Conv2d_", "MaxPool_", "Mixed_5b", "Mixed_6a", "PreAuxLogits")


def inception_resnet_v2(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1001,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    scope: str,
    create_aux_logits: arguments.CreateAuxLogits = True,
    activation_fn: arguments.ActivationFn = "relu",
    final_endpoint: arguments.FinalEndPoint = None,
    output_stride: Annotated[int, arguments.OneOf((8, 16))] = 16,
    align_feature_maps: arguments.ShownSwitch = False,
    weight_decay: arguments.WeightDecay = 0.00004,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
    batch_norm_scale: bool = False,
) -> list[Tensor]:
    """Lay Inception-ResNet v2; with ``final_endpoint`` only its base, up to there. The biases decay as well.

    Source: research/slim/nets/inception_resnet_v2.py, ``inception_resnet_v2`` and ``inception_resnet_v2_base``.
    """
    end = final_endpoint or "Conv2d_7b_1x1"
    if output_stride == 8 and (end == "Conv2d_7b_1x1" or not end.startswith(_BASE_OF_STRIDE_8)):
        raise UnsupportedArgumentError(
            f'output_stride=8 of {scope} goes up to "PreAuxLogits", as in slim: give final_endpoint="PreAuxLogits" or '
            f"an earlier one. Received: final_endpoint={final_endpoint!r}"
        )
    arg_scope = InceptionArgScope(
        {
            "weight_decay": weight_decay,
            "biases_decay": weight_decay,
            "activation": activation_fn,
            "batch_norm": BatchNorm(batch_norm_decay, batch_norm_epsilon, scale=batch_norm_scale),
        }
    )
    ends = x.graph.end_points
    padding = "SAME" if align_feature_maps else "VALID"
    x = lay_base(x, scope, _blocks_v2(arg_scope, activation_fn, output_stride, padding), end)
    if final_endpoint:
        return [x]
    auxiliary = []
    if create_aux_logits and num_classes:
        names = ("Conv2d_1a_3x3", "Conv2d_1b_1x1", "Conv2d_2a_5x5", "Logits")
        auxiliary.append(flat_aux_logits(ends["PreAuxLogits"], arg_scope, names, scope=scope, num_classes=num_classes))
    logits = flat_classifier_head(
        x, arg_scope, scope=scope, pool="AvgPool_1a_8x8", num_classes=num_classes, dropout_keep_prob=dropout_keep_prob
    )
    return [logits, *auxiliary]


def inception_resnet_v1(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 0,
    dropout_keep_prob: arguments.KeepProb = 0.8,
    bottleneck_layer_size: int = 128,
    scope: str,
    weight_decay: arguments.WeightDecay = 0.0,
    batch_norm_decay: arguments.BatchNormDecay = 0.995,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
) -> list[Tensor]:
    """Lay facenet's Inception-ResNet v1 up to its bottleneck, with ``num_classes`` its classifier on top.

    Source: davidsandberg/facenet, src/models/inception_resnet_v1.py, ``inference``; src/train_softmax.py, ``Logits``.
    """
    batch_norm = BatchNorm(batch_norm_decay, batch_norm_epsilon)
    options: dict[str, Any] = {"weight_decay": weight_decay, "batch_norm": batch_norm}
    ends = x.graph.end_points
    x = lay_base(x, scope, _blocks_v1(InceptionArgScope(options)), "Mixed_8b")
    ends["PrePool"] = x
    window = whole_kernel_size(x, name=f"{scope}/Logits/AvgPool_1a_8x8")
    x = layers.avg_pool2d(x, window, name=f"{scope}/Logits/AvgPool_1a_8x8")
    x = shapes.flatten(x, name=f"{scope}/Logits/Flatten")
    x = ends["PreLogitsFlatten"] = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout")
    x = layers.fully_connected(x, bottleneck_layer_size, activation=None, name=f"{scope}/Bottleneck", **options)
    if not num_classes:
        return [x]
    x = layers.fully_connected(x, num_classes, activation=None, weight_decay=weight_decay, name="Logits")
    ends["Logits"] = x
    return [x]


def _read_arguments_v1(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    bottleneck = variables.get("Bottleneck/weights", (0, 128))
    yield {"num_classes": classes_in(variables, "Logits") or 0, "bottleneck_layer_size": bottleneck[-1]}


def _read_arguments_v2(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {
        "num_classes": classes_in(variables, "Logits/Logits"),
        "create_aux_logits": "AuxLogits/Logits/weights" in variables,
        "batch_norm_scale": "Conv2d_1a_3x3/BatchNorm/gamma" in variables,
    }


NETS = (
    Net(
        name="inception_resnet_v1",
        lay=inception_resnet_v1,
        scope="InceptionResnetV1",
        image_size=160,
        preprocessing="facenet_fixed",
        labels_offset=0,
        anchor="Repeat/block35_1/Branch_2/Conv2d_0c_3x3/weights",
        read_arguments=_read_arguments_v1,
        slim_name=None,
        beside=("Logits",),
    ),
    Net(
        name="inception_resnet_v2",
        lay=inception_resnet_v2,
        scope="InceptionResnetV2",
        image_size=299,
        preprocessing="inception",
        labels_offset=0,
        anchor="Mixed_5b/Branch_2/Conv2d_0c_3x3/weights",
        read_arguments=_read_arguments_v2,
    ),
)
