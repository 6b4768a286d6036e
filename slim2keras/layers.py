"""slim's layer functions with slim's defaults, as stock Keras layers.

Each function appends to the layer graph of its input and returns the output. Layers with variables are named after
their slim scope; the others after slim's op (``.../Relu``, ``.../concat``) or after the end point they produce.

Source: tf_slim/layers/layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graph import Layer, LayerGraph, Shape, Tensor, Variable
from slim2keras.scopes import join, slim_variable_name

Serialised = Mapping[str, Any]
Pair = int | tuple[int, int]

ZEROS: Serialised = {"class_name": "Zeros", "config": {}}
XAVIER: Serialised = {"class_name": "GlorotUniform", "config": {}}
"""``slim.xavier_initializer()``, the default of slim's layers."""

# Keras divides the standard deviation of a truncated normal by that of the unit normal cut at two sigma; slim
# multiplies the variance by 1.3 instead. The scale makes Keras draw with slim's deviation, sqrt(1.3 * 2 / fan_in).
_UNIT_TRUNCATED_STDDEV = 0.87962566103423978
VARIANCE_SCALING: Serialised = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.6 * _UNIT_TRUNCATED_STDDEV**2, "mode": "fan_in", "distribution": "truncated_normal"},
}
"""``slim.variance_scaling_initializer()``: factor 2, fan-in, truncated normal."""


def truncated_normal(stddev: float) -> Serialised:
    """``tf.truncated_normal_initializer(0.0, stddev)``."""
    return {"class_name": "TruncatedNormal", "config": {"mean": 0.0, "stddev": stddev}}


def constant(value: float) -> Serialised:
    """``tf.constant_initializer(value)``."""
    return {"class_name": "Constant", "config": {"value": value}}


def l2_regularizer(scale: float) -> Serialised | None:
    """``slim.l2_regularizer(scale)``: the loss is ``scale * sum(w**2) / 2``, where Keras' L2 has no half."""
    return {"class_name": "L2", "config": {"l2": scale / 2}} if scale else None


@dataclass(frozen=True)
class BatchNorm:
    """Arguments of ``slim.batch_norm`` with slim's defaults.

    Attributes:
        decay: Fraction of the moving statistics that a step keeps; Keras' ``momentum``.
        epsilon: Added to the variance; the fused kernel raises it to at least 1.001e-5, here as in slim.
        scale: Whether there is a gamma. slim's default is no, Keras' is yes.
    """

    decay: float = 0.999
    epsilon: float = 0.001
    scale: bool = False


def inputs(shape: Shape) -> Tensor:
    """Start a graph with images of ``shape`` (height, width, channels)."""
    graph = LayerGraph()
    return graph.add(Layer("InputLayer", "inputs", {"input_shape": shape}, ()), shape)


def conv2d(
    x: Tensor,
    filters: int,
    kernel_size: Pair,
    *,
    name: str,
    stride: int = 1,
    rate: int = 1,
    padding: str = "SAME",
    activation: str | None = "relu",
    batch_norm: BatchNorm | None = None,
    weight_decay: float = 0.0,
    weights_initializer: Serialised = XAVIER,
    biases_initializer: Serialised = ZEROS,
) -> Tensor:
    """``slim.conv2d``: convolve, normalise or add biases, activate.

    Unlike Keras' ``Conv2D`` it activates unless told otherwise, and a normaliser takes the place of the biases.

    Args:
        x: Feature map, (height, width, channels).
        rate: Dilation in pixels.
        padding: ``"SAME"`` or ``"VALID"``.
        weight_decay: Scale of ``slim.l2_regularizer`` on the weights.
        name: Slim scope, e.g. ``"resnet_v1_50/conv1"``.

    Returns:
        (height, width, filters), sizes as the padding has it.

    Source: tf_slim/layers/layers.py, ``convolution``.
    """
    kernel = _pair(kernel_size)
    weights = Variable(slim_variable_name(name, "kernel"), (*kernel, x.channels, filters))
    config = {
        "filters": filters,
        "kernel_size": kernel,
        "strides": stride,
        "padding": padding.lower(),
        "dilation_rate": rate,
        "use_bias": batch_norm is None,
        "kernel_initializer": weights_initializer,
        "kernel_regularizer": l2_regularizer(weight_decay),
        "bias_initializer": biases_initializer,
    }
    variables = [weights]
    if batch_norm is None:
        variables.append(Variable(slim_variable_name(name, "bias"), (filters,)))
    layer = Layer("Conv2D", name, config, (x,), tuple(variables))
    x = x.graph.add(layer, (*_window_size(x, kernel, (stride, stride), padding, name, rate), filters))
    return _normalise_and_activate(x, batch_norm, activation, name)


