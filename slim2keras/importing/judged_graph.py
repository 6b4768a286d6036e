"""The graph itself as the judge of what was imported from it: cut out, and nothing in it but ops that compute.

Variables are fed like images, so that no op with state, no file and no Python is left in what is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slim2keras.graphs.pure_ops import PURE_OPS
from slim2keras.importing.batch_norms import FUSED, Norm
from slim2keras.importing.damage import array_of, check_attributes, told_as_damage
from slim2keras.importing.node import Node, split_tensor
from slim2keras.importing.node import tensor_name as named
from slim2keras.importing.nodes import FAKE_QUANTIZED, PASSED_ON, VARIABLES, Nodes
from slim2keras.importing.preparing import PreparedGraph
from slim2keras.importing.sources import GraphSource
from slim2keras.importing.training_switch import set_placeholders, take_branches

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

_INPUT = "slim2keras_input_{}"
_ALLOWED = (
    PURE_OPS
    | PASSED_ON
    | FAKE_QUANTIZED
    | {
        "Const",
        "BatchNormWithGlobalNormalization",
        "Dequantize",
        "Switch",
        "Merge",
        "Placeholder",
        "PlaceholderWithDefault",
    }
)


@dataclass(frozen=True, eq=False)
class JudgedGraph:
    """A graph to be run.

    Attributes:
        graph: Pure ops, from placeholders.
        inputs: Placeholders of the images.
        variables: Placeholders of variables, named as these; with their shapes.
        tensors: Wanted tensor to the one that has its value.
        moved: Moving statistic to the tensor that it becomes, or to what is taken off it.
        losses: Regularization loss to the variables that it depends on.
        locked: Moving variances that BatchNorm divides by although the graph trains.
        refused: Ops that are no computation, with what is behind them left out; name and type.
    """

    graph: GraphDef
    inputs: tuple[str, ...]
    variables: Mapping[str, tuple[int, ...]]
    tensors: Mapping[str, str]
    moved: Mapping[str, tuple[str, bool]]
    losses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    locked: frozenset[str] = frozenset()
    refused: tuple[str, ...] = ()


def why_not_in_training(source: GraphSource, prepared: PreparedGraph) -> str:
    """Why a graph does not tell what its network does in training, empty if it does."""
    if prepared.nodes.is_frozen:
        return "the graph is frozen"
    if prepared.switch.training:
        return ""
    if source.kind == "saved model":
        return "the SavedModel is for inference"
    if prepared.norms and not any(node.facts.batch_mean for node in prepared.norms):
        return "the graph is for inference: every BatchNorm in it normalises with moving statistics"
    return ""


def judged_graph(
    source: GraphSource, prepared: PreparedGraph, wanted: Iterable[str], values: Mapping[str, Any], *, training: bool
) -> JudgedGraph:
    """The graph as it is at inference or in training, with nothing dropped.

    Args:
        wanted: Tensors to be compared; those that the graph does not have so are left out.
        values: Of placeholders, by name.
        training: Which of the two.
    """
    with told_as_damage(source.path):
        return _Cut(source, prepared, values, training=training).made(list(wanted))


class _Cut:
    """A graph in the making: nodes that are taken over, with what they take instead."""

    def __init__(
        self, source: GraphSource, prepared: PreparedGraph, values: Mapping[str, Any], *, training: bool
    ) -> None:
        self._by_name: dict[str, NodeDef] = {node.name: node for node in source.graph.node}
        self._original = Nodes(source.graph)
        self._prepared = prepared
        self._source = source
        switch = prepared.switch
        self._values = {**values, **(switch.training if training else switch.inference)}
        self._training = training
        self._chosen = self._original.copy()
        set_placeholders(self._chosen, self._values)
        inputs = {named(item): _INPUT.format(index) for index, item in enumerate(prepared.inputs)}
        self._instead = inputs | {self._chosen.source(item): name for item, name in inputs.items()}
        self._instead |= dict(prepared.dropouts)
        if not training:
            self._instead |= self._moving()
        self._taken: dict[str, NodeDef] = {}
        self._refused: set[str] = set()

    def _moving(self) -> dict[str, str]:
        """Statistics of the batch to the moving ones, of a graph that is locked to training."""
        norms: Iterable[Norm] = (node.facts for node in self._prepared.norms)
        return {
            batch: moving
            for norm in norms
            if norm.batch_mean and not norm.fused
            for batch, moving in ((norm.batch_mean, norm.mean), (norm.batch_variance, norm.variance))
        }

    def made(self, wanted: list[str]) -> JudgedGraph:
        from tensorflow.core.framework.graph_pb2 import GraphDef

        ends = [*self._prepared.outputs, *map(named, self._source.end_points.values())]
        # Control edges are cut, so that a choice by them has to be made here.
        take_branches(self._chosen, [*ends, *(item for item, _ in self._moved().values())])
        ordered = self._chosen.ordered(ends)
        used = {node.name for node in ordered}
        living = [item for item in wanted if split_tensor(self._chosen.source(item))[0] in used]
        tensors = {item: self._source_of(item) for item in living}
        moved = self._moved() if self._training else {}
        losses = {item: self._source_of(named(item)) for item in self._source.regularization_losses}
        for tensor in (*tensors.values(), *(item for item, _ in moved.values()), *losses.values()):
            self._take(tensor)
        self._spread_refusal()
        graph = GraphDef(node=[node for name, node in self._taken.items() if name not in self._refused])
        graph.versions.CopyFrom(self._source.graph.versions)
        taken = filter(self._is_variable, self._taken)
        variables = {name: self._original.shape_of_weight(name) or () for name in taken}
        kept = {item: source for item, source in (tensors | losses).items() if self._is_whole(source)}
        return JudgedGraph(
            graph,
            tuple(_INPUT.format(index) for index in range(len(self._prepared.inputs))),
            variables,
            kept,
            {name: item for name, item in moved.items() if self._is_whole(item[0])},
            {item: self._variables_behind(source) for item, source in losses.items()},
            self._locked(ordered) if self._training else frozenset(),
            tuple(f"{name} ({node.op})" for name, node in self._taken.items() if node.op not in _ALLOWED),
        )

    def _locked(self, ordered: Iterable[Node]) -> frozenset[str]:
        """Moving variances that the network is computed from."""
        by_batch = (node for node in ordered if node.op in FUSED and node.flag("is_training", default=True))
        exempt = {node.name for node in by_batch}
        taken = {self._chosen.source(item) for node in ordered if node.name not in exempt for item in node.inputs}
        return frozenset(node.facts.variance for node in self._prepared.norms if node.facts.variance in taken)

    def _variables_behind(self, tensor: str) -> frozenset[str]:
        pending, seen = [split_tensor(tensor)[0]], set()
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += [split_tensor(item)[0] for item in self._taken[name].input]
        return frozenset(filter(self._is_variable, seen))

    def _is_variable(self, name: str) -> bool:
        node = self._original.by_name.get(name)
        return node is not None and node.op in VARIABLES and name not in self._values

    def _source_of(self, tensor: str) -> str:
        seen: set[str] = set()
        while tensor not in seen:
            seen.add(tensor)
            tensor = self._instead.get(tensor) or self._chosen.source(tensor)
        return tensor

    def _is_whole(self, tensor: str) -> bool:
        """Whether all that a tensor depends on could be taken."""
        return split_tensor(tensor)[0] in self._taken and split_tensor(tensor)[0] not in self._refused

    def _take(self, tensor: str) -> None:
        """Take a node with all that it depends on."""
        pending = [split_tensor(tensor)[0]]
        while pending:
            name = pending.pop()
            if name in self._taken:
                continue
            node = self._rewritten(name)
            self._taken[name] = node
            pending += [split_tensor(named(item))[0] for item in node.input]

    def _spread_refusal(self) -> None:
        """What depends on a node that is not allowed is not run either."""
        consumers: dict[str, list[str]] = {}
        for name, node in self._taken.items():
            for item in node.input:
                consumers.setdefault(split_tensor(item)[0], []).append(name)
        pending = [name for name, node in self._taken.items() if node.op not in _ALLOWED]
        while pending:
            name = pending.pop()
            if name not in self._refused:
                self._refused.add(name)
                pending += consumers.get(name, [])

    def _rewritten(self, name: str) -> NodeDef:
        from tensorflow.core.framework.node_def_pb2 import NodeDef

        if name.startswith(_INPUT.format("")):
            return _placeholder(name, "float32")
        original = self._by_name[name]
        if name in self._values:
            return _constant(name, self._values[name], self._original.by_name[name].dtype("dtype", "T"))
        if original.op in VARIABLES:
            return _placeholder(name, self._original.by_name[name].dtype("dtype"))
        if original.op == "Const":
            array_of(name, original.attr["value"].tensor)
        check_attributes(name, original.attr)
        node = NodeDef()
        node.CopyFrom(original)
        del node.input[:]
        node.input.extend(self._source_of(named(item)) for item in original.input if not item.startswith("^"))
        for key in [key for key in node.attr if key.startswith("_")]:
            del node.attr[key]
        if node.op == "ReadVariableOp" or node.op in FAKE_QUANTIZED:
            return _identity(node)
        if not self._training and node.op in FUSED:
            self._normalise_with_moving(node)
        return node

    def _normalise_with_moving(self, node: NodeDef) -> None:
        norm = next((item.facts for item in self._prepared.norms if item.name == node.name), None)
        if norm is not None and norm.batch_mean:
            node.attr["is_training"].b = False
            node.input[3], node.input[4] = norm.mean, norm.variance

    def _moved(self) -> dict[str, tuple[str, bool]]:
        """Moving statistic to the tensor that it becomes, or that is taken off it."""
        statistics = {item for node in self._prepared.norms for item in (node.facts.mean, node.facts.variance)}
        found: dict[str, list[tuple[str, bool]]] = {}
        for node in self._original.by_name.values():
            if node.op not in ("AssignSub", "AssignSubVariableOp", "Assign", "AssignVariableOp"):
                continue
            variable = self._original.assigned(node)
            if variable is None or variable.name not in statistics:
                continue
            is_difference = node.op.startswith("AssignSub")
            if is_difference or variable.name in self._behind(node.inputs[1]):
                found.setdefault(variable.name, []).append((self._source_of(node.inputs[1]), is_difference))
        # Towers that share a variable move it one after the other, in any order.
        return {name: updates[0] for name, updates in found.items() if len(updates) == 1}

    def _behind(self, tensor: str) -> set[str]:
        return {node.name for node in self._original.ordered([tensor])}


def _placeholder(name: str, dtype: str) -> NodeDef:
    import tensorflow as tf
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    node = NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = tf.as_dtype(dtype).as_datatype_enum
    node.attr["shape"].shape.unknown_rank = True
    return node


def _constant(name: str, value: Any, dtype: str) -> NodeDef:
    import tensorflow as tf
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    node = NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.as_dtype(dtype)))
    return node


def _identity(node: NodeDef) -> NodeDef:
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    identity = NodeDef(name=node.name, op="Identity", input=node.input[:1])
    identity.attr["T"].type = node.attr["dtype"].type or node.attr["T"].type or 1
    return identity
