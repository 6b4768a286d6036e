"""Which network is a model that comes from a plain file? Told from its variables and layers."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slim2keras.errors import UnrecognisedNetError, UnsupportedArgumentError
from slim2keras.graphs.folding import fold_graph, folded_network
from slim2keras.graphs.graph import Layer, LayerGraph, Shape, as_tuples
from slim2keras.graphs.network import Network
from slim2keras.nets import NETS
from slim2keras.nets.arguments import LastEndPoint, Lay, LayerConfigs, ShownInLayers
from slim2keras.nets.registry import Net, VariableShapes
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.from_variables import relative_shapes, root_scopes

_COMPARED = ("kernel_size", "pool_size", "strides", "dilation_rate", "padding", "epsilon")

MakeGraph = Callable[[LayerGraph], LayerGraph]


def recover_spec(shapes: VariableShapes, layer_configs: LayerConfigs, input_shape: Shape) -> NetSpec:
    """Tell network and arguments from a model's variables and layers, for a model that was loaded from a file.

    Arguments that decide about variables are read as from a checkpoint, the others as their marks say: numbers from the
    layers, of switches all values are tried until the layers are the same.

    Args:
        shapes: Shape of every variable by slim name.
        layer_configs: Keras configuration of every layer by name, with class and ``calls``, see ``LayerConfigs``.
        input_shape: (height, width, channels) of the model.

    Raises:
        UnrecognisedNetError: If no network has these layers.
    """
    spec = _recovered(shapes, layer_configs, input_shape, lambda graph: graph)
    if spec is not None:
        return spec
    raise UnrecognisedNetError(
        f"The model is not a network of slim2keras, or its layers were changed: {len(layer_configs)} layers, beginning "
        f"{', '.join(list(layer_configs)[:3])}. Build it with slim2keras.build or slim2keras.convert."
    )


def recover_network(shapes: VariableShapes, layer_configs: LayerConfigs, input_shape: Shape) -> Network:
    """As ``recover_spec``, also of a network whose BatchNorm was folded.

    Raises:
        UnrecognisedNetError: If no network has these layers.
    """
    try:
        return recover_spec(shapes, layer_configs, input_shape)
    except UnrecognisedNetError:
        spec = _recovered(shapes, layer_configs, input_shape, lambda graph: fold_graph(graph).graph)
        if spec is None:
            raise
        return folded_network(spec, fold_graph(spec.graph))


def _recovered(
    shapes: VariableShapes, layer_configs: LayerConfigs, input_shape: Shape, made: MakeGraph
) -> NetSpec | None:
    """The likeliest network of which ``made`` makes these layers, ``None`` if there is none."""
    found: list[NetSpec] = []
    for net in NETS.values():
        if len(net.default_input_shape) != len(input_shape):
            continue
        for scope in root_scopes(net, shapes, {}):
            for read in net.read_arguments(relative_shapes(shapes, net, scope)):
                known = {**read, "scope": scope}
                found += itertools.islice(_same_networks(net, input_shape, known, shapes, layer_configs, made), 1)
    return min(found, key=lambda item: item.strangeness, default=None)


def _same_networks(
    net: Net,
    input_shape: Shape,
    known: Mapping[str, Any],
    shapes: VariableShapes,
    layer_configs: LayerConfigs,
    made: MakeGraph,
) -> Iterator[NetSpec]:
    """The network with every setting of its other arguments that makes these layers."""
    lay = functools.cache(lambda **others: made(net.trace(net.default_input_shape, **known, **others)))
    variables = {variable.name for layer in lay().layers.values() for variable in layer.variables}
    may_be_cut = variables.issuperset(shapes) and net.marked(LastEndPoint)
    if not may_be_cut and variables != set(shapes):
        return
    for choice in _choices(net, lay, layer_configs):
        with contextlib.suppress(UnsupportedArgumentError):
            spec = NetSpec.make(net.name, input_shape, {**known, **choice})
            if is_network(made(spec.graph), shapes, layer_configs):
                yield spec


def _choices(net: Net, lay: Lay, layer_configs: LayerConfigs) -> Iterator[dict[str, Any]]:
    """Every setting of the arguments that show in layers but not in variables, the likeliest first."""
    values = {
        name: dict.fromkeys(mark.candidates(net.defaults[name], layer_configs, lay))
        for name, mark in net.marked(ShownInLayers).items()  # type: ignore[type-abstract]
    }
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def is_network(graph: LayerGraph, shapes: VariableShapes, layer_configs: LayerConfigs) -> bool:
    """Whether a model of these variables and layers is a network, see ``recover_spec``; of rates nothing is asked."""
    if {variable.name: variable.shape for variable in graph.variables()} != shapes:
        return False
    calls, expected = graph.calls(), _calls_by_inputs(graph)
    fed = {layer.name for layer in graph.input_layers}
    return calls.keys() | fed == layer_configs.keys() and all(
        _is_layer(graph.layers[name], config) and (name in fed or expected[name] == config["calls"])
        for name, config in layer_configs.items()
    )


def _calls_by_inputs(graph: LayerGraph) -> dict[str, list[list[tuple[str, int]]]]:
    """Of each call of each layer the inputs, as Keras has them: a layer's name, and which of its calls made it."""
    calls = graph.calls()
    made_by = {call.name: (owner, number) for owner, made in calls.items() for number, call in enumerate(made)}
    return {
        owner: [[made_by[tensor.layer_name] for tensor in call.inputs] for call in made]
        for owner, made in calls.items()
    }


def _is_layer(layer: Layer, config: Mapping[str, Any]) -> bool:
    return layer.kind == config["kind"] and all(
        layer.config[key] == as_tuples(config[key]) for key in _COMPARED if key in layer.config
    )
