"""Judges that are graphs: the one that a network was imported from, or what the user's own function lays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.reading import Checkpoint, GraphVariables
from slim2keras.errors import CheckpointReadError, GraphWarning, ModelReadError, UnsupportedArgumentError
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.importing.imported import import_graph
from slim2keras.importing.inputs import describe_inputs
from slim2keras.importing.judged_graph import judged_graph, why_not_in_training
from slim2keras.importing.nodes import Nodes
from slim2keras.importing.origins import graph_hash
from slim2keras.importing.preparing import PreparedGraph, prepare
from slim2keras.importing.request import GraphRequest
from slim2keras.importing.sources import GraphSource, read_graph
from slim2keras.importing.supported_ops import check_supported
from slim2keras.parity.originals import Original, of_graph
from slim2keras.slim.functions import SlimFunction, trace_function
from slim2keras.slim.networks import open_judge

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GraphJudge:
    """What a model is compared with.

    Attributes:
        originals: At inference and, if the graph tells it, in training.
        batch: Number of images that is written into the graph, ``None`` where it is open.
        by_layer: Whether layers are compared by their names, and not end points.
        name: What to call it.
        constants: Values of those of the network's variables that the graph holds as constants.
        not_run: Rung that it cannot judge, and why.
    """

    originals: Mapping[str, Original]
    batch: int | None = None
    by_layer: bool = False
    name: str = "its own graph"
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    def outside(self, checkpoint: Checkpoint, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Values of variables that the graph uses on the way, and that are none of the model's."""
        used = {name for original in self.originals.values() for name in original.shapes}
        return {name: checkpoint[name] for name in used if name in checkpoint and name not in values}


def request_of(network: Network) -> GraphRequest:
    """What was asked of the graph that a network was imported from, nothing if there was none."""
    origin = _origin_of(network)
    if origin is None:
        return GraphRequest()
    return GraphRequest(None, origin["input_tensors"], origin["output_tensors"], origin["placeholder_values"])


def find_graph_judge(
    checkpoint: Checkpoint, network: Network, function: SlimFunction | None, *, slim_is_given: bool
) -> GraphJudge | None:
    """The graph that judges a network, ``None`` if slim's own functions do.

    It is that of the user's function where one is given; else the one that the network was imported from; else, for a
    network that slim does not have, the one beside the checkpoint.

    Args:
        checkpoint: Beside which the graph may lie, or that is one.
        slim_is_given: Whether the user says which slim is to judge the networks of the zoo.

    Raises:
        CheckpointReadError: If the graph is not there any more, or cannot be read.
        UnsupportedArgumentError: With what fails in the function.
        UnsupportedGraphError: If it is not clear where the network in the graph begins or ends.

    Warns:
        GraphWarning: If the graph is not the very file that the network was imported from.
    """
    if function is not None:
        return by_function(network, function)
    if _origin_of(network) is not None:
        return by_own_graph(network, checkpoint)
    return None if slim_is_given or _slim_judges(network) else by_meta_graph(checkpoint)


def by_own_graph(network: Network, checkpoint: Checkpoint) -> GraphJudge:
    """The graph that a network was imported from; the checkpoint is it, or it may lie beside the checkpoint."""
    origin = _origin_of(network)
    assert origin is not None
    source = _read_again(origin, checkpoint)
    values = origin["placeholder_values"]
    prepared = prepare(source, origin["input_tensors"], origin["output_tensors"], values)
    names = {name: source.end_points.get(name, name) for name in network.graph.end_points}
    part = _PartOfGraph(source, prepared, names, _variables_of(network), values)
    return GraphJudge(
        part.originals(),
        _batch(prepared, network),
        constants=_constants(network, checkpoint, source),
        not_run=part.not_run(),
    )


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
    part = _PartOfGraph(source, prepared, names, _variables_of(network))
    batch = _batch(prepared, network)
    return GraphJudge(part.originals(), batch, by_layer=True, name=path.name, not_run=part.not_run())


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
        part = _PartOfGraph(source, prepared, source.end_points, _variables_of(network))
        found[rung] = part.original(rung, knows_all_variables=True)
    return GraphJudge(found, name="its own function")


