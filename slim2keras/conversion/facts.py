"""What a checkpoint was made for, where the user does not say: input size and decay, and where they are known from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.checkpoints.training_record import recorded_input_shape
from slim2keras.errors import CheckpointReadError, UnsupportedArgumentError
from slim2keras.graphs.graph import Shape
from slim2keras.importing.meta_graph import read_decays, read_input_shape
from slim2keras.nets import find_net
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.published import PublishedCheckpoint


class FactSource(Enum):
    """Where an input shape or a decay is known from; the channels are those of the weights, unless given."""

    GIVEN = "given"
    PUBLISHED = "published"
    RECORDED = "recorded beside the checkpoint"
    META = "from the .meta"
    GRAPH = "from the graph"
    WEIGHTS = "from the weights"
    DEFAULT = "default"


UNKNOWN_SIZE = (
    "the checkpoint does not tell the size that it was trained on. If it was another, give input_shape=(H, W, C) "
    "(command line: --input-shape H,W,C)."
)
"""What is to be known where a size is ``FactSource.DEFAULT``."""


def with_known_size(
    checkpoint: Checkpoint, spec: NetSpec, published: PublishedCheckpoint | None
) -> tuple[NetSpec, FactSource]:
    """The network at the size that its checkpoint was made for, as far as that is known.

    Args:
        checkpoint: Where the ``.meta`` may lie beside; one that cannot be read tells nothing.
        spec: The network recognised, at its default size or the one that its weights ask for.
        published: The published checkpoint that this is by its name.
    """
    if published:
        return replace(spec, input_shape=(*[published.image_size] * 2, spec.input_shape[-1])), FactSource.PUBLISHED
    first = next(iter(spec.graph.variables()))
    for source, shape in (
        (FactSource.RECORDED, recorded_input_shape(checkpoint)),
        (FactSource.META, read_input_shape(checkpoint.location.prefix, first.name)),
    ):
        if shape is not None and _is_possible(shape, spec, checkpoint):
            return replace(spec, input_shape=shape), source
    is_default = spec.input_shape[:-1] == find_net(spec.net).default_input_shape[:-1]
    return spec, FactSource.DEFAULT if is_default else FactSource.WEIGHTS


def with_known_decay(checkpoint: Checkpoint, spec: NetSpec, given: Mapping[str, Any]) -> tuple[NetSpec, FactSource]:
    """The network with the decay of BatchNorm that it was trained with, as far as that is known.

    Args:
        checkpoint: Where the ``.meta`` may lie beside; one that cannot be read, or whose layers differ, tells nothing.
        spec: The network recognised.
        given: Arguments that the user gave.
    """
    name = spec.decay_argument
    if name is None or name in given:
        return spec, FactSource.GIVEN if name in given else FactSource.DEFAULT
    decays: set[float] = set()
    with contextlib.suppress(CheckpointReadError):
        by_scope = read_decays(checkpoint.location.prefix)
        decays = {decay for scope, decay in by_scope.items() if f"{scope}/moving_mean" in checkpoint.variables}
    if len(decays) != 1:
        return spec, FactSource.DEFAULT
    return spec.with_decay(decays.pop()), FactSource.META


def _is_possible(shape: Shape, spec: NetSpec, checkpoint: Checkpoint) -> bool:
    """Whether a network of this size has the variables of the checkpoint, as far as the one recognised has them.

    slim may have built it with arguments that the checkpoint does not tell, and that this size needs: ``global_pool``.
    """
    if len(shape) != len(spec.input_shape) or shape[-1] != spec.input_shape[-1]:
        return False
    try:
        return _num_agreeing(replace(spec, input_shape=shape), checkpoint) >= _num_agreeing(spec, checkpoint)
    except UnsupportedArgumentError:
        return False


def _num_agreeing(spec: NetSpec, checkpoint: Checkpoint) -> int:
    there = checkpoint.variables
    return sum(item.name in there and there[item.name].shape == item.shape for item in spec.graph.variables())


def describe_input(shape: Sequence[int | None], source: str) -> str:
    """``96 x 96 x 1 (from the .meta)``."""
    return f"{' x '.join('open' if size is None else str(size) for size in shape)} ({source})"
