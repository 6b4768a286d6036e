"""A graph made ready for translation: cut out, at inference, and what is spelled with several ops put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slim2keras.importing.batch_norms import mark_batch_norms
from slim2keras.importing.damage import check_length, told_as_damage, told_of
from slim2keras.importing.dropouts import mark_dropouts, undropped
from slim2keras.importing.ends import find_inputs, find_outputs, possible_inputs, skip_defaults
from slim2keras.importing.moving_averages import MovingAverages
from slim2keras.importing.node import Node
from slim2keras.importing.nodes import VARIABLES, Nodes
from slim2keras.importing.sources import GraphSource
from slim2keras.importing.spellings import mark_activations, mark_biases, mark_dilated, mark_separable
from slim2keras.importing.training_switch import (
    TrainingSwitch,
    find_training_switch,
    refuse_other_control_flow,
    set_placeholders,
    take_branches,
)

_LATE = 2**31 - 1
"""A step at which every schedule is over: drop-path is imported with the rates that it grows to."""


@dataclass(frozen=True, eq=False)
class PreparedGraph:
    """A graph between its inputs and outputs, at inference.

    Attributes:
        nodes: The graph, rewritten.
        inputs: Tensors of images.
        outputs: Tensors that the network ends in.
        switch: What switches it to training.
        dropouts: What a dropout gives to what it takes.
        norms: BatchNorm layers.
        decays: Of the variables that are moving averages, by name.
        remarks: What the user must be told.
    """

    nodes: Nodes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    switch: TrainingSwitch
    dropouts: Mapping[str, str]
    norms: Sequence[Node]
    decays: Mapping[str, float]
    remarks: tuple[str, ...] = ()

    def used(self) -> list[Node]:
        """The nodes between inputs and outputs, each after what it takes."""
        return self.nodes.ordered(self.outputs, self.inputs)


def prepare(
    source: GraphSource,
    input_tensors: Sequence[str],
    output_tensors: Sequence[str],
    placeholder_values: Mapping[str, Any],
) -> PreparedGraph:
    """Make a graph ready; the arguments are those of ``import_graph``."""
    with told_of(source.path), told_as_damage(source.path):
        return _prepared(source, input_tensors, output_tensors, placeholder_values)


def _prepared(
    source: GraphSource,
    input_tensors: Sequence[str],
    output_tensors: Sequence[str],
    placeholder_values: Mapping[str, Any],
) -> PreparedGraph:
    nodes = Nodes(source.graph)
    set_placeholders(nodes, placeholder_values)
    skip_defaults(nodes, (*input_tensors, *source.input_tensors))
    remarks: list[str] = []
    is_meta = source.kind == "meta"
    outputs = find_outputs(nodes, output_tensors, source.output_tensors, remarks, before_softmax=is_meta)
    averages = MovingAverages(source.graph, nodes)
    # Images may come from any of these; which they are shows when dropouts and their placeholders are put together.
    begins = [*input_tensors] or possible_inputs(nodes, outputs)
    check_length(nodes.ordered(outputs, begins))
    switch = find_training_switch(nodes, outputs, begins, placeholder_values)
    training = nodes.copy()
    set_placeholders(training, {**switch.training, **dict.fromkeys(_counters(nodes), _LATE)})
    take_branches(training, outputs, begins)
    dropouts = mark_dropouts(nodes, nodes.ordered(outputs, begins), training)
    remarks += _drawn(undropped(training, outputs, begins, dropouts))
    set_placeholders(nodes, switch.inference)
    take_branches(nodes, outputs, begins)
    inputs = find_inputs(nodes, outputs, input_tensors, source.input_tensors)
    refuse_other_control_flow(nodes.ordered(outputs, inputs))
    norms = _marked(nodes, outputs, inputs, averages)
    return PreparedGraph(nodes, tuple(inputs), tuple(outputs), switch, dropouts, norms, averages.decays, tuple(remarks))


def _drawn(names: Sequence[str]) -> list[str]:
    """What to say of ops that draw at random and belong to no dropout."""
    if not names:
        return []
    return [
        f"{len(names)} ops draw at random in training, first {names[0]}, and are no dropout: the model leaves them out."
    ]


def _counters(nodes: Nodes) -> list[str]:
    """Names of the variables that count steps."""
    variables = [node for node in nodes.by_name.values() if node.op in VARIABLES]
    return [node.name for node in variables if node.shape() == () and node.dtype("dtype").startswith("int")]


def _marked(nodes: Nodes, outputs: Sequence[str], inputs: Sequence[str], averages: MovingAverages) -> list[Node]:
    """Put together what is spelled with several ops; returns the BatchNorm layers."""
    mark_batch_norms(nodes, nodes.ordered(outputs, inputs), averages)
    mark_activations(nodes, nodes.ordered(outputs, inputs))
    mark_dilated(nodes, nodes.ordered(outputs, inputs))
    mark_separable(nodes, nodes.ordered(outputs, inputs), outputs)
    mark_biases(nodes, nodes.ordered(outputs, inputs), outputs)
    return [node for node in nodes.ordered(outputs, inputs) if node.op == "BatchNorm"]
