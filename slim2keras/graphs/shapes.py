"""What changes the shape of activations and no value in them, as stock Keras layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.graph import Layer, Shape, Tensor


def pad2d(x: Tensor, before: int, after: int, *, name: str) -> Tensor:
    """Pad height and width with zeros, ``before`` pixels at top and left, ``after`` at bottom and right."""
    height, width, channels = x.shape
    padded = (*(None if size is None else size + before + after for size in (height, width)), channels)
    return x.graph.add(Layer("ZeroPadding2D", name, {"padding": ((before, after), (before, after))}, (x,)), padded)


def crop2d(x: Tensor, before: int, *, name: str) -> Tensor:
    """``x[:, before:, before:]``: leave out the first rows and columns."""
    height, width, channels = x.shape
    cropped = (*(None if size is None else size - before for size in (height, width)), channels)
    return x.graph.add(Layer("Cropping2D", name, {"cropping": ((before, 0), (before, 0))}, (x,)), cropped)


def flatten(x: Tensor, *, name: str) -> Tensor:
    """``slim.flatten``.

    Raises:
        UnsupportedArgumentError: If a size is open: the layer behind it would have no number of inputs.
    """
    if None in x.shape:
        refuse_open_size(x, name)
    return x.graph.add(Layer("Flatten", name, {}, (x,)), (known_product(x.shape),))


def refuse_open_size(x: Tensor, name: str) -> NoReturn:
    """Say that a layer needs an input of fixed size."""
    raise UnsupportedArgumentError(
        f"{name} needs a fixed input size: its number of weights or its branches depend on it. Received: {x.shape}. "
        "Give an input_shape without None."
    )


def reshape(x: Tensor, shape: Shape, *, name: str) -> Tensor:
    """``tf.reshape`` of all but the batch; at most one size may be open.

    Raises:
        UnsupportedArgumentError: If more sizes are open.
    """
    if sum(size is None for size in shape) > 1:
        raise UnsupportedArgumentError(
            f"{name} can leave one size open at most. Received: {shape}. Give an input_shape with fewer None."
        )
    target = tuple(-1 if size is None else size for size in shape)
    return x.graph.add(Layer("Reshape", name, {"target_shape": target}, (x,)), shape)


def concat(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Join activations along the channels."""
    channels = sum(tensor.channels for tensor in tensors)
    layer = Layer("Concatenate", name, {"axis": -1}, tuple(tensors))
    return tensors[0].graph.add(layer, (*tensors[0].shape[:-1], channels))


def spatial_squeeze(x: Tensor, *, name: str) -> Tensor:
    """``tf.squeeze(x, [1, 2])`` of (1, 1, channels).

    Raises:
        UnsupportedArgumentError: If height or width is known and not 1, as slim does.
    """
    if any(size not in (1, None) for size in x.shape[:-1]):
        raise UnsupportedArgumentError(
            f"spatial_squeeze needs logits of 1x1 pixels at {name}. Received: {x.shape[0]}x{x.shape[1]}. "
            "Use spatial_squeeze=False for a map of logits, or global_pool=True where the net has it."
        )
    return reshape(x, (x.channels,), name=name)


def known_product(shape: Shape) -> int | None:
    """Number of values of ``shape``, ``None`` where a size is open."""
    sizes = [size for size in shape if size is not None]
    return math.prod(sizes) if len(sizes) == len(shape) else None
