"""Which ops of a graph are imported; what does more than compute is not, and is not run either."""

from __future__ import annotations

from collections.abc import Iterable

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.pure_ops import PURE_OPS
from slim2keras.importing import plain_layers, shape_arithmetic, weighted_layers
from slim2keras.importing.damage import check_attributes
from slim2keras.importing.node import Node, split_tensor
from slim2keras.importing.nodes import PASSED_ON, PLACEHOLDERS, VARIABLES, Nodes
from slim2keras.importing.translation import TRANSLATORS

_MODULES = (plain_layers, shape_arithmetic, weighted_layers)
"""They register what they translate when they are imported."""
_STRUCTURE = VARIABLES | PASSED_ON | frozenset({"Const"})
_NUM_LISTED = 12


def check_supported(nodes: Nodes, used: Iterable[Node]) -> None:
    """Refuse a graph with ops that are not imported.

    Raises:
        UnsupportedGraphError: With all of them, and the nearest tensors before them.
    """
    used = list(used)
    for node in used:
        check_attributes(node.name, node.attr)
    _check_channels_last(used)
    placeholders = [node for node in used if node.op in PLACEHOLDERS and node.name in _open(nodes, used)]
    if placeholders:
        names = ", ".join(node.name for node in placeholders)
        raise UnsupportedGraphError(
            f"The network needs the values of {names}: give them, "
            f"placeholder_values={{{placeholders[0].name!r}: ...}} (command line: --placeholder "
            f"{placeholders[0].name}=...), or name all inputs."
        )
    unknown = [node for node in used if node.op not in PURE_OPS | _STRUCTURE and node.op not in TRANSLATORS]
    if not unknown:
        return
    kinds: dict[str, list[str]] = {}
    for node in unknown:
        kinds.setdefault(node.op, []).append(node.name)
    named = {op: ", ".join([*names[:3], *(["..."] if names[3:] else [])]) for op, names in kinds.items()}
    listed = "".join(f"  {op}: {names}\n" for op, names in named.items())
    raise UnsupportedGraphError(
        f"{len(unknown)} ops between the inputs and the outputs are not imported, because they are unknown or do more "
        f"than compute:\n{listed}{_where_to_cut(nodes, used, unknown)}"
    )


def _check_channels_last(used: list[Node]) -> None:
    """Refuse images with the channels first, which no kernel of a CPU takes."""
    found = [node for node in used if node.text("data_format").startswith("NC")]
    if found:
        listed = "".join(f"  {node.name} ({node.op}, {node.text('data_format')})\n" for node in found[:_NUM_LISTED])
        more = f"  and {len(found) - _NUM_LISTED} more\n" if len(found) > _NUM_LISTED else ""
        raise UnsupportedGraphError(
            f"{len(found)} ops between the inputs and the outputs have the channels first:\n{listed}{more}"
            "Models of Keras have them last, as TensorFlow's kernels for CPUs do. Write the graph again by the program "
            'that made it, with data_format="NHWC" ("channels_last"): the checkpoint and its variables stay the same.'
        )


def _open(nodes: Nodes, used: Iterable[Node]) -> set[str]:
    return {node.name for node in used if node.op in PLACEHOLDERS and nodes.constant(node.name) is None}


def _where_to_cut(nodes: Nodes, used: list[Node], unknown: list[Node]) -> str:
    """Advice to end the network in what the ops that are not imported take."""
    behind = {node.name for node in unknown}
    for node in used:
        if any(split_tensor(item)[0] in behind for item in nodes.inputs_of(node.name)):
            behind.add(node.name)
    weighted = _depend_on_weights(nodes, used)
    cuts = [
        item
        for node in used
        if node.name in behind
        for item in nodes.inputs_of(node.name)
        if split_tensor(item)[0] not in behind and split_tensor(item)[0] in weighted
    ]
    if not cuts:
        return "Name outputs before them: output_tensors=[...] (command line: --output-tensor NAME)."
    listed = "".join(f"  {item}\n" for item in list(dict.fromkeys(cuts))[:_NUM_LISTED])
    return (
        f"The nearest tensors before them, which can be imported:\n{listed}Name those that you want: "
        "output_tensors=[...] (command line: --output-tensor NAME)."
    )


def _depend_on_weights(nodes: Nodes, used: Iterable[Node]) -> set[str]:
    found: set[str] = set()
    for node in used:
        if node.op in weighted_layers.KINDS or any(
            split_tensor(item)[0] in found for item in nodes.inputs_of(node.name)
        ):
            found.add(node.name)
    return found
