"""What a conversion would do: the network, and what becomes of every variable."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.load_plan import EXCLUDE_ANYWHERE, LoadPlan, check_plan, plan_load
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.conversion.facts import UNKNOWN_SIZE, FactSource, describe_input, with_known_decay, with_known_size
from slim2keras.conversion.graph_sources import find_graph, find_graph_beside, meta_path
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import CheckpointMismatchError, PreprocessingWarning, Slim2KerasError
from slim2keras.graphs.graph import Variable
from slim2keras.graphs.network import Network
from slim2keras.importing.request import FoundGraph
from slim2keras.recognition.from_variables import Candidate, recognise, variables_left_out
from slim2keras.recognition.published import PublishedCheckpoint, find_published
from slim2keras.scopes import VariableKind

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ConversionPlan:
    """What a conversion would do.

    Attributes:
        network: The network given or recognised.
        load: What becomes of each variable.
        published: The published checkpoint that this is by its name.
        input_shape_source: Where the size of the images is from.
        decay_source: Where the decay of BatchNorm is from.
        graph: The graph that the network was imported from.
    """

    network: Network
    load: LoadPlan
    published: PublishedCheckpoint | None = None
    input_shape_source: FactSource = FactSource.GIVEN
    decay_source: FactSource = FactSource.GIVEN
    graph: FoundGraph | None = None

    @property
    def graph_source(self) -> str:
        """Path or function that the network was imported from, empty for one of the zoo."""
        return self.graph.source.path if self.graph else ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user must be told of an import."""
        return (*filter(None, [self.graph.why]), *self.graph.imported.remarks) if self.graph else ()

    @property
    def constants(self) -> Mapping[str, NDArray[Any]]:
        """Values of variables that are in the graph itself, by name."""
        return self.graph.imported.constants if self.graph else {}


def plan_conversion(
    checkpoint: Checkpoint, request: CheckpointRequest | None = None, *, exclude_by: str = EXCLUDE_ANYWHERE
) -> ConversionPlan:
    """Find the network and account for every variable; nothing is built or read but names and shapes.

    Args:
        exclude_by: How who asks can leave scopes out, for advice; empty if not at all, see ``check_plan``.

    Raises:
        UnrecognisedNetError: If the network cannot be told.
        CheckpointMismatchError: If a variable is unaccounted for.
    """
    request = request or CheckpointRequest()
    if isinstance(request.network, Network):
        return ConversionPlan(request.network, _load_plan(checkpoint, request, request.network, {}, exclude_by))
    if (found := find_graph(checkpoint, request)) is not None:
        return _plan_of_graph(checkpoint, request, found, exclude_by)
    try:
        return _plan_of_zoo(checkpoint, request, exclude_by)
    except CheckpointMismatchError as error:
        if request.names_network or not meta_path(checkpoint).is_file():
            raise
        return _plan_of_graph_beside(checkpoint, request, error, exclude_by)


def _plan_of_zoo(checkpoint: Checkpoint, request: CheckpointRequest, exclude_by: str) -> ConversionPlan:
    candidate = recognise_as_asked(checkpoint, request)
    published = find_published(checkpoint.given, candidate.spec)
    spec, shape_source = candidate.spec, FactSource.GIVEN
    if request.input_shape is None:
        spec, shape_source = with_known_size(checkpoint, spec, published)
    spec, decay_source = with_known_decay(checkpoint, spec, request.arguments)
    if published:
        spec = replace(spec, preprocessing=published.preprocessing)
    left_out = dict(variables_left_out(candidate, checkpoint.model_shapes))
    load = _load_plan(checkpoint, request, spec, left_out, exclude_by)
    return ConversionPlan(spec, load, published, shape_source, decay_source)


def _plan_of_graph_beside(
    checkpoint: Checkpoint, request: CheckpointRequest, error: CheckpointMismatchError, exclude_by: str
) -> ConversionPlan:
    """By the ``.meta`` beside the checkpoint, where the zoo has no network for it.

    Raises:
        CheckpointMismatchError: Why the zoo has none, and why that graph cannot be taken either.
    """
    why = f"No network of slim's zoo fits: the graph beside the checkpoint was taken, {meta_path(checkpoint).name}."
    try:
        return _plan_of_graph(checkpoint, request, find_graph_beside(checkpoint, request, why), exclude_by)
    except Slim2KerasError as second:
        raise type(error)(
            f"{error}\nBeside it lies its graph, {meta_path(checkpoint).name}, which does not help: {second}"
        ) from second


