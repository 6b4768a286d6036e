"""Dropout as TensorFlow 1 spelled it: a product with a mask of random zeros and ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from slim2keras.importing.node import Node, split_tensor
from slim2keras.importing.nodes import PLACEHOLDERS, Nodes, walk

_RANDOM = frozenset({"RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"})
_OF_MASK = _RANDOM | frozenset(
    {"Add", "AddV2", "Sub", "Mul", "Floor", "Cast", "GreaterEqual", "Less", "Greater", "LessEqual", "Const"}
    | {"RealDiv", "Div", "Reshape"}
)
_PRODUCTS = ("Mul", "RealDiv", "Div")
_OF_NUMBERS = ("RealDiv", "Reciprocal", "Sub")
_MOST_QUOTIENTS = 8
_DIGITS = 7


@dataclass(frozen=True)
class Dropped:
    """A dropout.

    Attributes:
        rate: Share of values that are dropped.
        noise: Shape tensor of the random numbers.
        keep_tensor: Placeholder that the rate depends on; its value is not known.
    """

    rate: float | None
    noise: str
    keep_tensor: str = ""


def find_dropout(nodes: Nodes, known: Nodes, tensor: str) -> tuple[str, Dropped] | None:
    """What a dropout drops values of, and how; ``None`` if the tensor is no result of one.

    Spelled ``x / keep * floor(keep + random)``, ``x * (1 / keep) * cast(random >= rate)``, or as a choice between
    ``x / keep`` and zero.

    Args:
        known: The graph with the values that its placeholders and counters have in training.
    """
    node = nodes.node(tensor)
    if node is None:
        return None
    if node.op in ("Select", "SelectV2") and len(node.inputs) == 3:
        return _dropped(nodes, known, node.inputs[1], node.inputs[0])
    if node.op != "Mul":
        return None
    return _dropped(nodes, known, *node.inputs) or _dropped(nodes, known, *reversed(node.inputs))


def _dropped(nodes: Nodes, known: Nodes, kept: str, mask: str) -> tuple[str, Dropped] | None:
    random = _random_of(known, mask)
    if random is None:
        return None
    keep, placeholder = _keep_probability(known, mask)
    scaled = _without_scale(nodes, known, kept)
    if keep is not None and math.isclose(keep, 1.0):
        return (kept if scaled is None else scaled[0]), Dropped(0.0, random.inputs[0])
    # What is dropped but not scaled is no dropout of Keras.
    if scaled is None or not _belong_together(keep, scaled[1]):
        return None
    rate = None if keep is None else round(1.0 - keep, _DIGITS)
    return scaled[0], Dropped(rate, random.inputs[0], placeholder)


def _belong_together(keep: float | None, scale: float | None) -> bool:
    """Whether values are scaled by one over the share that is kept, as far as both are known."""
    return keep is None or scale is None or math.isclose(keep * scale, 1.0, rel_tol=1e-4)


def _without_scale(nodes: Nodes, known: Nodes, kept: str) -> tuple[str, float | None] | None:
    """The activation in a product with, or a quotient by, a number, and that number as a factor."""
    node = nodes.node(kept)
    if node is None or node.op not in _PRODUCTS:
        return None
    x, number = node.inputs
    if node.op == "Mul" and not _is_number(known, number):
        x, number = number, x
    if not _is_number(known, number):
        return None
    value = known.scalar(number)
    factor = value if node.op == "Mul" or not value else 1.0 / value
    return nodes.source(x), factor


def _is_number(known: Nodes, tensor: str) -> bool:
    for item, depth in walk(known, tensor, lambda node: node.op in _OF_NUMBERS and known.scalar(node.name) is None):
        node = known.by_name.get(split_tensor(item)[0])
        is_leaf = node is not None and node.op in PLACEHOLDERS and node.shape() in ((), None)
        is_number = is_leaf or known.scalar(item) is not None or (node is not None and node.op in _OF_NUMBERS)
        if not is_number or depth > _MOST_QUOTIENTS:
            return False
    return True


def _random_of(known: Nodes, mask: str) -> Node | None:
    """The random numbers that a mask is made of, ``None`` if it is made of anything else but numbers too."""
    found = None
    for tensor, _ in walk(known, mask, lambda node: _is_of_mask(known, node)):
        node = known.by_name.get(split_tensor(tensor)[0])
        if node is not None and node.op in _RANDOM:
            found = node
        elif node is None or not (_is_of_mask(known, node) or _is_number(known, tensor)):
            return None
    return found


def _is_of_mask(known: Nodes, node: Node) -> bool:
    """Whether to look behind a node: it computes with random numbers, and is no number itself."""
    return node.op in _OF_MASK and node.op not in _RANDOM and known.scalar(node.name) is None


def _keep_probability(known: Nodes, mask: str) -> tuple[float | None, str]:
    """Share of values kept, or the placeholder that it depends on."""
    for tensor, _ in walk(known, mask, lambda node: node.op in ("Cast", "Floor")):
        node = known.by_name[split_tensor(tensor)[0]]
        if node.op in ("Add", "AddV2", "GreaterEqual", "Less"):
            return _threshold(known, node)
    return None, ""


def _threshold(known: Nodes, node: Node) -> tuple[float | None, str]:
    one, other = node.inputs
    numbers = [item for item in (one, other) if _random_of(known, item) is None]
    if len(numbers) != 1:
        return None, ""
    value = known.scalar(numbers[0])
    if value is None:
        return None, _placeholder_behind(known, numbers[0])
    drops_below = (node.op == "GreaterEqual" and numbers[0] == other) or (node.op == "Less" and numbers[0] == one)
    return (1.0 - value if drops_below else value), ""


def _placeholder_behind(nodes: Nodes, tensor: str) -> str:
    behind = (split_tensor(item)[0] for item, _ in walk(nodes, tensor, lambda node: node.op in ("Sub", "RealDiv")))
    return next((name for name in behind if name in nodes.by_name and nodes.by_name[name].op in PLACEHOLDERS), "")


def mark_dropouts(nodes: Nodes, used: Iterable[Node], training: Nodes) -> dict[str, str]:
    """Put an op ``Dropout`` into the place of what spells one.

    Also where the graph switches between a dropout and what it drops values of; called before branches are taken.

    Args:
        training: The graph as it trains: a rate may depend on that.

    Returns:
        Tensor that a dropout gives to the one that it takes.
    """
    found: dict[str, str] = {}
    for node in used:
        dropped = _switched_dropout(nodes, training, node) or find_dropout(nodes, training, node.name)
        if dropped is None:
            continue
        dropped_from, facts = dropped
        found[node.name] = dropped_from
        nodes.replace(replace(node, op="Dropout", inputs=(dropped_from, facts.noise), controls=(), facts=facts))
    return found


def undropped(training: Nodes, outputs: Iterable[str], inputs: Iterable[str], dropouts: Mapping[str, str]) -> list[str]:
    """Names of the ops that draw at random in training and that belong to no dropout."""
    settled = training.copy()
    for result, dropped_from in dropouts.items():
        settled.stand_for(result, dropped_from)
    return [node.name for node in settled.ordered(outputs, inputs) if node.op.startswith(("Random", "StatelessRandom"))]


def _switched_dropout(nodes: Nodes, known: Nodes, node: Node) -> tuple[str, Dropped] | None:
    """The dropout of which a graph takes either the result or what goes in."""
    branches = {"Merge": node.inputs, "Select": node.inputs[1:], "SelectV2": node.inputs[1:]}.get(node.op, ())
    if len(branches) != 2:
        return None
    for one, other in (branches, reversed(branches)):
        dropped = _marked(nodes, one) or find_dropout(nodes, known, one)
        if dropped is not None and _past_switch(nodes, dropped[0]) == _past_switch(nodes, other):
            return _past_switch(nodes, other), dropped[1]
    return None


def _marked(nodes: Nodes, tensor: str) -> tuple[str, Dropped] | None:
    node = nodes.node(tensor)
    return (node.inputs[0], node.facts) if node is not None and node.op == "Dropout" else None


def _past_switch(nodes: Nodes, tensor: str) -> str:
    source = nodes.source(tensor)
    while (node := nodes.by_name.get(split_tensor(source)[0])) is not None and node.op == "Switch":
        source = nodes.source(node.inputs[0])
    return source
