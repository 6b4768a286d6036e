"""The network that is trained: the checkpoint's, with the classes, the size and the regularization of the training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.checkpoints.load_plan import LoadOptions, check_plan, plan_load
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.conversion.classifier import fresh_scopes, with_classes
from slim2keras.conversion.converting import converted_model
from slim2keras.conversion.plan import ConversionPlan, plan_conversion
from slim2keras.conversion.request import check_asks_nothing
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.files.run_layout import RunLayout, is_run
from slim2keras.graphs.network import Network
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import network_of
from slim2keras.nets import find_net
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing.factory import pipeline_named
from slim2keras.trainer.request import NetworkOptions, TrainingRequest
from slim2keras.training.model_variables import ModelVariables, open_variables

if TYPE_CHECKING:
    import tf_keras

SLIMS_WEIGHT_DECAY = 4e-5

_EXCLUDE_BY = "checkpoint_exclude_scopes={layers}   (command line: --checkpoint-exclude-scopes {commas})"


@dataclass(frozen=True)
class Source:
    """What a training starts from.

    Attributes:
        checkpoint: Slim checkpoint or graph, or a model file as if it were one; open.
        plan: Its own network, and what would become of its variables in that.
        load: How they are loaded.
    """

    checkpoint: Checkpoint
    plan: ConversionPlan
    load: LoadOptions

    @property
    def network(self) -> Network:
        """The checkpoint's own."""
        return self.plan.network


@contextlib.contextmanager
def open_source(request: TrainingRequest) -> Iterator[Source]:
    """Open what a training starts from, and tell its network.

    Raises:
        CheckpointReadError, ModelReadError: If it cannot be read.
        UnrecognisedNetError: If its network cannot be told.
        CheckpointMismatchError: If its variables do not fit that.
    """
    path = model_of_run(request.checkpoint)
    asked = request.of_checkpoint
    check_asks_nothing(path, asked)
    exclude = (*asked.load.exclude, *request.network.checkpoint_exclude_scopes)
    asked = replace(asked, load=replace(asked.load, exclude=exclude))
    with open_variables(path, asked.of_graph) as checkpoint:
        if isinstance(checkpoint, ModelVariables):
            network = network_of(checkpoint.model)
            refuse_folded(network, "trained", path)
            asked = replace(asked, network=network)
        yield Source(checkpoint, plan_conversion(checkpoint, asked, exclude_by=_EXCLUDE_BY), asked.load)


def model_of_run(path: Path) -> Path:
    """The model of a RUN, any other path as it is."""
    return RunLayout(path).model if is_run(path) else path


@dataclass(frozen=True)
class AdaptedNetwork:
    """The network that is trained.

    Attributes:
        plan: The network, and what becomes of the checkpoint's variables.
        load: How they are loaded.
        fresh: Layers that start afresh because the data has other classes.
    """

    plan: ConversionPlan
    load: LoadOptions
    fresh: tuple[str, ...]

    @property
    def network(self) -> Network:
        """That is trained."""
        return self.plan.network

    def model(self, checkpoint: Checkpoint) -> tf_keras.Model:
        """Build it, and give it the values of the checkpoint."""
        return converted_model(checkpoint, self.plan, self.load)


def adapt(source: Source, request: TrainingRequest, num_classes: int) -> AdaptedNetwork:
    """Give the network of a checkpoint classes, size, preprocessing and weight decay of a training.

    Raises:
        UnsupportedArgumentError: If the network cannot have them.
        CheckpointMismatchError: If the checkpoint does not fit what it becomes.
    """
    classified = with_classes(source.network, num_classes)
    network = _with_weight_decay(_with_preprocessing(classified, request), request.network)
    network = _with_size(network, request.images.image_size, is_of_file=isinstance(source.checkpoint, ModelVariables))
    _check_gives_logits(network)
    fresh = fresh_scopes(source.network, classified)
    load = replace(source.load, exclude=(*source.load.exclude, *fresh))
    checkpoint = source.checkpoint.with_constants(source.plan.constants)
    plan = plan_load(
        network.graph.variables(),
        checkpoint.variables,
        checkpoint.kinds,
        exclude=load.exclude,
        use_ema=load.use_ema,
        accounted=source.plan.load.unused,
    )
    title = f"{network.name} (num_classes={num_classes})"
    check_plan(plan, title, len([*network.graph.variables()]), str(checkpoint.given), exclude_by=_EXCLUDE_BY)
    return AdaptedNetwork(replace(source.plan, network=network, load=plan), load, fresh)


def _with_preprocessing(network: Network, request: TrainingRequest) -> Network:
    name = request.images.preprocessing_name
    return network if name is None else network.with_preprocessing(pipeline_named(name))


def _with_weight_decay(network: Network, options: NetworkOptions) -> Network:
    given = options.weight_decay
    if isinstance(network, NetSpec) and "weight_decay" in find_net(network.net).defaults:
        decay = SLIMS_WEIGHT_DECAY if given is None else given
        return replace(network, arguments={**network.arguments, "weight_decay": decay})
    if given is not None:
        raise UnsupportedArgumentError(
            f"{network.name} takes no weight_decay: what of it is regularized, and how much, lies in its graph. Leave "
            "it out."
        )
    return network


def _with_size(network: Network, size: tuple[int, int] | None, *, is_of_file: bool) -> Network:
    if size is None or network.image_size == size:
        return network
    if not isinstance(network, NetSpec):
        wanted = f"{size[0]},{size[1]},{network.input_shape[-1]}"
        how = "convert the checkpoint that the file was made from" if is_of_file else "import it"
        raise UnsupportedArgumentError(
            f"The images of {network.name} are {network.image_size[0]} x {network.image_size[1]}, as its graph has "
            f"them. To train at another size, {how} at that: input_shape=({wanted}) (command line: --input-shape "
            f"{wanted})."
        )
    return replace(network, input_shape=(*network.input_shape[:-3], *size, network.input_shape[-1]))


def _check_gives_logits(network: Network) -> None:
    if not network.gives_logits:
        raise UnsupportedArgumentError(
            f"{network.name} gives probabilities, and slim's loss takes logits. Import it up to them: output_tensors "
            "(command line: --output-tensor)."
        )
