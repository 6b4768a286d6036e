"""slim's activations, as stock Keras layers that are named after slim's op."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.arithmetic import multiply, rescale
from slim2keras.graphs.graph import Layer, Tensor
from slim2keras.scopes import join


def relu(x: Tensor, *, name: str) -> Tensor:
    """``tf.nn.relu``."""
    return x.graph.add(Layer("ReLU", name, {}, (x,)), x.shape)


def relu6(x: Tensor, *, name: str) -> Tensor:
    """``tf.nn.relu6``."""
    return x.graph.add(Layer("ReLU", name, {"max_value": 6.0}, (x,)), x.shape)


def sigmoid(x: Tensor, *, name: str) -> Tensor:
    """``tf.sigmoid``."""
    return x.graph.add(Layer("Activation", name, {"activation": "sigmoid"}, (x,)), x.shape)


def hard_sigmoid(x: Tensor, scale: float, *, name: str) -> Tensor:
    """``relu6(x + 3) * scale``; tf_keras' own ``hard_sigmoid`` is ``0.2 x + 0.5``.

    Args:
        scale: 1/6, or the 0.16667 of slim's squeeze-and-excite.
    """
    x = relu6(rescale(x, offset=3.0, name=f"{name}/add"), name=f"{name}/Relu6")
    return rescale(x, scale, name=f"{name}/mul")


def hard_swish(x: Tensor, *, name: str) -> Tensor:
    """``x * relu6(x + 3) / 6``, multiplied in slim's order.

    Source: research/slim/nets/mobilenet/mobilenet_v3.py, ``hard_swish``.
    """
    gate = relu6(rescale(x, offset=3.0, name=f"{name}/add"), name=f"{name}/Relu6")
    return rescale(multiply([x, gate], name=f"{name}/mul"), 1.0 / 6.0, name=f"{name}/mul_1")


def clip_to_6(x: Tensor, *, name: str) -> Tensor:
    """``tf.clip_by_value(x, -6, 6)`` as ``relu6(x) - relu6(-x)``, of which one is always zero."""
    upper = relu6(x, name=f"{name}/Relu6")
    lower = relu6(rescale(x, -1.0, name=f"{name}/Neg"), name=f"{name}/Relu6_1")
    return x.graph.add(Layer("Subtract", name, {}, (upper, lower)), x.shape)


ACTIVATIONS: Mapping[str, tuple[str, Callable[..., Tensor]]] = {
    "relu": ("Relu", relu),
    "relu6": ("Relu6", relu6),
    "hard_swish": ("hard_swish", hard_swish),
    "sigmoid": ("Sigmoid", sigmoid),
}
"""Activations by name: the last part of the layer's name, and the function."""


def activate(x: Tensor, activation: str | None, *, scope: str) -> Tensor:
    """Apply an activation of ``ACTIVATIONS`` below ``scope``, or none.

    Raises:
        UnsupportedArgumentError: If there is no such activation.
    """
    if activation is None:
        return x
    if activation not in ACTIVATIONS:
        raise UnsupportedArgumentError(
            f"activation_fn must be one of {', '.join(map(repr, ACTIVATIONS))}. Received: activation_fn={activation!r}"
        )
    leaf, function = ACTIVATIONS[activation]
    return function(x, name=join(scope, leaf))
