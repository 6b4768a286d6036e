"""Which layers of a network the ranges of quantization-aware training are of, and what the other layers have.

By the last part of its name a range is of

- ``weights_quant``: the folded weights of a convolution or a dense layer;
- ``act_quant``: what leaves the activation after it, or the layer itself where none follows; where something is added
  in between, it has the scope around the layer;
- ``conv_quant``: what leaves a layer before something is added to it;
- ``add_quant``, ``post_activation_bypass_quant``: such a sum, where no activation follows, by the scope around it, or
  its own name;
- ``activation_Add_quant`` and the like: another sum or product, by its own name.

The addition in ``relu6(x + 3)`` counts as a sum: ``x`` has a ``conv_quant``, and what leaves the activation is an
``act_quant`` by the scope around the layer, where another one is ``act_quant_1``.

Images, concatenations and pools have none.

Source: tensorflow/contrib/quantize/python/quantize.py of TensorFlow 1.15, ``Quantize``, ``_FindLayersToQuantize``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from slim2keras.deployment.trained_ranges import Range, listed
from slim2keras.errors import CheckpointMismatchError
from slim2keras.files.reports import plural
from slim2keras.graphs.graph import Layer, LayerGraph

QUANTIZED_KINDS = ("Conv2D", "DepthwiseConv2D", "Dense")
"""Layers whose weights are rounded."""
_ACTIVATIONS = ("relu", "relu6", "linear")
_LAST_OPS = ("add_fold", "BiasAdd", "Conv2D", "MatMul", "depthwise")
_SUMS = ("Add", "Multiply")
_NUMBERED = re.compile(r"(.*?)(?:_(\d+))?")


@dataclass(frozen=True)
class PlacedRanges:
    """The ranges of a checkpoint, by layer of a network.

    Attributes:
        weights: Of weights, by the layer that has them.
        outputs: Of activations, by the layer that they leave.
    """

    weights: Mapping[str, Range]
    outputs: Mapping[str, Range]

    def __len__(self) -> int:
        return len(self.weights) + len(self.outputs)


def place_ranges(graph: LayerGraph, ranges: Mapping[str, Range]) -> PlacedRanges:
    """Find the layer of every range.

    Args:
        graph: Of a network whose BatchNorm is folded.
        ranges: Of ``read_ranges``.

    Raises:
        CheckpointMismatchError: If there is no such layer, or two are of one; with every range that has none.
    """
    placing = _Placing(graph, ranges)
    weights: dict[str, Range] = {}
    outputs: dict[str, Range] = {}
    homeless = []
    for quantizer, found in ranges.items():
        scope, kind, number = _parts(quantizer)
        layer, placed = placing.layer_of(scope, kind, number), weights if kind == "weights_quant" else outputs
        if layer is None or layer.name in placed:
            homeless.append(quantizer)
        else:
            placed[layer.name] = found
    if homeless:
        raise CheckpointMismatchError(
            f"{len(homeless)} of {plural(len(ranges), 'range')} of quantization-aware training belong to no layer of "
            f"the network:\n{listed(homeless)}\nSay which network it is (--net), or with which graph it came (--graph)."
        )
    return PlacedRanges(weights, outputs)


class _Placing:
    """Where in a graph ranges are."""

    def __init__(self, graph: LayerGraph, ranges: Mapping[str, Range]) -> None:
        used = graph.layers_to(graph.outputs)
        self._layers = [layer for layer in graph.layers.values() if layer.name in used]
        self._users = users_of(graph)
        self._bypassed = [scope for scope, kind, _ in map(_parts, ranges) if kind == "conv_quant"]

    def layer_of(self, scope: str, kind: str, number: int) -> Layer | None:
        """The layer whose weights or output a range is of, the first of its name having the number 0."""
        if kind in ("weights_quant", "conv_quant"):
            return self._weighted(scope)
        if kind == "act_quant":
            if gates := self._gates_in(scope):
                return gates[number] if number < len(gates) else None
            layer = self._weighted(scope) or self._sum_around(scope)
            return None if layer is None else self._activated(layer)
        if kind in ("add_quant", "post_activation_bypass_quant"):
            return self._sum_around(scope)
        return self._named((*_SUMS, "Rescaling"), partial(is_same_scope, scope))

    def _gates_in(self, scope: str) -> list[Layer]:
        """In order, the activations of ``relu6(x + 3)`` of layers right in a scope."""
        inside = [
            layer
            for layer in self._layers
            if layer.kind in QUANTIZED_KINDS and is_same_scope(scope, layer.name.rpartition("/")[0])
        ]
        shifted = [user for layer in inside for user in self._users.get(layer.name, ()) if user.kind == "Rescaling"]
        gates = [self._only_user(layer) for layer in shifted if layer.config["offset"]]
        return [layer for layer in gates if layer is not None and layer.kind == "ReLU"]

    def _named(self, kinds: Collection[str], names: Callable[[str], bool]) -> Layer | None:
        """The one layer of a name, ``None`` if there are several."""
        found = [layer for layer in self._layers if layer.kind in kinds and names(layer.name)]
        return found[0] if len(found) == 1 else None

    def _weighted(self, scope: str) -> Layer | None:
        """The layer of a scope; one of a frozen graph has the name of its last op, inside of it."""
        return self._named(QUANTIZED_KINDS, partial(is_same_scope, scope)) or self._named(
            QUANTIZED_KINDS, lambda name: _is_last_op(name) and is_same_scope(scope, name.rpartition("/")[0])
        )

    def _sum_around(self, scope: str) -> Layer | None:
        """The sum in a scope: what takes the output of a layer in it that has a range before the sum."""
        for inner in self._bypassed:
            layer = self._weighted(inner) if inner.rpartition("/")[0] == scope else None
            user = None if layer is None else self._only_user(layer)
            if user is not None and user.kind in _SUMS:
                return user
        inside = self._named(_SUMS, lambda name: is_same_scope(scope, name.rpartition("/")[0]))
        return inside or self._named(_SUMS, partial(is_same_scope, scope))

    def _activated(self, layer: Layer) -> Layer:
        """The activation after a layer, or itself."""
        user = self._only_user(layer)
        return user if user is not None and is_activation(user) else layer

    def _only_user(self, layer: Layer) -> Layer | None:
        users = self._users.get(layer.name, ())
        return users[0] if len(users) == 1 else None


def is_same_scope(scope: str, name: str) -> bool:
    """Whether the scope of an op is that of a layer, of whose parts it may repeat some."""
    left, parts = name.split("/"), scope.split("/")
    if parts[-1] != left[-1]:
        return False
    for part in reversed(parts):
        if left and part == left[-1]:
            left.pop()
        elif part not in name.split("/"):
            return False
    return not left


def is_activation(layer: Layer) -> bool:
    """Whether it is one that int8 computes together with the layer before it."""
    return layer.kind == "ReLU" or (layer.kind == "Activation" and layer.config.get("activation") in _ACTIVATIONS)


def users_of(graph: LayerGraph) -> dict[str, list[Layer]]:
    """The layers that take an output, by the name of the layer that gives it; as far as they lead to the outputs."""
    used = graph.layers_to(graph.outputs)
    users: dict[str, list[Layer]] = {}
    for layer in graph.layers.values():
        for tensor in layer.inputs if layer.name in used else ():
            users.setdefault(tensor.layer_name, []).append(layer)
    return users


def _is_last_op(name: str) -> bool:
    return name.rpartition("/")[2].removesuffix("_Fold") in _LAST_OPS


def _parts(quantizer: str) -> tuple[str, str, int]:
    """``MobilenetV2/Conv/act_quant_1`` is the second ``act_quant`` of ``MobilenetV2/Conv``."""
    scope, _, name = quantizer.rpartition("/")
    kind, number = _NUMBERED.fullmatch(name).groups()  # type: ignore[union-attr]
    return scope, kind, int(number or 0)
