"""Which BatchNorm layers can be folded into the layer before them, and the graph without these.

With moving statistics BatchNorm is ``scale * x + shift``, a number of each a channel, which a convolution or a dense
layer right before it can do with its own weights and biases.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slim2keras.graphs.graph import Layer, LayerGraph, Tensor, Variable
from slim2keras.graphs.initializers import ZEROS
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.scopes import slim_variable_name

_BATCH_NORM = "BatchNormalization"
_LAST = (-1,)
_KERNELS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Dense"), ("kernel", _LAST)),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), ("kernel", (-2,))),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), ("depthwise_kernel", (-2, -1))),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), ("pointwise_kernel", _LAST)),
}
"""By class of layer, the weights that make its output channels, and their axes that are these, in order."""
_CHANGES_NO_VALUE = ("Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
"""At inference."""
_CHANGES_SHAPE_ONLY = ("Flatten", "Reshape")


@dataclass(frozen=True)
class Fold:
    """A BatchNorm layer that goes into one before it.

    Attributes:
        layer: That gets it.
        batch_norm: That goes.
        kernel: Keras' leaf name of the layer's weights that are scaled.
        axes: Of these weights, those that are the output channels.
    """

    layer: str
    batch_norm: str
    kernel: str
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Folding:
    """What folding makes of a graph.

    Attributes:
        graph: Without the BatchNorm layers that were folded, and without penalties, which would be of other weights.
        folds: One for each layer that leads to an output and gets a BatchNorm.
        kept: BatchNorm layers that lead to an output and stay, and why.
        lost_end_points: Between a layer and its BatchNorm: values that nothing computes any more.
    """

    graph: LayerGraph
    folds: Sequence[Fold]
    kept: Mapping[str, str]
    lost_end_points: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As plain values, without the graph."""
        taken = {fold.layer: fold.batch_norm for fold in self.folds}
        return {"folded": taken, "kept": dict(self.kept), "lost_end_points": [*self.lost_end_points]}


def fold_graph(graph: LayerGraph) -> Folding:
    """Fold every BatchNorm layer that can be into the convolution or dense layer before it.

    That is one whose output nothing else uses, directly before it or with layers between that change no value at
    inference. A layer that is called several times gets it if the same BatchNorm follows every call.
    """
    pairs, kept = _Pairing(graph).found()
    used = graph.calls()
    layers = {graph.owner_of(pair.layer).name: graph.owner_of(pair.batch_norm).name for pair in pairs}
    folds = [Fold(name, batch_norm, *_KERNELS[graph.layers[name].kind]) for name, batch_norm in layers.items()]
    between = {name for pair in pairs for name in pair.between}
    folded = _without(graph, {pair.batch_norm.name: pair.batch_norm.inputs[0].layer_name for pair in pairs}, layers)
    lost = [name for name, tensor in graph.end_points.items() if tensor.layer_name in between]
    for name in lost:
        del folded.end_points[name]
    kept = {name: reason for name, reason in kept.items() if name in used}
    return Folding(folded, [fold for fold in folds if fold.layer in used], kept, lost)


