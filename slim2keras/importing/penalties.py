"""What a graph adds to its loss for the size of weights, as regularizers of Keras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from slim2keras.importing.batch_norms import rounded
from slim2keras.importing.node import Node
from slim2keras.importing.nodes import Nodes

_DEEPEST = 8
"""Sums and products that a loss is nested in."""
_SUMS = ("Add", "AddV2", "AddN")


@dataclass(frozen=True)
class Penalty:
    """Of one variable.

    Attributes:
        l1: By which the sum of magnitudes is multiplied.
        l2: By which the sum of squares is, without slim's half.
    """

    l1: float = 0.0
    l2: float = 0.0

    def scaled(self, factor: float) -> Penalty:
        return Penalty(self.l1 * factor, self.l2 * factor)

    def plus(self, other: Penalty) -> Penalty:
        return Penalty(self.l1 + other.l1, self.l2 + other.l2)

    def to_config(self) -> Mapping[str, object] | None:
        """As Keras serialises its regularizer, ``None`` if it is none."""
        l1, l2 = rounded(self.l1), rounded(self.l2)
        if l1 and l2:
            return {"class_name": "L1L2", "config": {"l1": l1, "l2": l2}}
        if l1:
            return {"class_name": "L1", "config": {"l1": l1}}
        return {"class_name": "L2", "config": {"l2": l2}} if l2 else None


@dataclass(frozen=True)
class Penalties:
    """Of all variables.

    Attributes:
        by_variable: By name.
        remarks: On losses that are none of a variable's size.
    """

    by_variable: Mapping[str, Penalty] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def penalties_of(nodes: Nodes, losses: Iterable[str]) -> Penalties:
    """Read regularization losses: ``slim.l2_regularizer``, ``l1``, ``l1_l2``, and Keras' own spelling.

    Args:
        losses: Tensors.
    """
    found: dict[str, Penalty] = {}
    unread = []
    for loss in losses:
        parts = _parts(nodes, loss)
        if parts is None:
            unread.append(loss)
        for name, penalty in (parts or {}).items():
            found[name] = found.get(name, Penalty()).plus(penalty)
    if not unread:
        return Penalties(found)
    remark = f"{len(unread)} regularization losses, first {unread[0]}, are no size of a variable: they are left out."
    return Penalties(found, (remark,))


def _parts(nodes: Nodes, tensor: str, depth: int = 0) -> dict[str, Penalty] | None:
    """Penalties by variable that a loss is the sum of, ``None`` if it is something else."""
    node = nodes.node(tensor)
    if node is None or depth > _DEEPEST:
        return None
    if node.op in ("L2Loss", "Sum"):
        return _of_variable(nodes, node)
    if node.op == "Mul":
        return _scaled(nodes, node, depth)
    if node.op not in _SUMS:
        return None
    total: dict[str, Penalty] = {}
    for item in node.inputs:
        parts = {} if nodes.scalar(item) == 0.0 else _parts(nodes, item, depth + 1)
        if parts is None:
            return None
        for name, penalty in parts.items():
            total[name] = total.get(name, Penalty()).plus(penalty)
    return total


def _scaled(nodes: Nodes, node: Node, depth: int) -> dict[str, Penalty] | None:
    for number, item in (node.inputs, reversed(node.inputs)):
        factor = nodes.scalar(number)
        if factor is not None:
            parts = _parts(nodes, item, depth + 1)
            return None if parts is None else {name: penalty.scaled(factor) for name, penalty in parts.items()}
    return None


def _of_variable(nodes: Nodes, node: Node) -> dict[str, Penalty] | None:
    inner = node if node.op == "L2Loss" else nodes.node(node.inputs[0])
    variable = None if inner is None or not inner.inputs else nodes.variable(inner.inputs[0])
    kind = {"L2Loss": Penalty(l2=0.5), "Square": Penalty(l2=1.0), "Abs": Penalty(l1=1.0)}.get(inner.op if inner else "")
    return None if variable is None or kind is None else {variable.name: kind}
