"""Judges that are graphs: the one that a network was imported from, or what the user's own function lays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.importing.judged_graph import can_train, judged_graph
from slim2keras.importing.preparing import PreparedGraph, prepare
from slim2keras.importing.sources import GraphSource, read_graph
from slim2keras.parity.originals import Original, of_graph
from slim2keras.slim.functions import SlimFunction, trace_function


def by_own_graph(network: Network, path: Path) -> dict[str, Original] | None:
    """The graph that a network was imported from, as it is at inference and, if it trains, in training.

    Args:
        network: Imported from a file.
        path: The file.

    Returns:
        Rung to judge, ``None`` if the network was not imported from a file.

    Raises:
        CheckpointReadError: If the file cannot be read any more.
    """
    origin = origin_of(network)
    if origin is None:
        return None
    source = read_graph(path)
    values = origin["placeholder_values"]
    prepared = prepare(source, origin["input_tensors"], origin["output_tensors"], values)
    names = {name: source.end_points.get(name, name) for name in network.graph.end_points}
    rungs = ("inference", "training") if can_train(source, prepared) else ("inference",)
    return {rung: _original(source, prepared, names, values, training=rung == "training") for rung in rungs}


def by_meta_graph(network: Network, path: Path) -> dict[str, Original]:
    """The graph in the ``.meta`` beside the checkpoint of a network of the zoo, where slim does not judge it.

    Only outputs and layers with variables are compared: these are named alike in both.

    Raises:
        CheckpointReadError: If the file cannot be read.
        UnsupportedGraphError: If it is not clear where the network in it begins or ends.
    """
    source = read_graph(path)
    prepared = prepare(source, (), (), {})
    rungs = ("inference", "training") if can_train(source, prepared) else ("inference",)
    return {rung: _original(source, prepared, {}, {}, training=rung == "training") for rung in rungs}


def by_function(network: Network, function: SlimFunction, arguments: Mapping[str, Any]) -> dict[str, Original]:
    """What the user's own function lays at inference and in training; end points are compared by its names.

    Raises:
        UnsupportedArgumentError: With what fails in the function.
    """
    found = {}
    for rung in ("inference", "training"):
        source = trace_function(function, network.input_shape, arguments, is_training=rung == "training")
        prepared = prepare(source, (), (), {})
        found[rung] = _original(source, prepared, source.end_points, {}, training=rung == "training")
    return found


def origin_of(network: Network) -> Mapping[str, Any] | None:
    """Where a network was imported from, ``None`` if it comes from no file."""
    origin = network.origin if isinstance(network, GraphNetwork) else None
    return None if origin is None or origin["kind"] == "function" else origin


def _original(
    source: GraphSource,
    prepared: PreparedGraph,
    names: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    training: bool,
) -> Original:
    wanted = (*names.values(), *prepared.outputs)
    judged = judged_graph(source, prepared, wanted, values, training=training)
    return of_graph(judged, source.regularization_losses, prepared.outputs, names)
