"""A network of nobody's registry."""

from __future__ import annotations

import numpy as np

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.layers import BatchNorm
from slim2keras.graphs.network import GraphNetwork

SHAPE, CLASSES = (16, 16, 3), 4
WEIGHTS = np.random.RandomState(1).uniform(-1, 1, (3, 3, 8, 8)).astype("float32")


def own_network(decay: float = 0.9) -> GraphNetwork:
    """Two convolutions, one with BatchNorm, one with biases, below scopes of one's own."""
    x = layers.inputs(SHAPE)
    graph = x.graph
    x = layers.conv2d(x, 8, 3, stride=2, batch_norm=BatchNorm(decay, scale=True), weight_decay=1e-3, name="own/first")
    graph.end_points["first"] = x
    x = layers.conv2d(x, 8, 3, initial_weights=WEIGHTS.reshape, name="own/second")
    graph.end_points["second"] = x
    x = shapes.flatten(layers.max_pool2d(x, 2, name="own/pool"), name="own/flatten")
    x = layers.fully_connected(x, CLASSES, activation=None, name="own/logits")
    graph.outputs = [x]
    return GraphNetwork("own", graph, preprocessing="inception", num_classes=CLASSES)
