"""Moving averages that a graph keeps: which variable follows which tensor, and with which decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slim2keras.importing.meta_graph import decays_of_variables
from slim2keras.importing.node import Node
from slim2keras.importing.nodes import VARIABLES, Nodes, walk

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

_ASSIGNMENTS = frozenset({"AssignSub", "AssignSubVariableOp", "Assign", "AssignVariableOp", "AssignAdd"})
_OF_AVERAGE = frozenset(
    {
        "StopGradient",
        "Mul",
        "Sub",
        "Add",
        "AddV2",
        "Neg",
        "RealDiv",
        "Cast",
        "Reshape",
        "Squeeze",
        "Switch",
        "Merge",
        "Select",
    }
    | {"SelectV2", "RefSwitch", "RefMerge", "Enter", "Exit"}
)


class MovingAverages:
    """Which variable is the moving average of which tensor.

    Attributes:
        decays: Fraction that a step keeps, by name of the variable.
    """

    def __init__(self, graph: GraphDef, nodes: Nodes) -> None:
        self._nodes = nodes
        self._names = {node.name for node in nodes.by_name.values() if node.op in VARIABLES}
        self.decays = {self._averaged(name): decay for name, decay in decays_of_variables(graph).items() if name}
        self._nearest: dict[str, tuple[int, str]] = {}
        for node in list(nodes.by_name.values()):
            if node.op in _ASSIGNMENTS and len(node.inputs) >= 2:
                self._follow(node)

    def _follow(self, assignment: Node) -> None:
        variable = self._nodes.assigned(assignment)
        if variable is None or self._is_initial(assignment, variable):
            return
        for tensor, depth in walk(self._nodes, assignment.inputs[1], lambda node: node.op in _OF_AVERAGE):
            if depth < self._nearest.get(tensor, (depth + 1, ""))[0]:
                self._nearest[tensor] = depth, self._averaged(variable.name)

    def _averaged(self, name: str) -> str:
        """The statistic of which a variable keeps what is not yet debiased: ``moving_mean`` of ``moving_mean/biased``.

        Source: tensorflow/python/training/moving_averages.py, ``_zero_debias``.
        """
        base, _, leaf = name.rpartition("/")
        parts = base.split("/") if leaf == "biased" else []
        found = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((item for item in found if item in self._names), name)

    def _is_initial(self, assignment: Node, variable: Node) -> bool:
        """Whether a variable only gets a value; what moves an average uses the variable itself."""
        if assignment.op not in ("Assign", "AssignVariableOp"):
            return False
        behind = walk(self._nodes, assignment.inputs[1], lambda node: node.op in _OF_AVERAGE)
        return variable.name not in {tensor for tensor, _ in behind}

    def of(self, tensor: str) -> str:
        """Name of the variable that follows a tensor, empty if none does."""
        return self._nearest.get(self._nodes.source(tensor), (0, ""))[1]
