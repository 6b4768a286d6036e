"""Separable convolutions as the two convolutions that they are."""

from __future__ import annotations

from dataclasses import replace

from slim2keras.graphs.graph import Layer, LayerGraph, Tensor

_KIND = "SeparableConv2D"
_OF_PART = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")
_OF_WHOLE = ("filters", "use_bias", "bias_initializer", "activation")


def is_separable(graph: LayerGraph) -> bool:
    """Whether a graph has separable convolutions."""
    return any(layer.kind == _KIND for layer in graph.layers.values())


def separated(graph: LayerGraph) -> LayerGraph:
    """A graph with a depthwise and a pointwise convolution in the place of every separable one, without end points.

    The first is called after TensorFlow's own scope for them, ``NAME/separable_conv2d``, the second ``NAME``; variables
    keep their names.
    """
    made = LayerGraph()
    used = [tensor for layer in graph.layers.values() for tensor in layer.inputs]
    shapes = {tensor.layer_name: tensor.shape for tensor in (*used, *graph.outputs)}

    def moved(tensor: Tensor) -> Tensor:
        return replace(tensor, graph=made)

    for layer in graph.layers.values():
        found = replace(layer, inputs=tuple(map(moved, layer.inputs)))
        if layer.kind == _KIND and layer.name in shapes:
            first = _depthwise(found, graph.owner_of(layer))
            made.layers[first.name] = first
            channels = found.inputs[0].channels * graph.owner_of(layer).config["depth_multiplier"]
            between = Tensor(made, first.name, (*shapes[layer.name][:-1], channels))
            found = _pointwise(replace(found, inputs=(between,)), graph.owner_of(layer))
        made.layers[found.name] = found
    made.outputs += map(moved, graph.outputs)
    return made


def _depthwise(layer: Layer, owner: Layer) -> Layer:
    if layer.call_of:
        return replace(layer, kind="DepthwiseConv2D", name=_first(layer.name), config={}, call_of=_first(owner.name))
    name = layer.variable_name("depthwise_kernel")
    return Layer(
        "DepthwiseConv2D",
        _first(layer.name),
        {key: layer.config[key] for key in _OF_PART if key in layer.config} | {"use_bias": False},
        layer.inputs,
        tuple(variable for variable in layer.variables if variable.name == name),
        variable_names={"depthwise_kernel": name},
    )


def _pointwise(layer: Layer, owner: Layer) -> Layer:
    if layer.call_of:
        return replace(layer, kind="Conv2D", config={}, call_of=owner.name)
    gone = layer.variable_name("depthwise_kernel")
    names = {"kernel": layer.variable_name("pointwise_kernel"), "bias": layer.variable_name("bias")}
    variables = tuple(variable for variable in layer.variables if variable.name != gone)
    there = {variable.name for variable in variables}
    return Layer(
        "Conv2D",
        layer.name,
        {key: layer.config[key] for key in _OF_WHOLE if key in layer.config} | {"kernel_size": (1, 1)},
        layer.inputs,
        variables,
        variable_names={leaf: name for leaf, name in names.items() if name in there},
    )


def _first(name: str) -> str:
    return f"{name}/separable_conv2d"