def _plan_of_graph(
    checkpoint: Checkpoint, request: CheckpointRequest, found: FoundGraph, exclude_by: str
) -> ConversionPlan:
    network, of_graph = found.imported.network, FactSource.META if found.source.kind == "meta" else FactSource.GRAPH
    others = found.variables - {variable.name for variable in network.graph.variables()}
    left_out = dict.fromkeys(others.intersection(checkpoint.names(VariableKind.MODEL)), "outside of the network's part")
    available = checkpoint.with_constants(found.imported.constants)
    return ConversionPlan(
        network,
        _load_plan(available, request, network, left_out, exclude_by),
        input_shape_source=of_graph if request.input_shape is None else FactSource.GIVEN,
        decay_source=of_graph if found.imported.decay_is_known else FactSource.DEFAULT,
        graph=found,
    )


def recognise_as_asked(checkpoint: Checkpoint, request: CheckpointRequest) -> Candidate:
    """The network of a checkpoint, as far as it is not said, see ``recognise``."""
    return recognise(
        checkpoint.model_shapes,
        net=request.net,
        input_shape=request.input_shape,
        arguments=request.arguments,
        exclude=request.load.exclude,
        source=str(checkpoint.given),
    )


def _load_plan(
    checkpoint: Checkpoint,
    request: CheckpointRequest,
    network: Network,
    left_out: Mapping[str, str],
    exclude_by: str,
) -> LoadPlan:
    wanted, options = list(network.graph.variables()), request.load
    there = checkpoint.variables, checkpoint.kinds
    load = plan_load(wanted, *there, exclude=options.exclude, use_ema=options.use_ema, accounted=left_out)
    title = f"{network.name} (num_classes={network.num_classes})"
    channels = _channels_hint(load, wanted[0], network) if wanted and request.network is None else ""
    hint = channels or _size_hint(load, network)
    check_plan(load, title, len(wanted), str(checkpoint.given), hint, exclude_by="" if channels else exclude_by)
    return load


def _channels_hint(load: LoadPlan, first: Variable, network: Network) -> str:
    """Next step where the images asked for have other channels than the first weights take."""
    for variable, info in load.wrong_shape:
        if variable.name == first.name and len(info.shape) == len(variable.shape):
            right = (*network.input_shape[:-1], info.shape[-2])
            return (
                f"The checkpoint takes images of {info.shape[-2]} channels, and {variable.shape[-2]} were asked for: "
                f"give input_shape={right} (command line: --input-shape {','.join(map(str, right))})."
            )
    return ""


def _size_hint(load: LoadPlan, network: Network) -> str:
    """Next step where the images were of another size: the auxiliary window of Inception v3 is named after its size."""
    windows = [match for name in load.unexpected if (match := re.search(r"/AuxLogits/Conv2d_2a_(\d+)x(\d+)/", name))]
    if not windows:
        return ""
    return (
        f"The window of AuxLogits is {windows[0][1]}x{windows[0][2]}, which it is not with images of "
        f"{network.input_shape[0]}x{network.input_shape[1]}: give the size that the network was trained with, "
        "input_shape=(H, W, C) (command line: --input-shape H,W,C)."
    )


def warn_of_default_size(plan: ConversionPlan, data: Any) -> None:
    """Say that a folder of images is brought to a size that is but the network's default.

    Warns:
        PreprocessingWarning: If nothing tells the size that the checkpoint was trained on.
    """
    if plan.input_shape_source is FactSource.DEFAULT and isinstance(data, str | Path) and Path(data).is_dir():
        size = describe_input(plan.network.input_shape, plan.input_shape_source.value)
        warnings.warn(
            f"The images are taken at {size}: {UNKNOWN_SIZE}",
            PreprocessingWarning,
            stacklevel=2,
        )


def left_out_by_reason(load: LoadPlan) -> dict[str, int]:
    """Number of checkpoint variables that are not loaded, by the reason why."""
    return dict(Counter(load.unused.values()))
