"""Convolutions, dense layers, BatchNorm and PReLU of a graph as stock Keras layers with its variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slim2keras.graphs.initializers import ZEROS
from slim2keras.importing.batch_norms import Norm
from slim2keras.importing.node import Node
from slim2keras.importing.sizes import Size, ceil_div, known, product
from slim2keras.importing.spellings import Window, window_of
from slim2keras.importing.translation import Activation, Known, Translation, Value, Weight, is_batched, translates

_STATISTICS = ("moving_mean", "moving_variance")


def is_channels_last(node: Node) -> bool:
    """Whether an op has the channels last, as Keras' layers on a CPU do."""
    return not node.text("data_format").startswith("NC")


def moved(size: Size, window: int, stride: int, padding: str) -> Size:
    """Size of what a window, dilated already, gives when it moves over ``size`` pixels."""
    return ceil_div(size, stride) if padding == "SAME" else (size - window) // stride + 1


def _moved_over(x: Activation, kernel: Sequence[int], window: Window) -> tuple[Size, ...]:
    extents = [(extent - 1) * rate + 1 for extent, rate in zip(kernel, window.dilations, strict=True)]
    sizes = zip(x.shape[1:-1], extents, window.strides, strict=True)
    return tuple(moved(size, extent, stride, window.padding) for size, extent, stride in sizes)


def _is_stock(window: Window) -> bool:
    """Whether Keras has such a window: one that is strided or dilated, not both."""
    return window.padding in ("SAME", "VALID") and {1} in (set(window.dilations), set(window.strides))


def _is_square(window: Window) -> bool:
    return len(set(window.strides)) == 1 and len(set(window.dilations)) == 1


def _config(window: Window, kernel: Sequence[int]) -> dict[str, Any]:
    return {
        "kernel_size": tuple(kernel),
        "strides": window.strides,
        "padding": window.padding.lower(),
        "dilation_rate": window.dilations,
    }


def _biases(translation: Translation, bias: Weight | None) -> dict[str, Any]:
    if bias is None:
        return {"use_bias": False}
    return {"use_bias": True, "bias_initializer": ZEROS, "bias_regularizer": translation.regularizer(bias)}


def _fits(bias: Weight | None, filters: int) -> bool:
    """Whether a bias, if there is one, has a number a filter."""
    return bias is None or bias.shape == (filters,)


def _present(**weights: Weight | None) -> dict[str, Weight]:
    return {leaf: weight for leaf, weight in weights.items() if weight is not None}


def _inputs(
    translation: Translation, node: Node, position: int, num: int = 2
) -> tuple[Activation, Weight, Weight | None] | None:
    """Activation, weights and bias of a layer, ``None`` if it is none that a stock layer can be.

    Args:
        position: Of the activation among the inputs of the op.
        num: Inputs that the op has without a bias.
    """
    weights, has_bias = translation.weight(node.inputs[1]), len(node.inputs) > num
    bias = translation.weight(node.inputs[num]) if has_bias else None
    if weights is None or (has_bias and bias is None) or not is_channels_last(node):
        return None
    names = [item.name for item in (weights, bias) if item is not None]
    if len({translation.facts.is_trained(item) for item in names}) > 1:
        # Keras freezes a layer as a whole.
        return None
    x = translation.value(node.inputs[position])
    if not isinstance(x, Activation) or not is_batched(x) or translation.owns(names):
        return None
    return x, weights, bias