def folded_network(network: Network, folding: Folding) -> GraphNetwork:
    """The network that folding makes of one, with the same facts."""
    return GraphNetwork(
        network.name,
        folding.graph,
        preprocessing=network.preprocessing,
        labels_offset=network.labels_offset,
        num_classes=network.num_classes,
        usual_sizes=network.usual_shape,
        origin=network.origin if isinstance(network, GraphNetwork) else None,
        is_folded=True,
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """A call of BatchNorm, the call of a layer that it follows, and the names of that and of what lies between."""

    batch_norm: Layer
    layer: Layer
    between: Sequence[str]


class _Pairing:
    """Which calls of BatchNorm go into which calls of layers, and why others do not."""

    def __init__(self, graph: LayerGraph) -> None:
        self._graph = graph
        self._kept: dict[str, str] = {}
        self._users: dict[str, list[str]] = {}
        self._calls: dict[str, list[str]] = {}
        for layer in graph.layers.values():
            self._calls.setdefault(self._owner(layer), []).append(layer.name)
            for tensor in () if _ignores_values(layer) else layer.inputs:
                self._users.setdefault(tensor.layer_name, []).append(layer.name)
        for tensor in graph.outputs:
            self._users.setdefault(tensor.layer_name, []).append("the outputs")

    def found(self) -> tuple[list[_Pair], dict[str, str]]:
        """Pairs, and the reason of every BatchNorm layer that stays, by name."""
        pairs: dict[str, _Pair] = {}
        for layer in self._graph.layers.values():
            if layer.kind == _BATCH_NORM:
                pair = self._pair(layer)
                if reason := self._why_not(pair):
                    self._kept[self._owner(layer)] = reason
                else:
                    pairs[layer.name] = pair
        self._leave_split(pairs)
        return list(pairs.values()), self._kept

    def _owner(self, layer: Layer) -> str:
        return self._graph.owner_of(layer).name

    def _pair(self, batch_norm: Layer) -> _Pair:
        """A call of BatchNorm with the first layer before it that changes a value."""
        tensor, between = batch_norm.inputs[0], [batch_norm.inputs[0].layer_name]
        while _keeps_channels(layer := self._graph.layers[tensor.layer_name], tensor):
            tensor = layer.inputs[0]
            between.append(tensor.layer_name)
        return _Pair(batch_norm, layer, between)

    def _why_not(self, pair: _Pair) -> str:
        """Why a pair cannot be one layer; empty if it can."""
        layer, batch_norm = (self._graph.owner_of(item) for item in (pair.layer, pair.batch_norm))
        if layer.kind not in _KERNELS:
            return f"it follows {pair.layer.name}, a layer of class {layer.kind}"
        if layer.config.get("activation") not in (None, "linear"):
            return f"{layer.name} activates before it"
        if layer.config.get("data_format") == "channels_first" or not _is_of_last_axis(pair.batch_norm, batch_norm):
            return f"it normalises another axis than that of the channels of {layer.name}"
        for name in pair.between:
            if len(self._users[name]) > 1:
                others = [user for user in self._users[name] if user not in (*pair.between, pair.batch_norm.name)]
                return f"what {name} gives goes to {', '.join(others)} too"
        return ""

    def _leave_split(self, pairs: dict[str, _Pair]) -> None:
        """Take out the calls of layers, and of BatchNorm, of which other calls do not go together."""
        while split := self._split(pairs):
            for pair in split:
                del pairs[pair.batch_norm.name]
                layer, batch_norm = self._owner(pair.layer), self._owner(pair.batch_norm)
                self._kept.setdefault(batch_norm, f"not every call of {layer} and of it goes to the other")

    def _split(self, pairs: Mapping[str, _Pair]) -> list[_Pair]:
        """Pairs where a call of the layer does not go to that BatchNorm, or a call of that is not folded."""
        follows = {pair.layer.name: self._owner(pair.batch_norm) for pair in pairs.values()}

        def is_whole(pair: _Pair) -> bool:
            batch_norm, layer = self._owner(pair.batch_norm), self._owner(pair.layer)
            is_always_folded = all(call in pairs for call in self._calls[batch_norm])
            return is_always_folded and all(follows.get(call) == batch_norm for call in self._calls[layer])

        return [pair for pair in pairs.values() if not is_whole(pair)]


def _ignores_values(layer: Layer) -> bool:
    """Whether what a layer gives is the same whatever the values are that it is called on."""
    return layer.kind == "LooseVariable" or (layer.kind == "TensorFlowOp" and layer.config["op"] == "Shape")


def _keeps_channels(layer: Layer, output: Tensor) -> bool:
    """Whether every value that goes into a layer comes out, in its channel, at inference."""
    computation = layer.config["op"] if layer.kind == "TensorFlowOp" else layer.kind
    if computation in _CHANGES_SHAPE_ONLY:
        return output.shape[-1:] == layer.inputs[0].shape[-1:] != (None,)
    is_linear = computation == "Activation" and layer.config.get("activation") in (None, "linear")
    return is_linear or computation in _CHANGES_NO_VALUE


def _is_of_last_axis(call: Layer, owner: Layer) -> bool:
    axis = owner.config.get("axis", -1)
    return (axis if isinstance(axis, int) else [*axis]) in (-1, [-1], (rank := len(call.inputs[0].shape)), [rank])


def _without(graph: LayerGraph, gone: Mapping[str, str], with_biases: Mapping[str, str]) -> LayerGraph:
    """A graph without some layers, each given with the one that takes its place, and with biases in others."""
    made = LayerGraph()
    taken = {variable.name for layer in graph.layers.values() for variable in layer.variables}

    def moved(tensor: Tensor) -> Tensor:
        return Tensor(made, gone.get(tensor.layer_name, tensor.layer_name), tensor.shape)

    for layer in graph.layers.values():
        if layer.name not in gone:
            found = replace(layer, inputs=tuple(map(moved, layer.inputs)), config=_without_penalties(layer.config))
            made.layers[layer.name] = _biased(found, taken) if layer.name in with_biases else found
    made.outputs += map(moved, graph.outputs)
    made.end_points |= {name: moved(tensor) for name, tensor in graph.end_points.items()}
    return made


def _without_penalties(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.endswith("regularizer")}


def _biased(layer: Layer, taken: set[str]) -> Layer:
    """A layer that has biases, and starts from nothing in particular."""
    config = {"bias_initializer": ZEROS, **layer.config, "use_bias": True}
    if layer.config.get("use_bias", True):
        return replace(layer, config=config, initial_values={})
    name = next(name for name in _bias_names(layer) if name not in taken)
    names = layer.variable_names
    if name != layer.variable_name("bias"):
        names = {**names, "bias": name}
    variables = (*layer.variables, Variable(name, (_filters(layer),)))
    return replace(layer, config=config, variables=variables, variable_names=names, initial_values={})


def _bias_names(layer: Layer) -> Iterator[str]:
    """Names for the biases: that of slim, or others where the graph has a variable of that name elsewhere."""
    yield slim_variable_name(layer.name, "bias")
    yield from (f"{layer.name}/folded_biases_{number}" for number in itertools.count(1))


def _filters(layer: Layer) -> int:
    """Output channels of a layer of ``_KERNELS``."""
    filters: int | None = layer.config.get("filters", layer.config.get("units"))
    return filters or layer.inputs[0].channels * int(layer.config.get("depth_multiplier", 1))
