"""The input size of a network where the user gives none, and where it is known from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from slim2keras.checkpoint import Checkpoint
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graph import Shape
from slim2keras.meta_graph import read_input_shape
from slim2keras.nets import find_net
from slim2keras.published import PublishedCheckpoint
from slim2keras.recognition import NetSpec


class InputShapeSource(Enum):
    """Where an input shape is known from; the channels are always those of the weights, unless given."""

    GIVEN = "given"
    PUBLISHED = "published"
    META = "from the .meta"
    WEIGHTS = "from the weights"
    DEFAULT = "default"


def with_known_size(
    checkpoint: Checkpoint, spec: NetSpec, published: PublishedCheckpoint | None
) -> tuple[NetSpec, InputShapeSource]:
    """The network at the size that its checkpoint was made for, as far as that is known.

    Args:
        checkpoint: Where the ``.meta`` may lie beside; one that cannot be read tells nothing.
        spec: The network recognised, at its default size or the one that its weights ask for.
        published: The published checkpoint that this is by its name.
    """
    if published:
        return replace(
            spec, input_shape=(*[published.image_size] * 2, spec.input_shape[-1])
        ), InputShapeSource.PUBLISHED
    first = next(iter(spec.trace().variables()))
    shape = read_input_shape(checkpoint.location.prefix, first.name)
    if shape is not None and _is_possible(shape, spec, checkpoint):
        return replace(spec, input_shape=shape), InputShapeSource.META
    is_default = spec.input_shape[:-1] == find_net(spec.net).default_input_shape[:-1]
    return spec, InputShapeSource.DEFAULT if is_default else InputShapeSource.WEIGHTS


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
    return sum(item.name in there and there[item.name].shape == item.shape for item in spec.trace().variables())


def describe_input(shape: Sequence[int | None], source: str) -> str:
    """``96 x 96 x 1 (from the .meta)``."""
    return f"{' x '.join('open' if size is None else str(size) for size in shape)} ({source})"