def separable_conv2d(
    x: Tensor,
    filters: int,
    kernel_size: Pair,
    *,
    name: str,
    depth_multiplier: int,
    stride: int = 1,
    padding: str = "SAME",
    activation: str | None = "relu",
    batch_norm: BatchNorm | None = None,
    weights_initializer: Serialised = XAVIER,
) -> Tensor:
    """``slim.separable_conv2d``: depthwise, then pointwise convolution.

    Args:
        x: Feature map, (height, width, channels).
        depth_multiplier: Output channels of the depthwise convolution per input channel.

    Returns:
        (height, width, filters), sizes as the padding has it.

    Source: tf_slim/layers/layers.py, ``separable_convolution2d``.
    """
    kernel = _pair(kernel_size)
    config = {
        "filters": filters,
        "kernel_size": kernel,
        "strides": stride,
        "padding": padding.lower(),
        "depth_multiplier": depth_multiplier,
        "use_bias": batch_norm is None,
        "depthwise_initializer": weights_initializer,
        "pointwise_initializer": weights_initializer,
    }
    variables = [
        Variable(slim_variable_name(name, "depthwise_kernel"), (*kernel, x.channels, depth_multiplier)),
        Variable(slim_variable_name(name, "pointwise_kernel"), (1, 1, x.channels * depth_multiplier, filters)),
    ]
    if batch_norm is None:
        variables.append(Variable(slim_variable_name(name, "bias"), (filters,)))
    layer = Layer("SeparableConv2D", name, config, (x,), tuple(variables))
    x = x.graph.add(layer, (*_window_size(x, kernel, (stride, stride), padding, name), filters))
    return _normalise_and_activate(x, batch_norm, activation, name)


def batch_norm(x: Tensor, params: BatchNorm, *, name: str, activation: str | None = None) -> Tensor:
    """``slim.batch_norm``; Keras' momentum is slim's decay, the same number with the same meaning.

    Source: tf_slim/layers/layers.py, ``batch_norm``.
    """
    leaves = {"gamma": True, "beta": True, "moving_mean": False, "moving_variance": False}
    variables = tuple(
        Variable(slim_variable_name(name, leaf), (x.channels,), trainable)
        for leaf, trainable in leaves.items()
        if params.scale or leaf != "gamma"
    )
    config = {"momentum": params.decay, "epsilon": params.epsilon, "scale": params.scale}
    x = x.graph.add(Layer("BatchNormalization", name, config, (x,), variables), x.shape)
    return relu(x, name=f"{name}/Relu") if activation == "relu" else x


def relu(x: Tensor, *, name: str) -> Tensor:
    """``tf.nn.relu``."""
    return x.graph.add(Layer("ReLU", name, {}, (x,)), x.shape)


def max_pool2d(x: Tensor, kernel_size: Pair, *, name: str, stride: int = 2, padding: str = "VALID") -> Tensor:
    """``slim.max_pool2d``; stride 2 and VALID unless told otherwise."""
    return _pool2d("MaxPooling2D", x, kernel_size, stride, padding, name)


def avg_pool2d(x: Tensor, kernel_size: Pair, *, name: str, stride: int = 2, padding: str = "VALID") -> Tensor:
    """``slim.avg_pool2d``; stride 2 and VALID unless told otherwise."""
    return _pool2d("AveragePooling2D", x, kernel_size, stride, padding, name)


def global_avg_pool2d(x: Tensor, *, name: str) -> Tensor:
    """``tf.reduce_mean(x, [1, 2], keepdims=True)``."""
    return x.graph.add(Layer("GlobalAveragePooling2D", name, {"keepdims": True}, (x,)), (1, 1, x.channels))


