"""The nodes of a TensorFlow graph by name, to be followed against the flow of data and to be rewritten."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import UnsupportedGraphError
from slim2keras.importing.damage import array_of
from slim2keras.importing.node import Node, split_tensor, tensor_name

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tensorflow.core.framework.graph_pb2 import GraphDef

PASSED_ON = frozenset(
    {"Identity", "PreventGradient", "CheckNumerics", "Snapshot", "ReadVariableOp", "EnsureShape", "GuaranteeConst"}
    | {"Print", "DebugIdentity"}
)
"""Ops that hand on their first input as it is."""
VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
FAKE_QUANTIZED = frozenset(
    {"FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantWithMinMaxArgs", "QuantizeAndDequantize"}
    | {"QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3"}
)


LARGEST_CONSTANT = 1024
"""Numbers that stay a constant beside variables, and that are written into the configuration of a layer."""


class Nodes:
    """A graph that can be rewritten: nodes by name, and tensors that others stand for.

    Attributes:
        by_name: Its nodes.
        is_frozen: Whether it has no variables: what was one is a constant.
    """

    def __init__(self, graph: GraphDef) -> None:
        self.by_name: dict[str, Node] = {
            node.name: Node(
                node.name,
                node.op,
                tuple(tensor_name(item) for item in node.input if not item.startswith("^")),
                tuple(item[1:] for item in node.input if item.startswith("^")),
                node.attr,
            )
            for node in graph.node
        }
        self.is_frozen = all(node.op not in VARIABLES for node in self.by_name.values())
        self._instead: dict[str, str] = {}
        self._unmarked: dict[str, list[tuple[Node, str]]] = {}
        self._constants: dict[str, NDArray[Any] | None] = {}
        self._num_made = 0

    def __contains__(self, tensor: str) -> bool:
        return split_tensor(tensor)[0] in self.by_name

    def copy(self) -> Nodes:
        """One that can be rewritten by itself."""
        other = object.__new__(Nodes)
        other.by_name, other._instead, other._constants = dict(self.by_name), dict(self._instead), {}
        other._unmarked = {name: list(stack) for name, stack in self._unmarked.items()}
        other.is_frozen, other._num_made = self.is_frozen, 0
        return other

    def replace(self, node: Node) -> None:
        """Put a node into the place of the one of its name."""
        self.by_name[node.name] = node
        self._instead.pop(node.name, None)
        self._constants.clear()
        self._num_made = 0

    def mark(self, node: Node, *, alias: str = "") -> None:
        """Put what was recognised into the place of the node of its name; ``unmark`` takes it back.

        Args:
            alias: A tensor of the same shape that is it from now on.
        """
        self._unmarked.setdefault(node.name, []).append((self.by_name[node.name], alias))
        self.replace(node)
        if alias:
            self.stand_for(alias, node.name)

    def is_marked(self, name: str) -> bool:
        """Whether a node was put in by ``mark``."""
        return bool(self._unmarked.get(name))

    def unmark(self, name: str) -> None:
        """Take back what was put in last."""
        original, alias = self._unmarked[name].pop()
        self.replace(original)
        self._instead.pop(alias, None)

    def stand_for(self, tensor: str, other: str) -> None:
        """Have a tensor be another one from now on."""
        self._instead[tensor] = other

    def chosen(self) -> dict[str, list[str]]:
        """Source to the results of choices that it is, where a graph was switched one way."""
        found: dict[str, list[str]] = {}
        for tensor in self._instead:
            if self.by_name[split_tensor(tensor)[0]].op in _CHOICES:
                found.setdefault(self.source(tensor), []).append(tensor)
        return found

    def source(self, tensor: str) -> str:
        """The tensor that stands behind one, past all that hands on what it gets."""
        seen: set[str] = set()
        while tensor not in seen:
            seen.add(tensor)
            if len(seen) > _LONGEST_CHAIN:
                raise UnsupportedGraphError(
                    f"{tensor} is handed on by more than {_LONGEST_CHAIN} ops one after the other, which no network "
                    "does: the graph is damaged. Copy the file again, or give another."
                )
            if tensor in self._instead:
                tensor = self._instead[tensor]
                continue
            node = self.by_name.get(tensor)
            if node is not None and node.inputs and node.op in _HANDED_ON:
                tensor = node.inputs[0]
            elif (several := self.by_name.get(split_tensor(tensor)[0])) is not None and several.op == "IdentityN":
                tensor = several.inputs[split_tensor(tensor)[1]]
        return tensor

    def node(self, tensor: str) -> Node | None:
        """The node behind a tensor, see ``source``; ``None`` if the graph has none."""
        return self.by_name.get(split_tensor(self.source(tensor))[0])

    def is_op(self, tensor: str, *ops: str) -> bool:
        """Whether the node behind a tensor is of one of some types."""
        node = self.node(tensor)
        return node is not None and node.op in ops

    def variable(self, tensor: str) -> Node | None:
        """The variable that a tensor is the value of."""
        node = self.node(tensor)
        return node if node is not None and node.op in VARIABLES else None

    def is_frozen_variable(self, tensor: str) -> bool:
        """Whether a tensor is a constant that was a variable; beside variables a large one is."""
        value = self.constant(tensor)
        if value is None or value.dtype.kind != "f" or value.ndim == 0:
            return False
        return self.is_frozen or value.size > LARGEST_CONSTANT

    def assigned(self, assignment: Node) -> Node | None:
        """The variable that an assignment changes, also where a switch decides whether it does."""
        tensor = self.source(assignment.inputs[0])
        while (node := self.by_name.get(split_tensor(tensor)[0])) is not None and node.op in _ON_THE_WAY:
            tensor = self.source(node.inputs[0])
        return self.variable(tensor)

    def shape_of_weight(self, tensor: str) -> tuple[int, ...] | None:
        """Shape of a variable, or of the constant in its place."""
        variable = self.variable(tensor)
        if variable is not None:
            shape = variable.shape()
            return None if shape is None or None in shape else tuple(size for size in shape if size is not None)
        constant = self.constant(tensor)
        return None if constant is None else constant.shape

    def inputs_of(self, name: str) -> list[str]:
        """Sources of what a node takes."""
        return [self.source(item) for item in self.by_name[name].inputs]

    def ordered(self, tensors: Iterable[str], stop: Iterable[str] = ()) -> list[Node]:
        """The nodes that tensors depend on, each after what it takes; ``stop`` are tensors not to be looked behind."""
        stops = {self.source(item) for item in stop}
        done: set[str] = set()
        order: list[Node] = []
        pending = [(split_tensor(item)[0], False) for item in map(self.source, tensors) if item not in stops]
        pending.reverse()
        while pending:
            name, is_finished = pending.pop()
            if is_finished:
                order.append(self.by_name[name])
            elif name not in done and name in self.by_name:
                done.add(name)
                pending.append((name, True))
                wanted = [split_tensor(item)[0] for item in self.inputs_of(name) if item not in stops]
                pending += [(item, False) for item in reversed(wanted)]
        return order

    def consumers(self, nodes: Iterable[Node]) -> dict[str, list[Node]]:
        """Source of a tensor to those of ``nodes`` that take it."""
        found: dict[str, list[Node]] = {}
        for node in nodes:
            for item in node.inputs:
                found.setdefault(self.source(item), []).append(node)
        return found

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """The value of a tensor that is made of constants alone, else ``None``."""
        source = self.source(tensor)
        pending = [(source, False)]
        while pending:
            item, is_ready = pending.pop()
            if is_ready:
                self._constants[item] = self._counted(item, self._computed(item))
            elif item not in self._constants:
                # Met again on the way, it lies on a circle: then it is no constant.
                self._constants[item] = None
                pending.append((item, True))
                pending += [(operand, False) for operand in self._operands(item)]
        return self._constants[source]

    def scalar(self, tensor: str) -> float | None:
        """The value of a tensor that is one constant number, else ``None``."""
        value = self.constant(tensor)
        return float(value.item()) if value is not None and value.size == 1 and value.dtype.kind in "fiub" else None

    def _counted(self, source: str, value: NDArray[Any] | None) -> NDArray[Any] | None:
        """A value, unless so many were made of little that they fill the memory."""
        node = self.by_name.get(source)
        is_in_file = node is not None and "value" in node.attr and bool(node.attr["value"].tensor.tensor_content)
        self._num_made += 0 if value is None or is_in_file else value.size
        if self._num_made > _MOST_MADE:
            raise UnsupportedGraphError(
                f"The constants up to {source} take more than {4 * _MOST_MADE >> 30} GiB, and the file has not as many "
                "numbers: the graph is damaged. Copy the file again, or give another."
            )
        return value

    def _operands(self, source: str) -> list[str]:
        """Sources of what a constant would be computed of, none where it is not."""
        node = self.by_name.get(source)
        return [] if node is None or node.op not in _COMPUTED else self.inputs_of(source)

    def _computed(self, source: str) -> NDArray[Any] | None:
        node = self.by_name.get(split_tensor(source)[0])
        if node is not None and node.op == "Const":
            value: NDArray[Any] = (
                node.facts if node.facts is not None else array_of(node.name, node.attr["value"].tensor)
            )
            return value
        values = [self._constants[item] for item in self._operands(source)]
        given = [value for value in values if value is not None]
        return None if node is None or not given or len(given) < len(values) else _applied(node, given)


def is_weight(nodes: Nodes, tensor: str) -> bool:
    """Whether a tensor is a variable, or a constant that was one."""
    return nodes.variable(tensor) is not None or nodes.is_frozen_variable(tensor)


def walk(nodes: Nodes, tensor: str, through: Callable[[Node], bool]) -> Iterator[tuple[str, int]]:
    """Tensors behind one, nearest first, with how far away they are; what is far away belongs to something else.

    Args:
        through: Whether to look behind a node too.
    """
    seen, level, depth = {nodes.source(tensor)}, [nodes.source(tensor)], 0
    while level and depth <= _FARTHEST and len(seen) <= _MOST_WALKED:
        following = []
        for item in level:
            yield item, depth
            node = nodes.by_name.get(split_tensor(item)[0])
            if node is None or not through(node):
                continue
            for source in nodes.inputs_of(node.name):
                if source not in seen:
                    seen.add(source)
                    following.append(source)
        level, depth = following, depth + 1


def _applied(node: Node, values: list[NDArray[Any]]) -> NDArray[Any] | None:
    """What an op gives of constants; ``None`` where it makes no sense, or gives much of little."""
    try:
        shape = (0,) if node.op in _RESHAPES else np.broadcast_shapes(*(value.shape for value in values))
        if math.prod(shape) > max(_LARGEST_COMPUTED, *(value.size for value in values)):
            return None
        with np.errstate(all="ignore"):
            return np.asarray(_COMPUTED[node.op](node, *values))
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError):
        return None


_LONGEST_CHAIN = 1000
_FARTHEST, _MOST_WALKED = 100, 1000
_LARGEST_COMPUTED = 2**20
_MOST_MADE = 2**28
_RESHAPES = ("ExpandDims", "Reshape", "Squeeze")
_ON_THE_WAY = ("Switch", "RefSwitch", "Enter", "RefEnter")
_CHOICES = ("Merge", "Select", "SelectV2")
_HANDED_ON = PASSED_ON | FAKE_QUANTIZED


def _divided(node: Node, a: NDArray[Any], b: NDArray[Any]) -> Any:
    return a // b if a.dtype.kind in "iu" else a / b


def _cast(node: Node, a: NDArray[Any]) -> NDArray[Any]:
    return a.astype(node.dtype("DstT"))


def _dequantized(node: Node, values: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Any:
    """Weights that were kept as integers."""
    import tensorflow as tf

    quantized = tf.constant(values, tf.as_dtype(node.attr["T"].type))
    return tf.raw_ops.Dequantize(input=quantized, min_range=low, max_range=high, mode=node.text("mode")).numpy()


_COMPUTED: Mapping[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "AddV2": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "RealDiv": _divided,
    "Div": _divided,
    "Reciprocal": lambda _, a: 1 / a,
    "Inv": lambda _, a: 1 / a,
    "Neg": lambda _, a: -a,
    "Rsqrt": lambda _, a: (1 / np.sqrt(a)).astype(a.dtype),
    "Sqrt": lambda _, a: np.sqrt(a),
    "Maximum": lambda _, a, b: np.maximum(a, b),
    "Minimum": lambda _, a, b: np.minimum(a, b),
    "Cast": _cast,
    "Dequantize": _dequantized,
    "Squeeze": lambda node, a: a.squeeze(node.ints("squeeze_dims") or None),
    "ExpandDims": lambda _, a, axis: np.expand_dims(a, int(axis)),
    "Reshape": lambda _, a, shape: a.reshape(shape),
    "LogicalNot": lambda _, a: ~a,
    "LogicalAnd": lambda _, a, b: a & b,
    "LogicalOr": lambda _, a, b: a | b,
    "Equal": lambda _, a, b: a == b,
    "NotEqual": lambda _, a, b: a != b,
    "Greater": lambda _, a, b: a > b,
    "GreaterEqual": lambda _, a, b: a >= b,
    "Less": lambda _, a, b: a < b,
    "LessEqual": lambda _, a, b: a <= b,
}
"""What is computed of constants, with NumPy; these ops are exact there as in TensorFlow, but for a reciprocal root."""
