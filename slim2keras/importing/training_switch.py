"""Which parts of a graph belong to training: placeholders that switch it, and the branches behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slim2keras.errors import UnsupportedGraphError
from slim2keras.importing.dropouts import find_dropout
from slim2keras.importing.node import Node, split_tensor, tensor_name
from slim2keras.importing.nodes import PLACEHOLDERS, VARIABLES, Nodes, walk

_CHOICES = {"Switch": 1, "RefSwitch": 1, "Select": 0, "SelectV2": 0}
"""Ops by which a graph chooses, with the input that decides."""

_DECIDED_BY = frozenset(
    {"Identity", "Cast", "LogicalNot", "LogicalAnd", "LogicalOr", "Equal", "NotEqual", "Greater", "GreaterEqual"}
    | {"Less", "LessEqual", "Switch", "Squeeze", "Reshape", "Const"}
)
# Each is tried both ways on all of the graph.
_FEW_DECIDERS, _MOST_TRIED = 16, 5_000_000
_RANDOM = ("RandomUniform", "RandomStandardNormal", "StatelessRandomUniform", "StatelessRandomUniformV2")


@dataclass(frozen=True)
class TrainingSwitch:
    """Placeholders that tell training from inference.

    Attributes:
        inference: Their values at inference, by name.
        training: Their values in training.
    """

    inference: Mapping[str, bool]
    training: Mapping[str, bool]


def find_training_switch(
    nodes: Nodes, outputs: Iterable[str], inputs: Iterable[str], given: Iterable[str] = ()
) -> TrainingSwitch:
    """Find the placeholders that a graph asks whether it trains, and the constants that it was built with instead.

    Which of the two values is training shows in what is then used: moments of the batch, random numbers.

    Args:
        given: Placeholders whose values the user gave.

    Raises:
        UnsupportedGraphError: If a placeholder chooses between things of which neither is training.
    """
    outputs, inputs = list(outputs), list(inputs)
    deciders = _deciding_placeholders(nodes, nodes.ordered(outputs, inputs))
    if len(deciders) > max(_FEW_DECIDERS, _MOST_TRIED // len(nodes.by_name)):
        raise UnsupportedGraphError(
            f"The graph has {len(deciders)} placeholders and constants that choose ways through it, first "
            f"{deciders[0]}; of a training switch there are few. Name inputs and outputs between which there is none: "
            "input_tensors=[...], output_tensors=[...] (command line: --input-tensor NAME, --output-tensor NAME)."
        )
    inference: dict[str, bool] = {}
    for name in (item for item in deciders if item not in set(map(tensor_name, given))):
        if nodes.by_name[name].dtype("dtype") != "bool":
            raise UnsupportedGraphError(
                f"A number decides which way the graph takes, the placeholder {name}: give its value, "
                f"placeholder_values={{{name!r}: 1.0}} (command line: --placeholder {name}=1.0)."
            )
        tried = {value: _tried(nodes, outputs, inputs, {name: value}) for value in (False, True)}
        sides = {value: side.ordered(outputs, inputs) for value, side in tried.items()}
        marks = {value: _marks(tried[value], side) for value, side in sides.items()}
        is_constant = nodes.by_name[name].op not in PLACEHOLDERS
        if marks[False] == marks[True] and is_constant:
            continue
        if marks[False] == marks[True] and {node.name for node in sides[False]} != {node.name for node in sides[True]}:
            raise UnsupportedGraphError(
                f"The placeholder {name} chooses between two ways through the graph, and neither looks like training: "
                f"give its value, placeholder_values={{{name!r}: False}} (command line: --placeholder {name}=false)."
            )
        inference[name] = marks[True] < marks[False]
    return TrainingSwitch(inference, {name: not value for name, value in inference.items()})


def _deciding_placeholders(nodes: Nodes, used: Iterable[Node]) -> list[str]:
    """Names of the placeholders that a choice depends on and whose values are not known."""
    found: dict[str, None] = {}
    for node in used:
        if node.op not in _CHOICES or len(node.inputs) <= _CHOICES[node.op]:
            continue
        decider = node.inputs[_CHOICES[node.op]]
        for tensor, _ in walk(nodes, decider, lambda item: item.op in _DECIDED_BY):
            behind = nodes.by_name.get(split_tensor(tensor)[0])
            if behind is not None and behind.op in PLACEHOLDERS | VARIABLES | {"Const"} and _is_one_value(behind):
                found.setdefault(behind.name)
    return list(found)


def _is_one_value(node: Node) -> bool:
    return node.dtype("dtype") == "bool" or (node.op in PLACEHOLDERS and node.shape() == ())


def _tried(nodes: Nodes, outputs: list[str], inputs: list[str], values: Mapping[str, Any]) -> Nodes:
    tried = nodes.copy()
    set_placeholders(tried, values)
    take_branches(tried, outputs, inputs)
    return tried


def _marks(tried: Nodes, used: Iterable[Node]) -> tuple[int, float]:
    """How much of what is used belongs to training alone, and how much of the values is dropped."""
    used = list(used)
    found = (find_dropout(tried, tried, node.name) for node in used if node.op in ("Mul", "Select", "SelectV2"))
    rates = sum((dropped[1].rate or 0.0) for dropped in found if dropped is not None)
    return sum(_belongs_to_training(tried, node) for node in used), rates


def _belongs_to_training(nodes: Nodes, node: Node) -> bool:
    """Whether a node draws at random, or takes statistics of the batch."""
    if node.op.startswith("FusedBatchNorm"):
        return node.flag("is_training", default=True)
    axes = nodes.constant(node.inputs[1]) if node.op in ("Mean", "Sum") and len(node.inputs) > 1 else None
    return node.op in _RANDOM or (axes is not None and axes.size > 1 and 0 in axes)


def set_placeholders(nodes: Nodes, values: Mapping[str, Any]) -> None:
    """Give placeholders their values.

    Raises:
        UnsupportedGraphError: If one is not there.
    """
    for tensor, value in values.items():
        name = split_tensor(tensor)[0]
        if name not in nodes.by_name:
            raise UnsupportedGraphError(f"The graph has no tensor {tensor!r}, of which a value was given.")
        dtype = nodes.by_name[name].dtype("dtype", "T")
        nodes.replace(Node(name, "Const", facts=np.asarray(value, dtype)))


def take_branches(nodes: Nodes, outputs: Iterable[str], inputs: Iterable[str] = ()) -> None:
    """Where it is decided which way a graph takes, leave the other out."""
    used = nodes.ordered(outputs, inputs)
    dead = _DeadBranches(nodes)
    for node in used:
        if node.op in ("Switch", "RefSwitch") and nodes.constant(node.inputs[1]) is not None:
            for index in ("", ":1"):
                nodes.stand_for(f"{node.name}{index}", node.inputs[0])
        elif node.op in ("Merge", "RefMerge"):
            living = [item for item in node.inputs if not dead.is_dead(item)]
            if len(living) == 1:
                nodes.stand_for(node.name, living[0])
        elif node.op in ("Select", "SelectV2"):
            decision = nodes.scalar(node.inputs[0])
            if decision is not None:
                nodes.stand_for(node.name, node.inputs[1] if decision else node.inputs[2])


class _DeadBranches:
    """Which tensors have no value, because a switch went the other way; asked of the graph as it was written."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes.copy()
        self._known: dict[str, bool] = {}

    def is_dead(self, tensor: str) -> bool:
        """Whether a tensor has no value."""
        pending, opened = [tensor], set()
        while pending:
            item = pending[-1]
            if item in self._known:
                pending.pop()
                continue
            behind = self._behind(item)
            open_items = [other for other in behind if other not in self._known]
            # Met again with something open behind it, it lies on a circle.
            if open_items and item not in opened:
                opened.add(item)
                pending += open_items
            else:
                self._known[item] = self._judged(item, behind)
                pending.pop()
        return self._known[tensor]

    def _behind(self, tensor: str) -> list[str]:
        node = self._nodes.by_name.get(split_tensor(tensor)[0])
        return [] if node is None else [*node.inputs, *node.controls]

    def _judged(self, tensor: str, behind: list[str]) -> bool:
        node = self._nodes.by_name.get(split_tensor(tensor)[0])
        if node is None:
            return False
        dead = [self._known.get(item, False) for item in behind]
        if node.op in ("Merge", "RefMerge"):
            return bool(dead) and all(dead[: len(node.inputs)])
        if node.op in ("Switch", "RefSwitch"):
            decision = self._nodes.scalar(node.inputs[1])
            if decision is not None and int(decision) != split_tensor(tensor)[1]:
                return True
        return any(dead)


def refuse_other_control_flow(used: Iterable[Node]) -> None:
    """Refuse choices and loops that are left when training is settled.

    Raises:
        UnsupportedGraphError: With all of them.
    """
    kinds = {"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", "If", "StatelessIf", "While"}
    kinds |= {"StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"}
    found = [node for node in used if node.op in kinds]
    if found:
        listed = "".join(f"  {node.name} ({node.op})\n" for node in found[:10])
        raise UnsupportedGraphError(
            f"The graph has control flow other than the switch between training and inference:\n{listed}"
            "Loops and recurrent networks are not imported. Name outputs before them, output_tensors=[...] (command "
            "line: --output-tensor NAME), such as the raw heads of a detector; or, where they prepare the images, the "
            "tensor behind them that has the whole batch, input_tensors=[...] (command line: --input-tensor NAME)."
        )
