"""Variables that layers cannot own, because several use them in different ways."""

from __future__ import annotations

from collections.abc import Iterable

from slim2keras.importing.batch_norms import Norm
from slim2keras.importing.node import Node
from slim2keras.importing.nodes import Nodes, is_weight
from slim2keras.importing.spellings import window_of

_LAYERS = frozenset(
    {"Conv2D", "Conv3D", "DepthwiseConv2dNative", "SeparableConv2D", "Conv2DBackpropInput", "Conv3DBackpropInputV2"}
    | {"MatMul", "BatchNorm", "PRelu"}
)


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
