"""CifarNet as slim has it, after A. Krizhevsky's cuda-convnet.

Images of 32x32 pixels. Outputs: logits (batch, num_classes); features (batch, 192) without classes.

Source: research/slim/nets/cifarnet.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import constant, truncated_normal
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits
from slim2keras.nets.registry import Net, VariableShapes, classes_in


def cifarnet(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 10,
    dropout_keep_prob: arguments.KeepProb = 0.5,
    scope: str,
    weight_decay: arguments.WeightDecay = 0.004,
) -> list[Tensor]:
    """Lay CifarNet; only its two hidden fully connected layers decay.

    Source: research/slim/nets/cifarnet.py, ``cifarnet`` and ``cifarnet_arg_scope``.
    """
    conv: dict[str, Any] = {"weights_initializer": truncated_normal(0.05)}
    hidden: dict[str, Any] = {
        "weight_decay": weight_decay,
        "weights_initializer": truncated_normal(0.04),
        "biases_initializer": constant(0.1),
    }
    ends = x.graph.end_points
    x = ends["conv1"] = layers.conv2d(x, 64, 5, name=f"{scope}/conv1", **conv)
    x = ends["pool1"] = layers.max_pool2d(x, 2, name=f"{scope}/pool1")
    x = _norm(x, name=f"{scope}/norm1")
    x = ends["conv2"] = layers.conv2d(x, 64, 5, name=f"{scope}/conv2", **conv)
    x = _norm(x, name=f"{scope}/norm2")
    x = ends["pool2"] = layers.max_pool2d(x, 2, name=f"{scope}/pool2")
    x = ends["Flatten"] = shapes.flatten(x, name=f"{scope}/Flatten")
    x = ends["fc3"] = layers.fully_connected(x, 384, name=f"{scope}/fc3", **hidden)
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/dropout3")
    x = ends["fc4"] = layers.fully_connected(x, 192, name=f"{scope}/fc4", **hidden)
    if not num_classes:
        return [x]
    logits: dict[str, Any] = {"activation": None, "weights_initializer": truncated_normal(1 / 192)}
    x = name_logits(layers.fully_connected(x, num_classes, name=f"{scope}/logits", **logits), "Logits")
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return [x]


def _norm(x: Tensor, *, name: str) -> Tensor:
    return layers.lrn(x, 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name=name)


def _read_arguments(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    yield {"num_classes": classes_in(variables, "logits")}


NETS = (
    Net(
        name="cifarnet",
        lay=cifarnet,
        scope="CifarNet",
        image_size=32,
        preprocessing="cifarnet",
        labels_offset=0,
        anchor="fc4/weights",
        read_arguments=_read_arguments,
    ),
)
