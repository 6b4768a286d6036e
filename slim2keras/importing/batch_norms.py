"""BatchNorm in the spellings of TensorFlow 1: the fused op, or products and sums, on moving or on batch statistics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from slim2keras.importing.moving_averages import MovingAverages
from slim2keras.importing.node import Node, split_tensor
from slim2keras.importing.nodes import Nodes, is_weight

_SUMS = ("Add", "AddV2")
FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_DEFAULT_EPSILON = 1e-4
"""Of the fused op where the graph does not say."""


@dataclass(frozen=True)
class Norm:
    """A BatchNorm.

    Attributes:
        gamma: Tensor, ``None`` if it has none.
        beta: Tensor, ``None`` if it has none.
        mean: Tensor of the moving mean.
        variance: Tensor of the moving variance.
        epsilon: Added to the variance.
        fused: Whether the moving variance takes in the unbiased batch variance.
        batch_mean: Tensor of the mean of the batch where the graph normalises with it, else empty.
        batch_variance: The same of the variance.
    """

    gamma: str | None
    beta: str | None
    mean: str
    variance: str
    epsilon: float
    fused: bool
    batch_mean: str = ""
    batch_variance: str = ""

    @property
    def statistics(self) -> tuple[str, str]:
        """Tensors of the moving statistics."""
        return self.mean, self.variance

    @property
    def parameters(self) -> list[str]:
        """Tensors of its variables."""
        return [item for item in (self.gamma, self.beta, self.mean, self.variance) if item is not None]


@dataclass(frozen=True)
class _Parts:
    """What an unfused BatchNorm is spelled with."""

    x: str
    scale: str
    mean: str
    beta: str | None


class _Spelled(NamedTuple):
    """The same, whatever the order of its ops; gamma and beta may be missing."""

    x: str
    mean: str
    variance: str
    beta: str | None
    gamma: str | None
    epsilon: float


def mark_batch_norms(nodes: Nodes, used: Iterable[Node], averages: MovingAverages) -> None:
    """Put an op ``BatchNorm`` into the place of what spells one.

    Norms by the batch that have no moving statistics stay what they are.
    """
    # The last op first: what is spelled by hand is one without beta, too, and one without gamma.
    for node in reversed(list(used)):
        norm = _SPELLED.get(node.op, _unfused)(nodes, node, averages)
        if norm is not None and _has_weights(nodes, norm[1]) and not node.text("data_format").startswith("NC"):
            x, facts = norm
            nodes.mark(replace(node, op="BatchNorm", inputs=(x, *facts.parameters), controls=(), facts=facts))


def _has_weights(nodes: Nodes, norm: Norm) -> bool:
    """Whether all parameters are variables, a number a channel; a gamma that is computed makes no layer."""
    shapes = {nodes.shape_of_weight(item) for item in norm.parameters if is_weight(nodes, item)}
    return len(shapes) == 1 and all(is_weight(nodes, item) for item in norm.parameters) and len(shapes.pop() or ()) == 1


def _fused(nodes: Nodes, node: Node, averages: MovingAverages) -> tuple[str, Norm] | None:
    x, gamma, beta, mean, variance = node.inputs
    batch_mean = batch_variance = ""
    if node.flag("is_training", default=True):
        batch_mean, batch_variance = f"{node.name}:1", f"{node.name}:2"
        moving = averages.of(batch_mean), averages.of(batch_variance)
        if not all(moving):
            return None
        mean, variance = moving
    epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else _DEFAULT_EPSILON
    is_plain = (_is_all(nodes, gamma, 1.0), _is_all(nodes, beta, 0.0))
    return x, Norm(
        gamma=None if is_plain[0] else nodes.source(gamma),
        beta=None if is_plain[1] else nodes.source(beta),
        mean=nodes.source(mean),
        variance=nodes.source(variance),
        epsilon=rounded(epsilon),
        fused=True,
        batch_mean=batch_mean,
        batch_variance=batch_variance,
    )


def _is_all(nodes: Nodes, tensor: str, value: float) -> bool:
    """Whether a parameter is the constant that stands for none; a frozen variable has a scope's leaf as its name."""
    constant = nodes.constant(tensor)
    is_variable = split_tensor(nodes.source(tensor))[0].rpartition("/")[2] in ("gamma", "beta")
    return constant is not None and not is_variable and bool((constant == value).all())


def rounded(value: float) -> float:
    """A float32 of a protocol buffer as the shortest decimal number that is it: most likely the one written."""
    return float(str(np.float32(value)))


def _unfused(nodes: Nodes, node: Node, averages: MovingAverages) -> tuple[str, Norm] | None:
    """``x * scale + (beta - mean * scale)`` with ``scale = rsqrt(variance + epsilon) * gamma``.

    Source: tensorflow/python/ops/nn_impl.py, ``batch_normalization``.
    """
    spelled = _as_tensorflow_does(nodes, node) or _by_hand(nodes, node)
    if spelled is None:
        return None
    x, mean, variance, beta, gamma, epsilon = spelled
    batch_mean = batch_variance = ""
    if not _is_value(nodes, mean) or not _is_value(nodes, variance):
        batch_mean, batch_variance = mean, variance
        mean, variance = averages.of(mean), averages.of(variance)
        if not mean or not variance:
            return None
    return x, Norm(gamma, beta, mean, variance, epsilon, False, batch_mean, batch_variance)


