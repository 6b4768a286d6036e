"""What a conversion would do: the network, and what becomes of every variable."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slim2keras.checkpoints.load_plan import EXCLUDE_ANYWHERE, LoadPlan, check_plan, plan_load
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.conversion.facts import FactSource, describe_input, with_known_decay, with_known_size
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import PreprocessingWarning
from slim2keras.graphs.graph import Variable
from slim2keras.graphs.network import Network
from slim2keras.recognition.from_variables import Candidate, recognise, variables_left_out
from slim2keras.recognition.published import PublishedCheckpoint, find_published


@dataclass(frozen=True)
class ConversionPlan:
    """What a conversion would do.

    Attributes:
        network: The network given or recognised.
        load: What becomes of each variable.
        published: The published checkpoint that this is by its name.
        input_shape_source: Where the size of the images is from.
        decay_source: Where the decay of BatchNorm is from.
    """

    network: Network
    load: LoadPlan
    published: PublishedCheckpoint | None = None
    input_shape_source: FactSource = FactSource.GIVEN
    decay_source: FactSource = FactSource.GIVEN


def plan_conversion(
    checkpoint: Checkpoint, request: CheckpointRequest | None = None, *, can_exclude: bool = True
) -> ConversionPlan:
    """Find the network and account for every variable; nothing is built or read but names and shapes.

    Args:
        can_exclude: Whether who asks can leave scopes out, so that advice to do so makes sense.

    Raises:
        UnrecognisedNetError: If the network cannot be told.
        CheckpointMismatchError: If a variable is unaccounted for.
    """
    request = request or CheckpointRequest()
    if request.network is not None:
        return ConversionPlan(request.network, _load_plan(checkpoint, request, request.network, {}, can_exclude))
    candidate = recognise_as_asked(checkpoint, request)
    published = find_published(checkpoint.given, candidate.spec)
    spec, shape_source = candidate.spec, FactSource.GIVEN
    if request.input_shape is None:
        spec, shape_source = with_known_size(checkpoint, spec, published)
    spec, decay_source = with_known_decay(checkpoint, spec, request.arguments)
    if published:
        spec = replace(spec, preprocessing=published.preprocessing)
    left_out = dict(variables_left_out(candidate, checkpoint.model_shapes))
    load = _load_plan(checkpoint, request, spec, left_out, can_exclude)
    return ConversionPlan(spec, load, published, shape_source, decay_source)


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
    can_exclude: bool,
) -> LoadPlan:
    wanted, options = list(network.graph.variables()), request.load
    there = checkpoint.variables, checkpoint.kinds
    load = plan_load(wanted, *there, exclude=options.exclude, use_ema=options.use_ema, accounted=left_out)
    title = f"{network.name} (num_classes={network.num_classes})"
    channels = "" if request.network is not None else _channels_hint(load, wanted[0], network)
    hint = channels or _size_hint(load, network)
    exclude_by = EXCLUDE_ANYWHERE if can_exclude and not channels else ""
    check_plan(load, title, len(wanted), str(checkpoint.given), hint, exclude_by=exclude_by)
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
            f"The images are taken at {size}: the checkpoint does not tell the size that it was trained on. If it was "
            "another, give input_shape=(H, W, C) (command line: --input-shape H,W,C).",
            PreprocessingWarning,
            stacklevel=2,
        )


def left_out_by_reason(load: LoadPlan) -> dict[str, int]:
    """Number of checkpoint variables that are not loaded, by the reason why."""
    return dict(Counter(load.unused.values()))
