"""A network with another number of classes: what of it starts afresh then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.nets.spec import NetSpec

_WIDTHS = {"Dense": "units", "Conv1D": "filters", "Conv2D": "filters", "Conv3D": "filters"}
"""Layers that a classifier may be, and what says how many classes it has."""
_CHANGES_NO_CLASSES = frozenset(
    {
        *("Activation", "AveragePooling2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "Identity", "ReLU"),
        *("Reshape", "Softmax", "TensorFlowOp"),
    }
)
"""What may lie behind it: layers without variables, of which each output belongs to one class."""


def with_classes(network: Network, num_classes: int) -> Network:
    """The same network with another number of classes, its auxiliary logits too.

    Raises:
        UnsupportedArgumentError: If its classifier cannot be found, or has another form than one last layer.
    """
    if network.num_classes == num_classes:
        return network
    if isinstance(network, NetSpec):
        arguments = {**network.arguments, "num_classes": num_classes}
        return NetSpec.make(network.net, network.input_shape, arguments, network.preprocessing)
    assert isinstance(network, GraphNetwork)
    if not network.num_classes:
        raise _no_classifier(network, "nothing says how many classes it has")
    return _graph_with_classes(network, network.num_classes, num_classes)


def fresh_scopes(before: Network, after: Network) -> tuple[str, ...]:
    """Layers of ``after`` whose variables ``before`` has not, or in another shape: in the order of the network."""
    known = {variable.name: variable.shape for variable in before.graph.variables()}
    changed = [item.name for item in after.graph.variables() if known.get(item.name) != item.shape]
    return tuple(dict.fromkeys(name.rpartition("/")[0] or name for name in changed))


def _graph_with_classes(network: GraphNetwork, before: int, after: int) -> GraphNetwork:
    graph = network.layers
    found = [_classifier_and_rest(network, graph.layers[output.layer_name], before) for output in graph.outputs]
    classifiers = {layer.name for layer, _ in found}
    changed = classifiers.union(*(rest for _, rest in found))
    config = graph.to_config()
    for row in config["layers"]:
        row["inputs"] = [[name, _resized(shape, before, after, name in changed)] for name, shape in row["inputs"]]
        if row["config"]["name"] in classifiers:
            _widen(row, before, after)
        elif row["config"]["name"] in changed:
            row["config"] = _with_size(row["config"], before, after)
    for name in ("end_points", "outputs"):
        config[name] = _resized_tensors(config[name], before, after, changed)
    return replace(network, layers=LayerGraph.from_config(config), num_classes=after)


def _classifier_and_rest(network: GraphNetwork, last: Layer, classes: int) -> tuple[Layer, set[str]]:
    """The last layer with variables before an output, and what lies behind it."""
    graph, layer, rest = network.layers, last, set()
    while not graph.owner_of(layer).variables:
        if layer.kind not in _CHANGES_NO_CLASSES or len(layer.inputs) != 1:
            raise _no_classifier(network, f"its output comes from {layer.name} ({layer.kind})")
        rest.add(layer.name)
        layer = graph.layers[layer.inputs[0].layer_name]
    width = _WIDTHS.get(layer.kind, "")
    if layer.call_of or layer.config.get(width) != classes:
        raise _no_classifier(network, f"its last weights are those of {layer.name} ({layer.kind})")
    return layer, rest


def _no_classifier(network: Network, why: str) -> UnsupportedArgumentError:
    return UnsupportedArgumentError(
        f"The classifier of {network.name} cannot be given the classes of the data: {why}. Import the part before it "
        "(output_tensors), and put a head of your own on it in Python: slim2keras.finetune takes any functional model."
    )


def _widen(row: dict[str, Any], before: int, after: int) -> None:
    """Give a classifier another number of classes, its variables drawn by its own initializers."""
    row["config"] = {**row["config"], _WIDTHS[row["class_name"]]: after}
    row["initial_values"] = {}
    for variable in row["variables"]:
        variable["shape"] = _resized(variable["shape"], before, after, is_changed=True)


def _resized(shape: Any, before: int, after: int, is_changed: bool) -> Any:
    """A shape with another number of channels."""
    is_wide = is_changed and shape and shape[-1] == before
    return (*shape[:-1], after) if is_wide else shape


def _resized_tensors(tensors: Any, before: int, after: int, changed: set[str]) -> Any:
    if isinstance(tensors, Mapping):
        return dict(zip(tensors, _resized_tensors([*tensors.values()], before, after, changed), strict=True))
    return [[name, _resized(shape, before, after, name in changed)] for name, shape in tensors]


def _with_size(config: Mapping[str, Any], before: int, after: int) -> dict[str, Any]:
    """The configuration of a layer that reshapes, with the last size of the result another one."""
    changed = dict(config)
    if "target_shape" in config:
        changed["target_shape"] = _resized(config["target_shape"], before, after, is_changed=True)
    if config.get("op") == "Reshape":
        changed["operands"] = [
            item and {**item, "value": [*_resized(tuple(item["value"]), before, after, is_changed=True)]}
            for item in config["operands"]
        ]
    return changed
