"""The decay of BatchNorm, and the size of the images, in the ``.meta`` that slim's ``Saver`` writes.

slim moves a statistic by ``moving -= (moving - batch) * rate``, ``rate`` being one minus the decay. How the rate stands
in the graph depends on slim's version and on ``is_training``: a constant, one minus a constant, or a choice by a
condition between the decay and one. So nothing is searched by name: the graph is followed from the assignment to the
constants; and from the first convolution to the images, whose shape stands in the graph as far as it was known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slim2keras.errors import CheckpointReadError
from slim2keras.importing.damage import array_of
from slim2keras.importing.nodes import VARIABLES
from slim2keras.importing.sources import read_graph

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

_ASSIGNMENTS = ("AssignSub", "AssignSubVariableOp")
_REPLACEMENTS = ("Assign", "AssignVariableOp")
_PASSED_ON = ("Identity", "Cast", "Switch", "RefSwitch", "Enter", "RefEnter", "Snapshot")
_CONVOLUTIONS = ("Conv2D", "Conv3D")
_FAKE_QUANTIZED = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
_READ_BY = (*_PASSED_ON, "ReadVariableOp", *_FAKE_QUANTIZED)
# slim's ``conv2d_same`` pads the images by hand.
_BEFORE_CONVOLUTION = (*_PASSED_ON, *_FAKE_QUANTIZED, "Pad", "PadV2", "MirrorPad")
_STATISTICS = ("moving_mean", "moving_variance")
# A decay in float32 has about seven digits; what follows them is rounding.
_DIGITS = 7
# Of one constant under all conditions; a graph has two.
_MOST_VALUES = 64

_Read = TypeVar("_Read")


def read_decays(prefix: Path) -> dict[str, float]:
    """Read the decay of every BatchNorm layer from the ``.meta`` beside a checkpoint.

    Args:
        prefix: Of the checkpoint.

    Returns:
        Scope of the layer to decay; empty if there is no ``.meta``, or it has no moving averages.

    Raises:
        CheckpointReadError: If the file is no graph.
    """
    return _read_graph(prefix, decays_of_graph) or {}


def read_input_shape(prefix: Path, first_weights: str) -> tuple[int, ...] | None:
    """Read the shape of the images that a network was built for from the ``.meta`` beside its checkpoint.

    Args:
        prefix: Of the checkpoint.
        first_weights: Name of the weights of the network's first convolution.

    Returns:
        (height, width, channels), of videos the frames first; ``None`` if there is no ``.meta``, if it cannot be read,
        if it leaves a size open, or if the network stands in it more than once at different sizes.
    """
    try:
        return _read_graph(prefix, lambda graph: input_shape_of_graph(graph, first_weights))
    except CheckpointReadError:
        return None


def _read_graph(prefix: Path, read: Callable[[GraphDef], _Read]) -> _Read | None:
    """What ``read`` finds in the ``.meta``, ``None`` if there is none."""
    path = Path(f"{prefix}.meta")
    if not path.is_file():
        return None
    try:
        return read(read_graph(path).graph)
    except (IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointReadError(
            f"{path} is no graph: {error}. It is truncated or corrupt; remove it, and give the decay with --decay."
        ) from error


def decays_of_graph(graph: GraphDef) -> dict[str, float]:
    """Decay of every BatchNorm layer whose moving statistics the graph updates, by scope."""
    by_name = ((*name.rpartition("/"), decay) for name, decay in decays_of_variables(graph).items())
    return {scope: decay for scope, _, leaf, decay in by_name if leaf in _STATISTICS}


def decays_of_variables(graph: GraphDef) -> dict[str, float]:
    """Decay of every variable that the graph moves towards another value, by name."""
    nodes = _Nodes(graph)
    found = {}
    for node in graph.node:
        if node.op in _ASSIGNMENTS and len(node.input) >= 2:
            rates = nodes.constant_factors(node.input[1])
            decays = {round(1.0 - rate, _DIGITS) for rate in rates if 0.0 < rate <= 1.0}
            if len(decays) == 1:
                found[nodes.variable(node.input[0])] = decays.pop()
        elif node.op in _REPLACEMENTS and len(node.input) >= 2:
            name = nodes.variable(node.input[0])
            for decay in nodes.kept_of(name, node.input[1]):
                found[name] = round(decay, _DIGITS)
    return found


def input_shape_of_graph(graph: GraphDef, first_weights: str) -> tuple[int, ...] | None:
    """Shape of an image that goes into the convolution by ``first_weights``, ``None`` unless there is exactly one."""
    nodes = _Nodes(graph)
    shapes = {
        nodes.image_shape(node)
        for node in graph.node
        if node.op in _CONVOLUTIONS and len(node.input) >= 2 and nodes.variable(node.input[1]) == first_weights
    }
    shapes.discard(None)
    return shapes.pop() if len(shapes) == 1 else None


_OPEN = -1
"""How TensorFlow writes a size that is not known."""


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
            if node.op in VARIABLES:
                return str(node.name)
            if node.op not in _READ_BY or not node.input:
                break
            seen.add(node.name)
            name = node.input[0]
        return ""

    def image_shape(self, convolution: Any) -> tuple[int, ...] | None:
        """Shape of one of the images that a convolution takes in, channels last, ``None`` if a size is open."""
        name, seen = convolution.input[0], set()
        while (node := self._node(name)) is not None and node.op in _BEFORE_CONVOLUTION and node.name not in seen:
            seen.add(node.name)
            name = node.input[0] if node.input else ""
        _, *sizes = self._sizes(name) or (_OPEN, _OPEN)
        if convolution.attr["data_format"].s.startswith(b"NC"):
            sizes = [*sizes[1:], *sizes[:1]]
        return tuple(sizes) if min(sizes, default=_OPEN) > 0 else None

    def _sizes(self, name: str) -> tuple[int, ...]:
        """Sizes of a tensor as they were known when the graph was made, the batch first; empty if nothing is known."""
        node, output = self._node(name), _output_of(name)
        if node is None:
            return ()
        if "_output_shapes" in node.attr or "output_shapes" in node.attr:
            key = "_output_shapes" if "_output_shapes" in node.attr else "output_shapes"
            return _sizes_of(node.attr[key].list.shape, output)
        if node.op.startswith("QueueDequeue") and (queue := self._node(next(iter(node.input), ""))) is not None:
            sizes = _sizes_of(queue.attr["shapes"].list.shape, output)
            # A queue of examples gives several at once.
            return (_OPEN, *sizes) if "Many" in node.op or "UpTo" in node.op else sizes
        return _sizes_of([node.attr["shape"].shape], output)

    def constant_factors(self, name: str) -> set[float]:
        """Values that the constant factor of a product may have."""
        node = self._node(name)
        if node is None or node.op != "Mul":
            return set()
        return next(filter(None, map(self.values, node.input)), set())

    def kept_of(self, variable: str, name: str) -> set[float]:
        """The constant by which a sum takes in a variable: the decay of a moving average written by hand."""
        total = self._node(name)
        if total is None or total.op not in ("Add", "AddV2"):
            return set()
        for product in filter(None, map(self._node, total.input)):
            if product.op == "Mul" and variable and variable in map(self.variable, product.input):
                return {value for value in self.constant_factors(product.name) if 0.0 < value < 1.0}
        return set()

    def values(self, name: str) -> set[float]:
        """Values that a scalar may have, over all conditions; empty if it is not made of constants alone."""
        pending = [(name, False)]
        while pending:
            item, is_ready = pending.pop()
            node = self._node(item)
            if is_ready:
                self._known[item] = self._values_of(node, _output_of(item))
            elif item not in self._known:
                # Met again on the way, it lies on a circle: then it is no constant.
                self._known[item] = set()
                pending += [] if node is None else [(item, True), *((other, False) for other in _operands(node))]
        return self._known[name]

    def _values_of(self, node: Any, output: int) -> set[float]:
        if node.op == "Const":
            return _scalar(node)
        if node.op in ("If", "StatelessIf"):
            branches = [node.attr[branch].func.name for branch in ("then_branch", "else_branch")]
            return set().union(*(self._returned(branch, output) for branch in branches))
        operands = [self._known[operand] for operand in _operands(node)]
        if node.op == "Sub" and len(operands) == 2:
            return set(islice((one - other for one in operands[0] for other in operands[1]), _MOST_VALUES))
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


def _operands(node: Any) -> list[str]:
    """Tensors that a constant may be made of."""
    is_computed = node.op in ("Sub", "Merge", "Select", "SelectV2", *_PASSED_ON)
    return [operand for operand in node.input if not operand.startswith("^")] if is_computed else []


def _output_of(tensor: str) -> int:
    index = tensor.partition(":")[2]
    return int(index) if index.isdecimal() else 0


def _sizes_of(shapes: Sequence[Any], output: int) -> tuple[int, ...]:
    return tuple(axis.size for axis in shapes[output].dim) if output < len(shapes) else ()


def _scalar(node: Any) -> set[float]:
    value = array_of(node.name, node.attr["value"].tensor)
    return {float(value)} if value.ndim == 0 and value.dtype.kind == "f" else set()