@dataclass(frozen=True, eq=False)
class _PartOfGraph:
    """The part of a graph that judges a network.

    Attributes:
        source: All of the graph.
        prepared: Its part between inputs and outputs.
        names: End point of ours to the tensor of the graph.
        variables: Names of the network's.
        values: Of placeholders, by name.
    """

    source: GraphSource
    prepared: PreparedGraph
    names: Mapping[str, str]
    variables: frozenset[str]
    values: Mapping[str, Any] = field(default_factory=dict)

    def originals(self) -> dict[str, Original]:
        """At inference and, if the graph tells it, in training."""
        rungs = ("inference",) if why_not_in_training(self.source, self.prepared) else ("inference", "training")
        return {rung: self.original(rung) for rung in rungs}

    def original(self, rung: str, *, knows_all_variables: bool = False) -> Original:
        """At inference, or in training."""
        wanted = (*self.names.values(), *self.prepared.outputs)
        judged = judged_graph(self.source, self.prepared, wanted, self.values, training=rung == "training")
        return of_graph(
            judged,
            self.prepared.outputs,
            self.names,
            self.variables,
            trained=self.source.trainable,
            knows_all_variables=knows_all_variables,
        )

    def not_run(self) -> dict[str, str]:
        """Rungs that the graph cannot judge, and why."""
        of_training = why_not_in_training(self.source, self.prepared)
        found = {"training": of_training, "moving statistics": of_training}
        if self.source.trainable is None:
            found["trainability"] = "the graph does not tell which variables are trained"
        return {rung: why for rung, why in found.items() if why}


def _slim_judges(network: Network) -> bool:
    """Whether the slim that is installed has a network, with its arguments."""
    with open_judge() as judge:
        try:
            judge.unjudged_end_points(network, ())
        except UnsupportedArgumentError:
            return False
    return True


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


def _variables_of(network: Network) -> frozenset[str]:
    return frozenset(variable.name for variable in network.graph.variables())


def _constants(network: Network, checkpoint: Checkpoint, source: GraphSource) -> dict[str, NDArray[Any]]:
    """Values of those variables of a network that a graph holds as constants, and the checkpoint does not have."""
    nodes = Nodes(source.graph)
    lacking = [name for name in _variables_of(network) if name not in checkpoint]
    return {name: value for name in lacking if (value := nodes.constant(name)) is not None}


def _read_again(origin: Mapping[str, Any], checkpoint: Checkpoint) -> GraphSource:
    if isinstance(checkpoint, GraphVariables):
        _warn_if_other(Path(checkpoint.source.path), origin)
        return checkpoint.source
    path, beside = Path(origin["path"]), Path(f"{checkpoint.location.prefix}.meta")
    there = [item for item in (path, beside) if item.exists()]
    if not there:
        raise CheckpointReadError(
            f"The graph that the network was imported from is not there any more, {path}, nor is {beside.name} beside "
            "the checkpoint: put it there. It is what the model is compared with."
        )
    found = next((item for item in there if _is_recorded(item, origin)), there[0])
    _warn_if_other(found, origin)
    return read_graph(found)


def _is_recorded(path: Path, origin: Mapping[str, Any]) -> bool:
    return origin.get("sha256") in (None, graph_hash(path))


def _warn_if_other(path: Path, origin: Mapping[str, Any]) -> None:
    if not _is_recorded(path, origin):
        warnings.warn(
            f"The model is compared with the graph in {path}, which is not the file that it was imported from: that "
            f"was {origin['path']} of SHA-256 {origin['sha256']}. A difference may be one of the graphs; put the file "
            "back to be sure.",
            GraphWarning,
            stacklevel=2,
        )


def _batch(prepared: PreparedGraph, network: Network) -> int | None:
    nodes = prepared.nodes
    inputs = describe_inputs(nodes, prepared.used(), prepared.inputs, network.input_shape)
    return next((item.batch for item in inputs if item.batch is not None), None)