def pad2d(x: Tensor, before: int, after: int, *, name: str) -> Tensor:
    """Pad height and width with zeros, ``before`` pixels at top and left, ``after`` at bottom and right."""
    height, width, channels = x.shape
    padded = (*(None if size is None else size + before + after for size in (height, width)), channels)
    return x.graph.add(Layer("ZeroPadding2D", name, {"padding": ((before, after), (before, after))}, (x,)), padded)


def dropout(x: Tensor, keep_prob: float, *, name: str) -> Tensor:
    """``slim.dropout``, by the probability to *keep* a value."""
    if not 0.0 < keep_prob <= 1.0:
        raise UnsupportedArgumentError(f"dropout_keep_prob must be above 0 and at most 1. Received: {keep_prob}")
    return x.graph.add(Layer("Dropout", name, {"rate": 1.0 - keep_prob}, (x,)), x.shape)


def add(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Sum of activations of equal shape."""
    return tensors[0].graph.add(Layer("Add", name, {}, tuple(tensors)), tensors[0].shape)


def concat(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Join activations along the channels."""
    channels = sum(tensor.channels for tensor in tensors)
    layer = Layer("Concatenate", name, {"axis": -1}, tuple(tensors))
    return tensors[0].graph.add(layer, (*tensors[0].shape[:-1], channels))


def spatial_squeeze(x: Tensor, *, name: str) -> Tensor:
    """``tf.squeeze(x, [1, 2])``.

    Raises:
        UnsupportedArgumentError: If height or width is known and not 1, as slim does.
    """
    if any(size not in (1, None) for size in x.shape[:-1]):
        raise UnsupportedArgumentError(
            f"spatial_squeeze needs logits of 1x1 pixels at {name}. Received: {x.shape[0]}x{x.shape[1]}. "
            "Use spatial_squeeze=False for a map of logits, or global_pool=True where the net has it."
        )
    return x.graph.add(Layer("Reshape", name, {"target_shape": (x.channels,)}, (x,)), (x.channels,))


def identity(x: Tensor, *, name: str) -> Tensor:
    """Give an activation a name of its own."""
    return x.graph.add(Layer("Activation", name, {"activation": "linear"}, (x,)), x.shape)


def softmax(x: Tensor, *, name: str) -> Tensor:
    """``slim.softmax``, over the channels."""
    return x.graph.add(Layer("Softmax", name, {}, (x,)), x.shape)


def _normalise_and_activate(x: Tensor, params: BatchNorm | None, activation: str | None, name: str) -> Tensor:
    if params is not None:
        x = batch_norm(x, params, name=join(name, "BatchNorm"))
    return relu(x, name=join(name, "Relu")) if activation == "relu" else x


def _pool2d(kind: str, x: Tensor, kernel_size: Pair, stride: int, padding: str, name: str) -> Tensor:
    kernel = _pair(kernel_size)
    config = {"pool_size": kernel, "strides": stride, "padding": padding.lower()}
    size = _window_size(x, kernel, (stride, stride), padding, name)
    return x.graph.add(Layer(kind, name, config, (x,)), (*size, x.channels))


def _pair(size: Pair) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _window_size(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: str, name: str, rate: int = 1
) -> tuple[int | None, ...]:
    """Height and width after a window of ``kernel`` pixels, dilated by ``rate``, has moved over ``x`` by ``stride``."""
    if padding not in ("SAME", "VALID"):
        raise UnsupportedArgumentError(f'padding of {name} must be "SAME" or "VALID". Received: {padding!r}')
    return tuple(
        None if size is None else _moved_window(size, (extent - 1) * rate + 1, step, padding, name)
        for size, extent, step in zip(x.shape[:-1], kernel, stride, strict=True)
    )


def _moved_window(size: int, extent: int, step: int, padding: str, name: str) -> int:
    if padding == "SAME":
        return -(-size // step)
    if size < extent:
        raise UnsupportedArgumentError(
            f"The input is too small: {name} needs at least {extent} pixels and gets {size}. "
            "Give a larger input_shape, or None for height and width."
        )
    return (size - extent) // step + 1
