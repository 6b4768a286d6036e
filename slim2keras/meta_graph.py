"""The decay of BatchNorm in the ``.meta`` file that slim's ``Saver`` writes beside a checkpoint.

slim moves a statistic by ``moving -= (moving - batch) * rate``, ``rate`` being one minus the decay. How the rate stands
in the graph depends on slim's version and on ``is_training``: a constant, one minus a constant, or a choice by a
condition between the decay and one. So nothing is searched by name: the graph is followed from the assignment to the
constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.errors import CheckpointReadError

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

_ASSIGNMENTS = ("AssignSub", "AssignSubVariableOp")
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
_PASSED_ON = ("Identity", "Cast", "Switch", "Enter", "Snapshot")
_STATISTICS = ("moving_mean", "moving_variance")
# A decay in float32 has about seven digits; what follows them is rounding.
_DIGITS = 7


def read_decays(prefix: Path) -> dict[str, float]:
    """Read the decay of every BatchNorm layer from the ``.meta`` beside a checkpoint.

    Args:
        prefix: Of the checkpoint.

    Returns:
        Scope of the layer to decay; empty if there is no ``.meta``, or it has no moving averages.

    Raises:
        CheckpointReadError: If the file is no graph.
    """
    path = Path(f"{prefix}.meta")
    if not path.is_file():
        return {}
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    meta_graph = tf.compat.v1.MetaGraphDef()
    try:
        meta_graph.ParseFromString(path.read_bytes())
        return decays_of_graph(meta_graph.graph_def)
    except (DecodeError, OSError, RecursionError, ValueError) as error:
        raise CheckpointReadError(
            f"{path} is no graph: {error}. It is truncated or corrupt; remove it, and give the decay with --decay."
        ) from error


def decays_of_graph(graph: GraphDef) -> dict[str, float]:
    """Decay of every BatchNorm layer whose moving statistics the graph updates, by scope."""
    nodes = _Nodes(graph)
    found = {}
    for node in graph.node:
        if node.op in _ASSIGNMENTS and len(node.input) >= 2:
            scope, _, leaf = nodes.variable(node.input[0]).rpartition("/")
            rates = nodes.constant_factors(node.input[1]) if leaf in _STATISTICS else set()
            decays = {round(1.0 - rate, _DIGITS) for rate in rates if 0.0 < rate <= 1.0}
            if len(decays) == 1:
                found[scope] = decays.pop()
    return found


class _Nodes:
    """A graph's nodes by name, followed against the flow of data; cycles, which loops have, end a walk."""

    def __init__(self, graph: GraphDef) -> None:
        self._nodes: Mapping[str, Any] = {node.name: node for node in graph.node}
        self._functions = {function.signature.name: function for function in graph.library.function}
        self._known: dict[str, set[float]] = {}

    def _node(self, name: str) -> Any:
        return self._nodes.get(name.lstrip("^").partition(":")[0])

    def variable(self, name: str) -> str:
        """Name of the variable that a reference comes from, empty if from none."""
        seen: set[str] = set()
        while (node := self._node(name)) is not None and node.name not in seen:
            if node.op in _VARIABLES:
                return str(node.name)
            if node.op not in _PASSED_ON or not node.input:
                break
            seen.add(node.name)
            name = node.input[0]
        return ""

    def constant_factors(self, name: str) -> set[float]:
        """Values that the constant factor of a product may have."""
        node = self._node(name)
        if node is None or node.op != "Mul":
            return set()
        return next(filter(None, map(self.values, node.input)), set())

    def values(self, name: str) -> set[float]:
        """Values that a scalar may have, over all conditions; empty if it is not made of constants alone."""
        if name not in self._known:
            # Met again on the way, it lies on a circle: then it is no constant.
            self._known[name] = set()
            node = self._node(name)
            self._known[name] = set() if node is None else self._values_of(node, int(name.partition(":")[2] or 0))
        return self._known[name]

    def _values_of(self, node: Any, output: int) -> set[float]:
        if node.op == "Const":
            return _scalar(node)
        if node.op in ("If", "StatelessIf"):
            branches = [node.attr[branch].func.name for branch in ("then_branch", "else_branch")]
            return set().union(*(self._returned(branch, output) for branch in branches))
        operands = [self.values(operand) for operand in node.input if not operand.startswith("^")]
        if node.op == "Sub" and len(operands) == 2:
            return {one - other for one in operands[0] for other in operands[1]}
        if node.op == "Merge":
            return set().union(*operands)
        if node.op in ("Select", "SelectV2"):
            return set().union(*operands[1:3])
        return operands[0] if node.op in _PASSED_ON and operands else set()

    def _returned(self, function_name: str, index: int) -> set[float]:
        """Values of a constant that a branch returns."""
        function = self._functions.get(function_name)
        if function is None or index >= len(function.signature.output_arg):
            return set()
        nodes = {node.name: node for node in function.node_def}
        node = nodes.get(function.ret[function.signature.output_arg[index].name].partition(":")[0])
        while node is not None and node.op == "Identity":
            # The node goes, so that a walk in a circle ends.
            node = nodes.pop(node.input[0].partition(":")[0], None)
        return _scalar(node) if node is not None and node.op == "Const" else set()


def _scalar(node: Any) -> set[float]:
    import tensorflow as tf

    value = tf.make_ndarray(node.attr["value"].tensor)
    return {float(value)} if value.ndim == 0 and value.dtype.kind == "f" else set()
