"""Layers that graphs spell with several ops: dilated and separable convolutions, biases, PReLU, leaky ReLU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from slim2keras.importing.batch_norms import rounded
from slim2keras.importing.node import Node
from slim2keras.importing.nodes import Nodes, is_weight, walk

_SPATIAL = ("Conv2D", "DepthwiseConv2dNative")
_SUMS = ("Add", "AddV2")
TAKES_BIAS = {
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul"), 2),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2", "SeparableConv2D"), 3),
}
"""Ops that a bias belongs to, with their number of inputs; the second is the weights."""
_OF_SHAPE = ("Shape", "ShapeN", "Size", "Rank")
_MOST_FACTORS = 8
"""Of an activation; a product of more is none."""
_SEPARABLE_LEAVES = (("depthwise_weights", "pointwise_weights"), ("depthwise_kernel", "pointwise_kernel"))


@dataclass(frozen=True)
class Window:
    """How a convolution moves over an image.

    Attributes:
        strides: Pixels, one number an axis.
        dilations: Pixels.
        padding: ``"SAME"``, ``"VALID"`` or ``"EXPLICIT"``.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str


def window_of(node: Node) -> Window:
    """The window of a convolution or a pool."""
    if isinstance(node.facts, Window):
        return node.facts
    strides = node.ints("strides")[1:-1]
    dilations = node.ints("dilations")[1:-1] or (1,) * len(strides)
    return Window(strides, dilations, node.text("padding"))


def mark_dilated(nodes: Nodes, used: Iterable[Node]) -> None:
    """Make one convolution of a space-to-batch, a convolution and a batch-to-space.

    Source: tensorflow/python/ops/nn_ops.py, ``with_space_to_batch``.
    """
    for node in used:
        convolution = nodes.node(node.inputs[0]) if node.op == "BatchToSpaceND" else None
        if convolution is None or convolution.op not in _SPATIAL:
            continue
        to_batch = nodes.node(convolution.inputs[0])
        block = nodes.constant(node.inputs[1])
        if to_batch is None or to_batch.op != "SpaceToBatchND" or block is None:
            continue
        padding = _padding_of(nodes, to_batch, convolution, node)
        if padding and set(window_of(convolution).strides) == {1}:
            window = Window(window_of(convolution).strides, tuple(map(int, block)), padding)
            inputs = (to_batch.inputs[0], *convolution.inputs[1:])
            nodes.mark(replace(convolution, name=node.name, inputs=inputs, controls=(), facts=window))


