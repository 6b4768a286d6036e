"""Functions that a graph calls, and conditions that call one of two: laid out as the nodes that they are made of.

TensorFlow 2 writes ``tf.cond`` as an op ``If`` with two functions of the graph's library, where TensorFlow 1 had
``Switch`` and ``Merge``. With the functions laid out it is a ``Select`` between what both give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from slim2keras.errors import UnsupportedGraphError

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

_CONDITIONS = ("If", "StatelessIf")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LARGEST = 10**6
"""Nodes that a graph may have with its functions laid out: one can call itself."""
_OUTPUTS = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "TopKV2": ("values", "indices"),
    "Switch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
}
"""Names of outputs in functions, of the ops that have several."""
_OUTPUTS |= {
    "FusedBatchNormV2": _OUTPUTS["FusedBatchNorm"],
    "FusedBatchNormV3": (*_OUTPUTS["FusedBatchNorm"], "reserve_space_3"),
}


def laid_out(graph: GraphDef) -> GraphDef:
    """The graph without calls of functions, itself if it has none.

    Raises:
        UnsupportedGraphError: If a function calls itself, or is not there.
    """
    if not any(node.op in (*_CONDITIONS, *_CALLS) for node in graph.node):
        return graph
    from tensorflow.core.framework.graph_pb2 import GraphDef

    functions = {function.signature.name: function for function in graph.library.function}
    flat = GraphDef(versions=graph.versions)
    pending = list(reversed(graph.node))
    while pending:
        if len(flat.node) + len(pending) > _LARGEST:
            raise UnsupportedGraphError("The graph has functions that call each other without end.")
        node = pending.pop()
        if node.op in _CONDITIONS:
            pending += reversed(_condition(node, functions))
        elif node.op in _CALLS:
            body, results = _body(node, node.attr["f"].func.name, node.input, functions, "")
            pending += reversed([*body, *(_identity(node, index, item) for index, item in enumerate(results))])
        else:
            flat.node.add().CopyFrom(node)
    _rename_outputs(flat, graph)
    return flat


def _condition(node: NodeDef, functions: Mapping[str, FunctionDef]) -> list[NodeDef]:
    """Both branches of a condition, and a choice for each of its outputs."""
    data = [item for item in node.input[1:] if not item.startswith("^")]
    laid, results = [], []
    for branch in ("then_branch", "else_branch"):
        body, found = _body(node, node.attr[branch].func.name, data, functions, f"{branch.partition('_')[0]}/")
        laid += body
        results.append(found)
    chosen = [_select(node, index, (node.input[0], *pair)) for index, pair in enumerate(zip(*results, strict=True))]
    return [*laid, *chosen]


def _body(
    node: NodeDef, name: str, data: Iterable[str], functions: Mapping[str, FunctionDef], scope: str
) -> tuple[list[NodeDef], list[str]]:
    """Nodes of a function below the name of the node that calls it, and the tensors that it returns."""
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    if name not in functions:
        raise UnsupportedGraphError(f"{node.name} calls the function {name}, which the graph does not have.")
    function, prefix = functions[name], f"{node.name}/{scope}"
    arguments = {item.name: tensor for item, tensor in zip(function.signature.input_arg, data, strict=False)}
    ops = {item.name: item.op for item in function.node_def}

    def outside(tensor: str) -> str:
        if tensor in arguments:
            return arguments[tensor]
        if tensor.startswith("^"):
            return f"^{prefix}{tensor[1:]}"
        inner, *output = tensor.split(":")
        return f"{prefix}{inner}:{_index(ops.get(inner, ''), output)}"

    laid = []
    for item in function.node_def:
        copy = NodeDef()
        copy.CopyFrom(item)
        copy.name = f"{prefix}{item.name}"
        del copy.input[:]
        copy.input.extend(map(outside, item.input))
        laid.append(copy)
    return laid, [outside(function.ret[item.name]) for item in function.signature.output_arg]


def _index(op: str, output: list[str]) -> int:
    """Number of an output that a function names ``batch_mean:0``."""
    if not output:
        return 0
    names = _OUTPUTS.get(op, ())
    return names.index(output[0]) if output[0] in names else int(output[-1]) if output[-1].isdecimal() else 0


def _output_name(node: NodeDef, index: int) -> str:
    return f"{node.name}/output_{index}" if index else node.name


def _select(node: NodeDef, index: int, inputs: tuple[str, ...]) -> NodeDef:
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    chosen = NodeDef(name=_output_name(node, index), op="Select", input=inputs)
    chosen.attr["T"].type = _type(node, index)
    return chosen


def _identity(node: NodeDef, index: int, tensor: str) -> NodeDef:
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    handed_on = NodeDef(name=_output_name(node, index), op="Identity", input=[tensor])
    handed_on.attr["T"].type = _type(node, index)
    return handed_on


def _type(node: NodeDef, index: int) -> int:
    types = node.attr["Tout"].list.type
    return int(types[index]) if index < len(types) else 1


def _rename_outputs(flat: GraphDef, graph: GraphDef) -> None:
    """What took the second output of a call takes the node that stands for it."""
    from slim2keras.importing.node import split_tensor

    calls = {node.name for node in graph.node if node.op in (*_CONDITIONS, *_CALLS)}
    names = {node.name for node in flat.node}
    for node in flat.node:
        for position, tensor in enumerate(node.input):
            name, index = split_tensor(tensor)
            if index and not tensor.startswith("^") and f"{name}/output_{index}" in names and name in calls:
                node.input[position] = f"{name}/output_{index}"
