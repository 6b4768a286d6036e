"""A network as data knows its shapes."""

from __future__ import annotations

from typing import Any

import pytest

from slim2keras.models.building import make_layer
from slim2keras.nets import NETS, list_nets


@pytest.mark.parametrize("net", list_nets())
def test_shapes_of_the_laid_network_are_those_of_keras(net: str) -> None:
    """The graph computes shapes by itself; here Keras computes them, without making variables of the real size."""
    import tensorflow as tf

    graph = NETS[net].trace(NETS[net].default_input_shape, num_classes=7)
    shapes: dict[str, tuple[Any, ...]] = {}
    for layer in graph.layers.values():
        if layer.kind == "InputLayer":
            shapes[layer.name] = (None, *layer.config["input_shape"])
            continue
        inputs = [tf.TensorShape(shapes[tensor.layer_name]) for tensor in layer.inputs]
        shape = make_layer(layer).compute_output_shape(inputs[0] if len(inputs) == 1 else inputs)
        shapes[layer.name] = tuple(shape)
    for tensor in (*graph.outputs, *graph.end_points.values()):
        assert shapes[tensor.layer_name][1:] == tensor.shape, tensor.layer_name
