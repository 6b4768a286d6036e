"""Which graph a checkpoint is converted by: the one asked for, a function's, or the one beside the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slim2keras.checkpoints.reading import Checkpoint, GraphVariables
from slim2keras.conversion.request import CheckpointRequest, SlimFunction
from slim2keras.errors import CheckpointReadError
from slim2keras.graphs.graph import Shape
from slim2keras.graphs.network import Network
from slim2keras.importing.request import FoundGraph
from slim2keras.importing.sources import GraphSource, read_graph
from slim2keras.slim.functions import trace_function


def with_found_graph(checkpoint: Checkpoint, request: CheckpointRequest) -> CheckpointRequest:
    """The same request with the graph that it asks for imported, so that this is done once."""
    return replace(request, found=find_graph(checkpoint, request))


def find_graph(checkpoint: Checkpoint, request: CheckpointRequest) -> FoundGraph | None:
    """The graph that a request asks for, imported; ``None`` if it asks for none.

    Raises:
        CheckpointReadError: If it cannot be read.
        UnsupportedGraphError: If it is no network of layers.
        UnsupportedArgumentError: If a function fails.
    """
    if request.found is not None or isinstance(request.network, Network):
        return request.found
    if request.network is not None and request.input_shape is not None:
        return _trace(request, request.network, request.input_shape)
    if request.graph.path is not None:
        return _import(request, read_graph(request.graph.path))
    if isinstance(checkpoint, GraphVariables):
        return FoundGraph(checkpoint.source, checkpoint.imported, checkpoint.source.variables)
    return find_graph_beside(checkpoint, request) if request.graph.told else None


def find_graph_beside(checkpoint: Checkpoint, request: CheckpointRequest, why: str = "") -> FoundGraph:
    """The graph in the ``.meta`` that slim wrote beside a checkpoint, imported.

    Args:
        why: Why it is taken, where the user did not ask for it.

    Raises:
        CheckpointReadError: If it is not there, or cannot be read.
        UnsupportedGraphError: If it is no network of layers.
    """
    meta = meta_path(checkpoint)
    if not meta.is_file():
        raise CheckpointReadError(
            f"{', '.join(request.graph.told)} are of a graph, and there is no {meta.name} beside {checkpoint.given}. "
            "Give the graph: graph=PATH (command line: --graph PATH)."
        )
    return _import(request, read_graph(meta), why)


def meta_path(checkpoint: Checkpoint) -> Path:
    """Where slim writes the graph of a checkpoint."""
    return Path(f"{checkpoint.location.prefix}.meta")


def _trace(request: CheckpointRequest, function: SlimFunction, input_shape: Shape) -> FoundGraph:
    """The network of a function, traced as it trains and as it does not."""
    inference, training = (
        trace_function(function, input_shape, request.arguments, is_training=is_training)
        for is_training in (False, True)
    )
    imported = request.of_graph.import_source(inference, training)
    return FoundGraph(inference, imported, inference.variables | training.variables)


def _import(request: CheckpointRequest, source: GraphSource, why: str = "") -> FoundGraph:
    return FoundGraph(source, request.of_graph.import_source(source), source.variables, why)