def _padding_of(nodes: Nodes, to_batch: Node, convolution: Node, from_batch: Node) -> str:
    """The padding that a dilated convolution was asked for, empty if it is neither of the two."""
    shape, block = nodes.shape_of_weight(convolution.inputs[1]), nodes.constant(from_batch.inputs[1])
    same_block = nodes.constant(to_batch.inputs[1])
    if shape is None or block is None or same_block is None or window_of(convolution).padding != "VALID":
        return ""
    crops, paddings = _rows(nodes, from_batch.inputs[2]), _rows(nodes, to_batch.inputs[2])
    if paddings is None or not np.array_equal(block, same_block) or (crops is not None and crops[:, 0].any()):
        return ""
    total = (np.asarray(shape[:2]) - 1) * block
    is_whole = nodes.constant(to_batch.inputs[2]) is not None and crops is not None
    before, after = paddings[:, 0], paddings[:, 1] - (crops[:, 1] if is_whole and crops is not None else 0)
    if np.array_equal(before, total // 2) and np.array_equal(after, total - total // 2):
        return "SAME"
    return "VALID" if not before.any() and not after.any() else ""


def _rows(nodes: Nodes, tensor: str) -> Any:
    """Paddings or crops as far as they are constants: where sizes are open, those before it is made divisible."""
    for item, _ in walk(nodes, tensor, lambda node: node.op != "Const"):
        value = nodes.constant(item)
        if value is not None and value.shape == (2, 2):
            return value
    return None


def mark_separable(nodes: Nodes, used: list[Node], kept: Iterable[str]) -> None:
    """Make one of a depthwise convolution and the pointwise one behind it, where slim keeps them in one scope.

    Args:
        kept: Tensors that are asked for.
    """
    consumers, kept = nodes.consumers(used), {nodes.source(item) for item in kept}
    for node in used:
        depthwise = nodes.node(node.inputs[0]) if node.op == "Conv2D" else None
        if depthwise is None or depthwise.op != "DepthwiseConv2dNative" or len(consumers[depthwise.name]) > 1:
            continue
        if depthwise.name in kept:
            continue
        weights = [nodes.source(item.inputs[1]) for item in (depthwise, node)]
        leaves = tuple(weight.rpartition("/")[2] for weight in weights)
        scopes = {weight.rpartition("/")[0] for weight in weights}
        if leaves in _SEPARABLE_LEAVES and len(scopes) == 1 and set(window_of(node).strides) == {1}:
            facts = window_of(depthwise)
            nodes.mark(replace(node, op="SeparableConv2D", inputs=(depthwise.inputs[0], *weights), facts=facts))


def mark_biases(nodes: Nodes, used: list[Node], kept: Iterable[str]) -> None:
    """Hand a bias to the layer that it is added to, where nobody else asks for the sum without it.

    Args:
        kept: Tensors that are asked for.
    """
    consumers = nodes.consumers(item for item in used if item.op not in _OF_SHAPE)
    kept = {nodes.source(item) for item in kept}
    for node in used:
        found = _biased(nodes, node) if node.op in ("BiasAdd", *_SUMS) else None
        if found is not None and consumers[found[0].name] == [node] and found[0].name not in kept:
            layer, bias = found
            inputs = (*layer.inputs, nodes.source(bias))
            # Who asks for the shape alone gets it of the sum.
            nodes.mark(replace(layer, name=node.name, inputs=inputs, controls=()), alias=layer.name)


def _biased(nodes: Nodes, node: Node) -> tuple[Node, str] | None:
    """The layer that a sum adds a bias to, and the bias."""
    orders: Iterable[Any] = (node.inputs, reversed(node.inputs)) if node.op in _SUMS else (node.inputs,)
    for tensor, bias in orders:
        layer = nodes.node(tensor)
        if layer is not None and _takes(nodes, layer, bias):
            return layer, bias
    return None


def _takes(nodes: Nodes, layer: Node, bias: str) -> bool:
    """Whether a layer has weights and no bias yet, and this is one."""
    if TAKES_BIAS.get(layer.op) != len(layer.inputs) or not is_weight(nodes, bias):
        return False
    shape = nodes.shape_of_weight(bias)
    return is_weight(nodes, layer.inputs[1]) and shape is not None and len(shape) == 1


def mark_activations(nodes: Nodes, used: Iterable[Node]) -> None:
    """Put ``PRelu`` and ``LeakyRelu`` into the place of what spells them."""
    for node in used:
        marked = _leaky_relu(nodes, node) if node.op == "Maximum" else _prelu(nodes, node)
        if marked is not None:
            nodes.mark(marked)


def _leaky_relu(nodes: Nodes, node: Node) -> Node | None:
    """``maximum(alpha * x, x)``."""
    for product, x in (node.inputs, reversed(node.inputs)):
        factors = _factors(nodes, product)
        numbers = [nodes.scalar(item) for item in factors if nodes.scalar(item) is not None]
        if len(factors) == 2 and len(numbers) == 1 and nodes.source(x) in factors and 0.0 <= (numbers[0] or 0.0) < 1.0:
            return replace(node, op="LeakyRelu", inputs=(nodes.source(x),), facts=rounded(numbers[0] or 0.0))
    return None


def _prelu(nodes: Nodes, node: Node) -> Node | None:
    """``relu(x) + alpha * (x - abs(x)) * 0.5``, ``relu(x) + alpha * minimum(x, 0)``, ``relu(x) - alpha * relu(-x)``."""
    if node.op not in (*_SUMS, "Sub"):
        return None
    orders: Iterable[Any] = (node.inputs,) if node.op == "Sub" else (node.inputs, reversed(node.inputs))
    negative = _mirrored if node.op == "Sub" else _negative_part
    for positive, product in orders:
        relu = nodes.node(positive)
        if relu is not None and relu.op == "Relu":
            x = nodes.source(relu.inputs[0])
            alphas = list(_others(nodes, _factors(nodes, product), partial(negative, nodes, x)))
            if len(alphas) == 1 and is_weight(nodes, alphas[0]):
                return replace(node, op="PRelu", inputs=(x, alphas[0]))
    return None


def _others(nodes: Nodes, factors: list[str], is_negative: Any) -> Iterator[str]:
    """What a product has besides the negative part of ``x``; nothing where it has none."""
    parts: list[float] = [share for share in map(is_negative, factors) if share is not None]
    if len(parts) != 1:
        return
    numbers = [value for value in map(nodes.scalar, factors) if value is not None]
    if parts[0] * float(np.prod(numbers)) == 1.0:
        yield from (item for item in factors if is_negative(item) is None and nodes.scalar(item) is None)


def _negative_part(nodes: Nodes, x: str, tensor: str) -> float | None:
    """How often a tensor has ``minimum(x, 0)``, ``None`` if it is something else."""
    node = nodes.node(tensor)
    if node is None or x not in nodes.inputs_of(node.name):
        return None
    if node.op == "Minimum" and 0.0 in map(nodes.scalar, node.inputs):
        return 1.0
    other = nodes.node(node.inputs[1]) if node.op == "Sub" else None
    is_difference = other is not None and other.op == "Abs" and nodes.source(other.inputs[0]) == x
    return 2.0 if is_difference else None


def _mirrored(nodes: Nodes, x: str, tensor: str) -> float | None:
    """The same of ``relu(-x)``."""
    node = nodes.node(tensor)
    negated = nodes.node(node.inputs[0]) if node is not None and node.op == "Relu" else None
    return 1.0 if negated is not None and negated.op == "Neg" and nodes.source(negated.inputs[0]) == x else None


def _factors(nodes: Nodes, tensor: str) -> list[str]:
    """What a tensor is a product of."""
    found: list[str] = []
    pending = [tensor]
    while pending:
        if len(found) + len(pending) > _MOST_FACTORS:
            return [nodes.source(tensor)]
        item = pending.pop()
        node = nodes.node(item)
        if node is None or node.op != "Mul":
            found.append(nodes.source(item))
        else:
            pending += reversed(node.inputs)
    return found
