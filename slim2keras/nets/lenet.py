"""LeNet as slim has it, "Gradient-based learning applied to document recognition" (Y. LeCun et al., 1998).

Grey images of 28x28 pixels. Outputs: logits (batch, num_classes); features (batch, 1024) without classes.

Source: research/slim/nets/lenet.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import truncated_normal
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits
from slim2keras.nets.registry import Net, VariableShapes, classes_in


def lenet(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 10,
    dropout_keep_prob: arguments.KeepProb = 0.5,
    scope: str,
    weight_decay: arguments.WeightDecay = 0.0,
) -> list[Tensor]:
    """Lay LeNet.

    Source: research/slim/nets/lenet.py, ``lenet`` and ``lenet_arg_scope``.
    """
    options: dict[str, Any] = {"weight_decay": weight_decay, "weights_initializer": truncated_normal(0.1)}
    ends = x.graph.end_points
    x = ends["conv1"] = layers.conv2d(x, 32, 5, name=f"{scope}/conv1", **options)
    x = ends["pool1"] = layers.max_pool2d(x, 2, name=f"{scope}/pool1")
    x = ends["conv2"] = layers.conv2d(x, 64, 5, name=f"{scope}/conv2", **options)
    x = ends["pool2"] = layers.max_pool2d(x, 2, name=f"{scope}/pool2")
    x = ends["Flatten"] = shapes.flatten(x, name=f"{scope}/Flatten")
    x = ends["fc3"] = layers.fully_connected(x, 1024, name=f"{scope}/fc3", **options)
    if not num_classes:
        return [x]
    x = ends["dropout3"] = layers.dropout(x, dropout_keep_prob, name=f"{scope}/dropout3")
    x = layers.fully_connected(x, num_classes, activation=None, name=f"{scope}/fc4", **options)
    x = name_logits(x, "Logits")
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return [x]


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {"num_classes": classes_in(variables, "fc4")}


NETS = (
    Net(
        name="lenet",
        lay=lenet,
        scope="LeNet",
        image_size=28,
        channels=1,
        preprocessing="lenet",
        labels_offset=0,
        anchor="fc3/weights",
        read_arguments=_read_arguments,
    ),
)