def _as_tensorflow_does(nodes: Nodes, node: Node) -> _Spelled | None:
    parts = _parts(nodes, node)
    scaled = None if parts is None else _scale(nodes, parts.scale)
    if parts is None or scaled is None:
        return None
    variance, epsilon, gamma = scaled
    return _Spelled(parts.x, parts.mean, variance, parts.beta, gamma, epsilon)


def _by_hand(nodes: Nodes, node: Node) -> _Spelled | None:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, as papers have it; gamma and beta may be missing."""
    beta, scaled = _taken_off(nodes, node, _SUMS)
    gamma, normalised = _taken_off(nodes, scaled, ("Mul",))
    if normalised.op not in ("RealDiv", "Div", "Mul") or len(normalised.inputs) != 2:
        return None
    for centered, root in (normalised.inputs, reversed(normalised.inputs)):
        difference, variance = nodes.node(centered), _under_root(nodes, root, is_divisor=normalised.op != "Mul")
        if difference is not None and difference.op == "Sub" and variance is not None:
            x, mean = map(nodes.source, difference.inputs)
            return _Spelled(x, mean, variance[0], beta, gamma, variance[1])
    return None


def _taken_off(nodes: Nodes, node: Node, ops: tuple[str, ...]) -> tuple[str | None, Node]:
    """The weight that an op adds or multiplies by, and what it does that to; the node itself where it does not."""
    if node.op in ops and len(node.inputs) == 2:
        for weight, other in (node.inputs, reversed(node.inputs)):
            inner = nodes.node(other)
            if is_weight(nodes, weight) and inner is not None and not is_weight(nodes, other):
                return nodes.source(weight), inner
    return None, node


def _under_root(nodes: Nodes, tensor: str, *, is_divisor: bool) -> tuple[str, float] | None:
    """Variance and epsilon of ``sqrt(variance + epsilon)``, or of its reciprocal."""
    node = nodes.node(tensor)
    if not is_divisor:
        scaled = _scale(nodes, tensor)
        return None if scaled is None or scaled[2] is not None else scaled[:2]
    return None if node is None or node.op != "Sqrt" else _variance_and_epsilon(nodes, node.inputs[0])


def _is_value(nodes: Nodes, tensor: str) -> bool:
    return nodes.variable(tensor) is not None or nodes.is_op(tensor, "Const")


def _parts(nodes: Nodes, node: Node) -> _Parts | None:
    if node.op not in _SUMS:
        return None
    for product, offset in (node.inputs, reversed(node.inputs)):
        shift = _shift(nodes, offset)
        factors = nodes.node(product)
        if shift is None or factors is None or factors.op != "Mul":
            continue
        beta, mean, scale = shift
        one, other = map(nodes.source, factors.inputs)
        if scale in (one, other):
            return _Parts(other if one == scale else one, scale, mean, beta)
    return None


def _shift(nodes: Nodes, tensor: str) -> tuple[str | None, str, str] | None:
    """Beta, mean and scale of ``beta - mean * scale``, or of ``-mean * scale``."""
    node = nodes.node(tensor)
    if node is None or node.op not in ("Sub", "Neg", "Mul"):
        return None
    if node.op == "Mul":
        negated = nodes.node(node.inputs[0])
        if negated is None or negated.op != "Neg":
            return None
        return None, nodes.source(negated.inputs[0]), nodes.source(node.inputs[1])
    product = nodes.node(node.inputs[-1])
    if product is None or product.op != "Mul":
        return None
    mean, scale = map(nodes.source, product.inputs)
    if _scale(nodes, scale) is None:
        mean, scale = scale, mean
    return (nodes.source(node.inputs[0]) if node.op == "Sub" else None), mean, scale


def _scale(nodes: Nodes, tensor: str) -> tuple[str, float, str | None] | None:
    """Variance, epsilon and gamma of ``rsqrt(variance + epsilon) * gamma``."""
    node = nodes.node(tensor)
    if node is not None and node.op == "Mul":
        for root, gamma in (node.inputs, reversed(node.inputs)):
            inner = _scale(nodes, root) if nodes.is_op(root, "Rsqrt") else None
            if inner is not None:
                return inner[0], inner[1], nodes.source(gamma)
        return None
    if node is None or node.op != "Rsqrt":
        return None
    found = _variance_and_epsilon(nodes, node.inputs[0])
    return None if found is None else (*found, None)


def _variance_and_epsilon(nodes: Nodes, tensor: str) -> tuple[str, float] | None:
    total = nodes.node(tensor)
    if total is None or total.op not in _SUMS:
        return None
    for variance, epsilon in (total.inputs, reversed(total.inputs)):
        number = nodes.scalar(epsilon)
        if number is not None and nodes.node(variance) is not None:
            return nodes.source(variance), rounded(number)
    return None


def _global(nodes: Nodes, node: Node, averages: MovingAverages) -> tuple[str, Norm]:
    """The op of 2015, which is given its statistics."""
    x, mean, variance, beta, gamma = map(nodes.source, node.inputs)
    has_gamma = node.flag("scale_after_normalization")
    epsilon = rounded(node.attr["variance_epsilon"].f)
    return x, Norm(gamma if has_gamma else None, beta, mean, variance, epsilon, fused=False)


_SPELLED = {**dict.fromkeys(FUSED, _fused), "BatchNormWithGlobalNormalization": _global}