@translates("Conv2D", "Conv3D")
def convolution(translation: Translation, node: Node) -> Value | None:
    """``Conv2D`` and ``Conv3D``, strided or dilated, in groups too."""
    found, window = _inputs(translation, node, 0), window_of(node)
    channels = None if found is None else known(found[0].shape[-1])
    if found is None or channels is None or not _is_stock(window):
        return None
    x, weights, bias = found
    *kernel, per_group, filters = weights.shape
    if channels % per_group or filters % (channels // per_group) or not _fits(bias, filters):
        return None
    config = {
        "filters": filters,
        **_config(window, kernel),
        "groups": channels // per_group,
        "kernel_regularizer": translation.regularizer(weights),
        **_biases(translation, bias),
    }
    shape = (x.shape[0], *_moved_over(x, kernel, window), filters)
    kind = f"Conv{len(kernel)}D"
    return translation.add_with_weights(node, kind, config, x, _present(kernel=weights, bias=bias), shape)


@translates("DepthwiseConv2dNative")
def depthwise_convolution(translation: Translation, node: Node) -> Value | None:
    """``DepthwiseConv2D``."""
    found, window = _inputs(translation, node, 0), window_of(node)
    if found is None or not _is_stock(window) or not _is_square(window):
        return None
    x, weights, bias = found
    *kernel, channels, multiplier = weights.shape
    if channels != x.shape[-1] or not _fits(bias, channels * multiplier):
        return None
    config = {
        **_config(window, kernel),
        "depth_multiplier": multiplier,
        "depthwise_regularizer": translation.regularizer(weights),
        **_biases(translation, bias),
    }
    shape = (x.shape[0], *_moved_over(x, kernel, window), channels * multiplier)
    leaves = _present(depthwise_kernel=weights, bias=bias)
    return translation.add_with_weights(node, "DepthwiseConv2D", config, x, leaves, shape)


@translates("SeparableConv2D")
def separable_convolution(translation: Translation, node: Node) -> Value | None:
    """``SeparableConv2D``."""
    found, window = _inputs(translation, node, 0, 3), window_of(node)
    pointwise = translation.weight(node.inputs[2])
    if found is None or pointwise is None or not _is_stock(window) or not _is_square(window):
        return None
    x, weights, bias = found
    *kernel, _, multiplier = weights.shape
    filters = pointwise.shape[-1]
    if not _fits(bias, filters):
        return None
    config = {
        "filters": filters,
        **_config(window, kernel),
        "depth_multiplier": multiplier,
        "depthwise_regularizer": translation.regularizer(weights),
        "pointwise_regularizer": translation.regularizer(pointwise),
        **_biases(translation, bias),
    }
    shape = (x.shape[0], *_moved_over(x, kernel, window), filters)
    leaves = _present(depthwise_kernel=weights, pointwise_kernel=pointwise, bias=bias)
    return translation.add_with_weights(node, "SeparableConv2D", config, x, leaves, shape)


@translates("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def transposed_convolution(translation: Translation, node: Node) -> Value | None:
    """``Conv2DTranspose`` where the sizes are those that Keras gives, whatever else the graph says of the batch."""
    found, window = _inputs(translation, node, 2, 3), window_of(node)
    asked = translation.value(node.inputs[0])
    if found is None or not isinstance(asked, Known) or not _is_stock(window) or set(window.dilations) != {1}:
        return None
    x, weights, bias = found
    *kernel, filters, channels = weights.shape
    if channels != x.shape[-1]:
        return None
    sizes = [
        size * stride + (max(extent - stride, 0) if window.padding == "VALID" else 0)
        for size, extent, stride in zip(x.shape[1:-1], kernel, window.strides, strict=True)
    ]
    if list(asked.value)[1:-1] != sizes or not _fits(bias, filters):
        return None
    config = {
        "filters": filters,
        **_config(window, kernel),
        "kernel_regularizer": translation.regularizer(weights),
        **_biases(translation, bias),
    }
    kind, leaves = f"Conv{len(kernel)}DTranspose", _present(kernel=weights, bias=bias)
    return translation.add_with_weights(node, kind, config, x, leaves, (x.shape[0], *sizes, filters))


@translates("MatMul")
def dense(translation: Translation, node: Node) -> Value | None:
    """``Dense``."""
    found = _inputs(translation, node, 0)
    if found is None or node.flag("transpose_a") or node.flag("transpose_b"):
        return None
    x, weights, bias = found
    units = weights.shape[-1]
    if known(x.shape[-1]) != weights.shape[0] or len(x.shape) != 2 or not _fits(bias, units):
        return None
    config = {
        "units": units,
        "kernel_regularizer": translation.regularizer(weights),
        **_biases(translation, bias),
    }
    leaves = _present(kernel=weights, bias=bias)
    return translation.add_with_weights(node, "Dense", config, x, leaves, (x.shape[0], units))


@translates("BatchNorm")
def batch_norm(translation: Translation, node: Node) -> Value | None:
    """``BatchNormalization``; where tf_keras takes the other of the two variances, at another rank.

    See ``graphs.layers.batch_norm``.
    """
    norm: Norm = node.facts
    x = translation.activation(node.inputs[0])
    leaves = {"gamma": norm.gamma, "beta": norm.beta, "moving_mean": norm.mean, "moving_variance": norm.variance}
    weights = {leaf: translation.weight(tensor) for leaf, tensor in leaves.items() if tensor is not None}
    own = _present(**weights)
    if len(own) < len(weights) or translation.owns([weight.name for weight in own.values()]):
        return None
    if not is_channels_last(node) or any(weight.shape != x.shape[-1:] for weight in own.values()):
        return None
    config = {
        "momentum": _decay(translation, own),
        "epsilon": norm.epsilon,
        "center": norm.beta is not None,
        "scale": norm.gamma is not None,
        **{
            f"{leaf}_regularizer": regularizer
            for leaf in ("gamma", "beta")
            if (regularizer := translation.regularizer(own.get(leaf))) is not None
        },
    }
    if _is_still(translation, own):
        config["trainable"] = False
    name = own["moving_mean"].name.rpartition("/")[0] or node.name
    inner = _of_keras_rank(translation, node, name, x, fused=norm.fused)
    result = translation.add_with_weights(node, "BatchNormalization", config, inner, own, inner.shape)
    return _reshaped(translation, node, f"{name}/Reshape_1", result, x, x.shape)


def _is_still(translation: Translation, weights: Mapping[str, Weight]) -> bool:
    """Whether training changes nothing in a BatchNorm: ``trainable = False`` normalises as the graph does then."""
    parameters = [weights[leaf].name for leaf in ("gamma", "beta") if leaf in weights]
    is_trained = any(translation.facts.is_trained(name) for name in parameters)
    moves = any(weights[leaf].name in translation.facts.decays for leaf in _STATISTICS)
    return bool(parameters) and not is_trained and not moves


def _decay(translation: Translation, weights: Mapping[str, Weight]) -> float:
    """Of the mean, which slim and TensorFlow move as the variance."""
    decays = translation.facts.decays
    known_decays = (decays.get(weights[leaf].name) for leaf in _STATISTICS)
    return next((decay for decay in known_decays if decay is not None), translation.facts.default_decay)


def _of_keras_rank(translation: Translation, node: Node, name: str, x: Activation, *, fused: bool) -> Activation:
    is_features = len(x.shape) == 2
    if fused and is_features:
        shape: tuple[Size, ...] = (x.shape[0], 1, 1, x.shape[-1])
    elif not fused and not is_features:
        shape = (x.shape[0], product(x.shape[1:-1]), x.shape[-1])
    else:
        return x
    return _reshaped(translation, node, f"{name}/Reshape", x, x, shape)


def _reshaped(
    translation: Translation, node: Node, name: str, x: Activation, like: Activation, shape: tuple[Size, ...]
) -> Activation:
    if x.shape == shape:
        return x
    target = tuple(-1 if (size := known(item)) is None else size for item in shape[1:])
    if target.count(-1) > 1:
        return _reshaped_as(translation, name, x, like)
    return translation.add(node, "Reshape", {"target_shape": target}, [x], shape, name=name)


def _reshaped_as(translation: Translation, name: str, x: Activation, like: Activation) -> Activation:
    """Bring into the shape of another tensor, of which several sizes are open."""
    sizes_node, node = Node(f"{name}/Shape", "Shape"), Node(name, "Reshape")
    of_shape = {"op": "Shape", "attributes": {}, "operands": [None]}
    rank = (len(like.shape),)
    sizes = translation.add(sizes_node, "TensorFlowOp", of_shape, [like], rank, dtype="int32")
    of_reshape = {"op": "Reshape", "attributes": {}, "operands": [None, None]}
    return translation.add(node, "TensorFlowOp", of_reshape, [x, sizes], like.shape)


@translates("PRelu")
def prelu(translation: Translation, node: Node) -> Value | None:
    """``PReLU``, one alpha a channel; what it computes is what slim's users wrote by hand."""
    x, alpha = translation.activation(node.inputs[0]), translation.weight(node.inputs[1])
    if alpha is None or len(alpha.shape) != 1 or alpha.shape[0] != x.shape[-1] or translation.owns([alpha.name]):
        return None
    config = {
        "shared_axes": tuple(range(1, len(x.shape) - 1)) or None,
        "alpha_regularizer": translation.regularizer(alpha),
    }
    return translation.add_with_weights(node, "PReLU", config, x, {"alpha": alpha}, x.shape)


KINDS = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative", "SeparableConv2D", "Conv2DBackpropInput", "MatMul"})
"""Ops of layers with weights."""
