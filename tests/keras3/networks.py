"""Models for the tests of Keras 3, with values that are never trivial."""

from __future__ import annotations

from typing import Any

from slim2keras.graphs import layers
from slim2keras.graphs.graph import Layer, Tensor
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.models.building import build_model
from slim2keras.models.variables import assign_stored, slim_variables
from tests.keras3.op_cases import constant
from tests.reference import value

FAMILIES: dict[str, tuple[int, ...]] = {
    "lenet": (28, 28, 1),
    "cifarnet": (32, 32, 3),
    "alexnet_v2": (224, 224, 3),
    "vgg_a": (224, 224, 3),
    "inception_v1": (224, 224, 3),
    "inception_v2": (64, 64, 3),
    "inception_v3": (139, 139, 3),
    "inception_v4": (139, 139, 3),
    "inception_resnet_v1": (160, 160, 3),
    "inception_resnet_v2": (139, 139, 3),
    "resnet_v1_50": (64, 64, 3),
    "resnet_v2_50": (64, 64, 3),
    "mobilenet_v1_025": (64, 64, 3),
    "mobilenet_v2_035": (64, 64, 3),
    "mobilenet_v3_small": (64, 64, 3),
    "mobilenet_edgetpu_075": (64, 64, 3),
    "nasnet_cifar": (32, 32, 3),
    "pnasnet_mobile": (96, 96, 3),
    "densenet121": (64, 64, 3),
    "i3d": (16, 64, 64, 3),
    "s3dg": (16, 64, 64, 3),
}
"""A network a family, and the smallest images that it takes."""


def model_of(network: Network) -> Any:
    """The tf_keras model with values by the names of its variables."""
    model = build_model(network)
    for name, variable in slim_variables(model).items():
        assign_stored(variable, value(name, tuple(variable.shape)))
    return model


def pooled(shape: tuple[int | None, ...], window: int, stride: int) -> GraphNetwork:
    """An average pool SAME between images and logits."""
    x = layers.inputs(shape)
    graph = x.graph
    x = graph.end_points["pool"] = layers.avg_pool2d(x, window, stride=stride, padding="SAME", name="net/pool")
    x = layers.global_avg_pool(x, name="net/mean", keepdims=False)
    graph.outputs = [layers.fully_connected(x, 3, activation=None, name="net/logits")]
    return GraphNetwork("net", graph, num_classes=3)


def applying(*ops: tuple[str, dict[str, Any], list[Any]], shape: tuple[int | None, ...] = (6, 8, 3)) -> GraphNetwork:
    """Ops of TensorFlow one after the other, named after their places; ``None`` among operands is the last result.

    An operand that is a whole number is the result of the op with that number, -1 the image.
    """
    images = layers.inputs(shape)
    graph = images.graph
    results: list[Tensor] = []
    for place, (op, attributes, given) in enumerate(ops):
        sources = [images, *results]
        inputs = [sources[-1 if item is None else item + 1] for item in given if item is None or isinstance(item, int)]
        operands = [None if item is None or isinstance(item, int) else constant(item) for item in given]
        config = {"op": op, "attributes": attributes, "operands": operands}
        results.append(graph.add(Layer("TensorFlowOp", f"net/op{place}", config, tuple(inputs)), (None,)))
    graph.outputs = [results[-1]]
    return GraphNetwork("net", graph)
