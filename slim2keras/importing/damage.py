"""Graphs that make no sense, as files from anybody may be: one clear error each, and bounds on what they ask for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slim2keras.errors import CheckpointReadError, Slim2KerasError, UnsupportedArgumentError, UnsupportedGraphError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_REPEATED = 2**24
"""Values for which one number may stand in a constant; of more, each must be in the file."""

MOST_USED = 20_000
"""Nodes of a network; whole training graphs, with gradients and savers, have about 10,000."""

LARGEST_ACTIVATION = 2**30
"""Values of a tensor for one image, 4 GiB; images of 2048 pixels with 128 channels have half."""


def array_of(name: str, tensor: Any) -> NDArray[Any]:
    """The value of a constant.

    Args:
        name: Of its node.
        tensor: ``TensorProto``, which may give one number for all.

    Raises:
        CheckpointReadError: If it is none, or would fill the memory.
    """
    import tensorflow as tf

    sizes = [axis.size for axis in tensor.tensor_shape.dim]
    try:
        if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
            raise ValueError("its shape is open")
        if math.prod(sizes) > LARGEST_REPEATED and not tensor.tensor_content:
            raise ValueError(f"it is to have the shape {sizes}, and its values are not there")
        value: NDArray[Any] = tf.make_ndarray(tensor)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise CheckpointReadError(
            f"The graph is damaged: the constant {name} cannot be read, {_told(error)}. Copy the file again, or give "
            "another."
        ) from error
    return value


def check_size(name: str, sizes: Sequence[object]) -> None:
    """Refuse a tensor that cannot be.

    Args:
        name: Of the node that gives it.
        sizes: Without the number of images; what is open counts as one.

    Raises:
        UnsupportedGraphError: If a size is negative, or all of it would fill the memory.
    """
    known = [size for size in sizes if isinstance(size, int)]
    if min(known, default=0) < 0 or math.prod(known) > LARGEST_ACTIVATION:
        shape = tuple(size if isinstance(size, int) else None for size in sizes)
        raise UnsupportedGraphError(
            f"{name} gives a tensor of shape {shape} for an image, which no network does: the graph is damaged, or "
            "made for other images. Give their shape, input_shape=(H, W, C) (command line: --input-shape H,W,C), or "
            "another graph."
        )


def check_attributes(name: str, attributes: Mapping[str, Any]) -> None:
    """Refuse windows, strides and the like that fit into no 32 bits: optimisers of TensorFlow end the process then.

    Args:
        name: Of the node.
        attributes: Protocol buffers.

    Raises:
        UnsupportedGraphError: With the attribute.
    """
    for key, value in attributes.items():
        if any(not -(2**31) <= item < 2**31 for item in value.list.i):
            raise UnsupportedGraphError(
                f"The graph is damaged: {name} has {key} {list(value.list.i)!s:.80}, which TensorFlow does not take. "
                "Copy the file again, or give another."
            )


def check_length(used: Sequence[object]) -> None:
    """Refuse a network of more nodes than can be followed, and built, in minutes.

    Raises:
        UnsupportedGraphError: With their number.
    """
    if len(used) > MOST_USED:
        raise UnsupportedGraphError(
            f"There are {len(used)} nodes between the inputs and the outputs, and networks of more than {MOST_USED} "
            "are not imported. Name inputs and outputs that are nearer: input_tensors=[...], output_tensors=[...] "
            "(command line: --input-tensor NAME, --output-tensor NAME)."
        )


@contextlib.contextmanager
def told_as_damage(where: str) -> Iterator[None]:
    """Turn whatever a graph that makes no sense lets Python, NumPy or TensorFlow raise into one error.

    There is no list of all that may be wrong in a graph, as there is none of all errors of a checkpoint's reader.

    Args:
        where: Of what in which file it is.

    Raises:
        UnsupportedGraphError: With the error.
        CheckpointReadError: As it was raised, with the file.
    """
    try:
        yield
    except CheckpointReadError as error:
        raise _at(where, error) from error.__cause__
    except Exception as error:
        # Layers of ours refuse arguments, which are the graph's here.
        if isinstance(error, Slim2KerasError) and not isinstance(error, UnsupportedArgumentError):
            raise
        raise UnsupportedGraphError(
            f"{where} makes no sense to slim2keras: {_told(error)}. The graph is damaged, made for images of another "
            "shape, or spells something as no graph yet did. Copy the file again; or name tensors between which the "
            "network is, input_tensors=[...], output_tensors=[...] (command line: --input-tensor NAME, "
            "--output-tensor NAME)."
        ) from error


@contextlib.contextmanager
def told_of(path: str) -> Iterator[None]:
    """Have what is said against a graph name its file.

    Raises:
        UnsupportedGraphError: As it was raised, with the file.
    """
    try:
        yield
    except UnsupportedGraphError as error:
        raise _at(path, error) from error.__cause__


def _at(where: str, error: Exception) -> Exception:
    return error if where in str(error) else type(error)(f"{where}: {error}")


def _told(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")[:200].rstrip(". ")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
