"""Moving averages that a graph keeps: which variable follows which tensor, and with which decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slim2keras.importing.meta_graph import decays_of_variables
from slim2keras.importing.nodes import Node, Nodes, walk

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

_ASSIGNMENTS = frozenset({"AssignSub", "AssignSubVariableOp", "Assign", "AssignVariableOp", "AssignAdd"})
_OF_AVERAGE = frozenset(
    {"Mul", "Sub", "Add", "AddV2", "Neg", "RealDiv", "Cast", "Reshape", "Squeeze", "Switch", "Merge", "Select"}
    | {"SelectV2", "RefSwitch", "RefMerge", "Enter", "Exit"}
)


class MovingAverages:
    """Which variable is the moving average of which tensor.

    Attributes:
        decays: Fraction that a step keeps, by name of the variable.
    """

    def __init__(self, graph: GraphDef, nodes: Nodes) -> None:
        self.decays: Mapping[str, float] = decays_of_variables(graph)
        self._nodes = nodes
        self._nearest: dict[str, tuple[int, str]] = {}
        for node in list(nodes.by_name.values()):
            if node.op in _ASSIGNMENTS and len(node.inputs) >= 2:
                self._follow(node)

    def _follow(self, assignment: Node) -> None:
        variable = self._nodes.variable(assignment.inputs[0])
        if variable is None or self._is_initial(assignment, variable):
            return
        for tensor, depth in walk(self._nodes, assignment.inputs[1], lambda node: node.op in _OF_AVERAGE):
            if depth < self._nearest.get(tensor, (depth + 1, ""))[0]:
                self._nearest[tensor] = depth, variable.name

    def _is_initial(self, assignment: Node, variable: Node) -> bool:
        """Whether a variable only gets a value; what moves an average uses the variable itself."""
        if assignment.op not in ("Assign", "AssignVariableOp"):
            return False
        behind = walk(self._nodes, assignment.inputs[1], lambda node: node.op in _OF_AVERAGE)
        return variable.name not in {tensor for tensor, _ in behind}

    def of(self, tensor: str) -> str:
        """Name of the variable that follows a tensor, empty if none does."""
        return self._nearest.get(self._nodes.source(tensor), (0, ""))[1]
