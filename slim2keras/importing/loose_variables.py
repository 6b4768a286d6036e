"""What a graph does with its variables besides the layers that own them: regularizes them, or hands them to several."""

from __future__ import annotations

import math
from collections.abc import Iterable

from slim2keras.importing.batch_norms import Norm, rounded
from slim2keras.importing.nodes import Node, Nodes, walk
from slim2keras.importing.spellings import is_weight, window_of

_SCALED = frozenset({"Mul"})
_LAYERS = frozenset(
    {"Conv2D", "Conv3D", "DepthwiseConv2dNative", "SeparableConv2D", "Conv2DBackpropInput", "Conv3DBackpropInputV2"}
    | {"MatMul", "BatchNorm", "PRelu"}
)


def regularized(nodes: Nodes, losses: Iterable[str]) -> dict[str, float]:
    """Scale of ``slim.l2_regularizer``, by the name of the variable that it is of; the loss is half of it."""
    found: dict[str, float] = {}
    for loss in losses:
        behind = [tensor for tensor, _ in walk(nodes, loss, lambda node: node.op in _SCALED)]
        halves = [node for node in map(nodes.node, behind) if node is not None and node.op == "L2Loss"]
        if len(halves) == 1 and nodes.variable(halves[0].inputs[0]) is not None:
            name = nodes.source(halves[0].inputs[0])
            numbers = [value for value in map(nodes.scalar, behind) if value is not None]
            found[name] = found.get(name, 0.0) + math.prod(numbers)
    return {name: rounded(scale) for name, scale in found.items()}


def used_by_unlike_layers(nodes: Nodes, used: Iterable[Node]) -> frozenset[str]:
    """Names of variables that layers use which cannot be calls of one Keras layer."""
    uses: dict[str, set[object]] = {}
    for node in used:
        weights = _weights_of(nodes, node)
        key = _use(node, tuple(weights))
        for weight in weights:
            uses.setdefault(weight, set()).add(key)
    return frozenset(name for name, kinds in uses.items() if len(kinds) > 1)


def _weights_of(nodes: Nodes, node: Node) -> list[str]:
    return [nodes.source(item) for item in node.inputs if is_weight(nodes, item)]


def _use(node: Node, weights: tuple[str, ...]) -> object:
    """What two uses must have in common so that one Keras layer does both."""
    if node.op not in _LAYERS:
        return node.name
    window = window_of(node) if node.op not in ("MatMul", "BatchNorm", "PRelu") else None
    facts = (node.facts.epsilon, node.facts.fused) if isinstance(node.facts, Norm) else None
    return node.op, weights, window, facts, node.flag("transpose_a"), node.flag("transpose_b")
