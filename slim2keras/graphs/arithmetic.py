"""Sums and products of activations, as stock Keras layers."""

from __future__ import annotations

from collections.abc import Sequence

from slim2keras.graphs.graph import Layer, Tensor


def add(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Sum of activations of equal shape."""
    return tensors[0].graph.add(Layer("Add", name, {}, tuple(tensors)), tensors[0].shape)


def multiply(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Product of activations; a later one may have one pixel for all."""
    return tensors[0].graph.add(Layer("Multiply", name, {}, tuple(tensors)), tensors[0].shape)


def rescale(x: Tensor, scale: float = 1.0, *, offset: float = 0.0, name: str) -> Tensor:
    """``x * scale + offset``."""
    return x.graph.add(Layer("Rescaling", name, {"scale": scale, "offset": offset}, (x,)), x.shape)
