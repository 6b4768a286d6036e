"""Judges that are graphs: the one that a network was imported from, or what the user's own function lays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slim2keras.checkpoints.reading import Checkpoint, GraphVariables
from slim2keras.errors import CheckpointReadError, ModelReadError
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.importing.imported import import_graph
from slim2keras.importing.inputs import describe_inputs
from slim2keras.importing.judged_graph import JudgedGraph, can_train, judged_graph
from slim2keras.importing.nodes import Nodes
from slim2keras.importing.preparing import PreparedGraph, prepare
from slim2keras.importing.request import GraphRequest
from slim2keras.importing.sources import GraphSource, read_graph
from slim2keras.importing.supported_ops import check_supported
from slim2keras.parity.originals import Original, of_graph
from slim2keras.slim.functions import SlimFunction, trace_function


@dataclass(frozen=True)
class GraphJudge:
    """What a model is compared with.

    Attributes:
        originals: At inference and, if the graph tells it, in training.
        batch: Number of images that is written into the graph, ``None`` where it is open.
        by_layer: Whether layers are compared by their names, and not end points.
        name: What to call it.
    """

    originals: Mapping[str, Original]
    batch: int | None = None
    by_layer: bool = False
    name: str = "its own graph"


def request_of(network: Network) -> GraphRequest:
    """What was asked of the graph that a network was imported from, nothing if there was none."""
    origin = _origin_of(network)
    if origin is None:
        return GraphRequest()
    return GraphRequest(None, origin["input_tensors"], origin["output_tensors"], origin["placeholder_values"])


def own_graph(network: Network, checkpoint: Checkpoint) -> GraphSource | None:
    """The graph that a network was imported from, ``None`` if it comes from no file.

    Args:
        network: Any.
        checkpoint: Beside which the graph may lie, or that is one.

    Raises:
        CheckpointReadError: If the graph is not there any more.
    """
    origin = _origin_of(network)
    return None if origin is None else _read_again(origin["path"], checkpoint)


def with_constants(checkpoint: Checkpoint, network: Network, source: GraphSource) -> Checkpoint:
    """The checkpoint with those variables of a network that its graph holds as constants."""
    nodes = Nodes(source.graph)
    lacking = [variable.name for variable in network.graph.variables() if variable.name not in checkpoint]
    found = {name: value for name in lacking if (value := nodes.constant(name)) is not None}
    return checkpoint.with_constants(found)


def by_own_graph(network: Network, source: GraphSource) -> GraphJudge:
    """The graph that a network was imported from."""
    origin = _origin_of(network)
    assert origin is not None
    values = origin["placeholder_values"]
    prepared = prepare(source, origin["input_tensors"], origin["output_tensors"], values)
    names = {name: source.end_points.get(name, name) for name in network.graph.end_points}
    return GraphJudge(_originals(source, prepared, names, values), _batch(prepared, network))


def by_meta_graph(checkpoint: Checkpoint) -> GraphJudge | None:
    """The graph in the ``.meta`` beside the checkpoint of a network that slim does not judge, ``None`` without one.

    Raises:
        CheckpointReadError: If the file cannot be read.
        UnsupportedGraphError: If it is not clear where the network in it begins or ends.
    """
    path = Path(f"{checkpoint.location.prefix}.meta")
    if not path.is_file():
        return None
    source = read_graph(path)
    prepared = prepare(source, (), (), {})
    network = import_graph(source, name=path.stem).network
    names = {tensor.layer_name: name for name, tensor in network.graph.end_points.items()}
    return GraphJudge(_originals(source, prepared, names, {}), _batch(prepared, network), by_layer=True, name=path.name)


def by_function(network: Network, function: SlimFunction) -> GraphJudge:
    """What the user's own function lays at inference and in training; end points are compared by its names.

    Raises:
        UnsupportedArgumentError: With what fails in the function.
        UnsupportedGraphError: If it does more than compute; dropout is left out.
    """
    found = {}
    for rung in ("inference", "training"):
        source = trace_function(function, network.input_shape, {}, is_training=rung == "training")
        prepared = prepare(source, (), (), {})
        check_supported(prepared.nodes, prepared.used())
        judged = _judged(source, prepared, source.end_points, {}, training=rung == "training")
        losses, outputs = source.regularization_losses, prepared.outputs
        found[rung] = of_graph(judged, losses, outputs, source.end_points, knows_all_variables=True)
    return GraphJudge(found, name="its own function")


def _origin_of(network: Network) -> Mapping[str, Any] | None:
    """Where a network was imported from, ``None`` if it comes from no file.

    Raises:
        ModelReadError: If the file of the model says something else in that place.
    """
    origin = network.origin if isinstance(network, GraphNetwork) else None
    if origin is not None and not _is_origin(origin):
        raise ModelReadError(
            f"The model says that its graph is from {dict(origin)!r:.200}, which is no place: its file is damaged. "
            "Convert the checkpoint again."
        )
    return None if origin is None or origin["kind"] == "function" else origin


def _is_origin(origin: Mapping[str, Any]) -> bool:
    lists = [origin.get("input_tensors"), origin.get("output_tensors")]
    are_lists = all(isinstance(item, list | tuple) and all(isinstance(name, str) for name in item) for item in lists)
    are_texts = all(isinstance(origin.get(name), str) for name in ("path", "kind"))
    return are_lists and are_texts and isinstance(origin.get("placeholder_values"), Mapping)


def _read_again(path: str, checkpoint: Checkpoint) -> GraphSource:
    if isinstance(checkpoint, GraphVariables):
        return checkpoint.source
    beside = Path(f"{checkpoint.location.prefix}.meta")
    found = next((item for item in (Path(path), beside) if item.exists()), None)
    if found is None:
        raise CheckpointReadError(
            f"The graph that the network was imported from is not there any more, {path}, nor is {beside.name} beside "
            "the checkpoint: put it there. It is what the model is compared with."
        )
    return read_graph(found)


def _batch(prepared: PreparedGraph, network: Network) -> int | None:
    nodes = prepared.nodes
    inputs = describe_inputs(nodes, prepared.used(), prepared.inputs, network.input_shape)
    return next((item.batch for item in inputs if item.batch is not None), None)


def _originals(
    source: GraphSource, prepared: PreparedGraph, names: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, Original]:
    rungs: Sequence[str] = ("inference", "training") if can_train(source, prepared) else ("inference",)
    return {rung: _original(source, prepared, names, values, training=rung == "training") for rung in rungs}


def _original(
    source: GraphSource,
    prepared: PreparedGraph,
    names: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    training: bool,
) -> Original:
    judged = _judged(source, prepared, names, values, training=training)
    return of_graph(judged, source.regularization_losses, prepared.outputs, names)


def _judged(
    source: GraphSource,
    prepared: PreparedGraph,
    names: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    training: bool,
) -> JudgedGraph:
    return judged_graph(source, prepared, (*names.values(), *prepared.outputs), values, training=training)
