"""slim's layer functions with slim's defaults, as stock Keras layers.

Each function appends to the layer graph of its input and returns the output. Layers with variables are named after
their slim scope; the others after slim's op (``.../Relu``, ``.../concat``) or after the end point they produce.

Source: tf_slim/layers/layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.activations import activate
from slim2keras.graphs.graph import InitialValue, Layer, LayerGraph, Shape, Tensor, Variable
from slim2keras.graphs.initializers import XAVIER, ZEROS, Serialised, l2_regularizer
from slim2keras.graphs.shapes import known_product, reshape
from slim2keras.scopes import join, slim_variable_name

Window = int | tuple[int, ...]
"""Pixels along each axis, or one number for all of them."""


@dataclass(frozen=True)
class BatchNorm:
    """Arguments of ``slim.batch_norm`` with slim's defaults.

    Attributes:
        decay: Fraction of the moving statistics that a step keeps; Keras' ``momentum``.
        epsilon: Added to the variance; some TensorFlows raise it to 1.001e-5 for the fused kernel, here as in slim.
        scale: Whether there is a gamma. slim's default is no, Keras' is yes.
        fused: Whether the moving variance takes in the unbiased batch variance, as slim's fused kernel has it.
    """

    decay: float = 0.999
    epsilon: float = 0.001
    scale: bool = False
    fused: bool = True


def inputs(shape: Shape) -> Tensor:
    """Start a graph with images, (height, width, channels), or videos, (frames, height, width, channels)."""
    graph = LayerGraph()
    return graph.add(Layer("InputLayer", "inputs", {"input_shape": shape}, ()), shape)


def convolution(
    x: Tensor,
    filters: int,
    kernel_size: Window,
    *,
    name: str,
    stride: Window = 1,
    rate: int = 1,
    padding: str = "SAME",
    activation: str | None = "relu",
    batch_norm: BatchNorm | None = None,
    weight_decay: float = 0.0,
    biases_decay: float = 0.0,
    weights_initializer: Serialised = XAVIER,
    biases_initializer: Serialised | None = ZEROS,
    initial_weights: InitialValue | None = None,
) -> Tensor:
    """``slim.conv2d`` and ``slim.conv3d``: convolve, normalise or add biases, activate.

    Unlike Keras' ``Conv2D`` it activates unless told otherwise, and a normaliser takes the place of the biases.

    Args:
        x: Feature map, (height, width, channels), or (frames, height, width, channels).
        rate: Dilation in pixels.
        padding: ``"SAME"`` or ``"VALID"``.
        activation: Key of ``ACTIVATIONS``.
        weight_decay: Scale of ``slim.l2_regularizer`` on the weights.
        biases_decay: The same on the biases.
        biases_initializer: ``None`` for no biases, as in slim.
        initial_weights: Makes the values to start from, where no initializer of Keras does.
        name: Slim scope, e.g. ``"resnet_v1_50/conv1"``.

    Returns:
        (height, width, filters), sizes as the padding has it.

    Source: tf_slim/layers/layers.py, ``convolution``.
    """
    kernel, strides = _window(x, kernel_size), _window(x, stride)
    use_bias = batch_norm is None and biases_initializer is not None
    config = {
        "filters": filters,
        "kernel_size": kernel,
        "strides": strides,
        "padding": padding.lower(),
        "dilation_rate": _window(x, rate),
        "kernel_initializer": weights_initializer,
        "kernel_regularizer": l2_regularizer(weight_decay),
        **_biases(biases_initializer if use_bias else None, biases_decay),
    }
    leaves = {"kernel": (*kernel, x.channels, filters), "bias": (filters,)}
    size = _window_size(x, kernel, strides, padding, name, rate)
    initial = None if initial_weights is None else {"kernel": initial_weights}
    kind = f"Conv{len(kernel)}D"
    x = _add(kind, x, (*size, filters), config, leaves, use_bias=use_bias, name=name, initial_values=initial)
    return _normalise_and_activate(x, batch_norm, activation, name)


conv2d = conv3d = convolution


def depthwise_conv2d(
    x: Tensor,
    kernel_size: Window,
    *,
    name: str,
    stride: int = 1,
    rate: int = 1,
    padding: str = "SAME",
    activation: str | None = "relu",
    batch_norm: BatchNorm | None = None,
    weight_decay: float = 0.0,
    weights_initializer: Serialised = XAVIER,
) -> Tensor:
    """``slim.separable_conv2d(x, None, ...)``: a convolution of each channel by itself, depth multiplier 1.

    Returns:
        (height, width, channels), sizes as the padding has it.

    Source: tf_slim/layers/layers.py, ``separable_convolution2d`` with ``num_outputs=None``.
    """
    kernel, strides = _window(x, kernel_size), _window(x, stride)
    config = {
        "kernel_size": kernel,
        "strides": strides,
        "padding": padding.lower(),
        "dilation_rate": _window(x, rate),
        "depthwise_initializer": weights_initializer,
        "depthwise_regularizer": l2_regularizer(weight_decay),
        **_biases(None if batch_norm else ZEROS),
    }
    leaves = {"depthwise_kernel": (*kernel, x.channels, 1), "bias": (x.channels,)}
    size = _window_size(x, kernel, strides, padding, name, rate)
    x = _add("DepthwiseConv2D", x, (*size, x.channels), config, leaves, use_bias=batch_norm is None, name=name)
    return _normalise_and_activate(x, batch_norm, activation, name)


def separable_conv2d(
    x: Tensor,
    filters: int,
    kernel_size: Window,
    *,
    name: str,
    depth_multiplier: int,
    stride: int = 1,
    padding: str = "SAME",
    activation: str | None = "relu",
    batch_norm: BatchNorm | None = None,
    weight_decay: float = 0.0,
    weights_initializer: Serialised = XAVIER,
    biases_initializer: Serialised | None = ZEROS,
) -> Tensor:
    """``slim.separable_conv2d``: depthwise, then pointwise convolution.

    Args:
        x: Feature map, (height, width, channels).
        depth_multiplier: Output channels of the depthwise convolution per input channel.
        weight_decay: Scale of ``slim.l2_regularizer`` on the weights of both convolutions.
        biases_initializer: ``None`` for no biases, as in slim.

    Returns:
        (height, width, filters), sizes as the padding has it.

    Source: tf_slim/layers/layers.py, ``separable_convolution2d``.
    """
    kernel, strides = _window(x, kernel_size), _window(x, stride)
    use_bias = batch_norm is None and biases_initializer is not None
    config = {
        "filters": filters,
        "kernel_size": kernel,
        "strides": strides,
        "padding": padding.lower(),
        "depth_multiplier": depth_multiplier,
        "depthwise_initializer": weights_initializer,
        "pointwise_initializer": weights_initializer,
        "depthwise_regularizer": l2_regularizer(weight_decay),
        "pointwise_regularizer": l2_regularizer(weight_decay),
        **_biases(biases_initializer if use_bias else None),
    }
    leaves = {
        "depthwise_kernel": (*kernel, x.channels, depth_multiplier),
        "pointwise_kernel": (1, 1, x.channels * depth_multiplier, filters),
        "bias": (filters,),
    }
    size = _window_size(x, kernel, strides, padding, name)
    x = _add("SeparableConv2D", x, (*size, filters), config, leaves, use_bias=use_bias, name=name)
    return _normalise_and_activate(x, batch_norm, activation, name)


def fully_connected(
    x: Tensor,
    units: int,
    *,
    name: str,
    activation: str | None = "relu",
    batch_norm: BatchNorm | None = None,
    weight_decay: float = 0.0,
    biases_decay: float = 0.0,
    weights_initializer: Serialised = XAVIER,
    biases_initializer: Serialised = ZEROS,
) -> Tensor:
    """``slim.fully_connected`` on features, (channels,); returns (units,).

    Source: tf_slim/layers/layers.py, ``fully_connected``.
    """
    config = {
        "units": units,
        "kernel_initializer": weights_initializer,
        "kernel_regularizer": l2_regularizer(weight_decay),
        **_biases(None if batch_norm else biases_initializer, biases_decay),
    }
    leaves = {"kernel": (x.channels, units), "bias": (units,)}
    x = _add("Dense", x, (units,), config, leaves, use_bias=batch_norm is None, name=name)
    return _normalise_and_activate(x, batch_norm, activation, name)


def batch_norm(x: Tensor, params: BatchNorm, *, name: str, activation: str | None = None) -> Tensor:
    """``slim.batch_norm``; Keras' momentum is slim's decay, the same number with the same meaning.

    tf_keras takes the unbiased batch variance into the moving variance at rank 4 and 5 and the biased one at all other
    ranks, so where slim does otherwise the activation takes another rank on the way through the layer.

    Source: tf_slim/layers/layers.py, ``batch_norm``.
    """
    shape = x.shape
    is_features = len(shape) == 1
    if params.fused and is_features:
        x = reshape(x, (1, 1, x.channels), name=f"{name}/Reshape")
    elif not params.fused and not is_features:
        x = reshape(x, (known_product(shape[:-1]), x.channels), name=f"{name}/Reshape")
    leaves = {"gamma": True, "beta": True, "moving_mean": False, "moving_variance": False}
    variables = tuple(
        Variable(slim_variable_name(name, leaf), (x.channels,), trainable)
        for leaf, trainable in leaves.items()
        if params.scale or leaf != "gamma"
    )
    config = {"momentum": params.decay, "epsilon": params.epsilon, "scale": params.scale}
    x = x.graph.add(Layer("BatchNormalization", name, config, (x,), variables), x.shape)
    if x.shape != shape:
        x = reshape(x, shape, name=f"{name}/Reshape_1")
    return activate(x, activation, scope=name)


def max_pool(x: Tensor, kernel_size: Window, *, name: str, stride: Window = 2, padding: str = "VALID") -> Tensor:
    """``slim.max_pool2d`` and ``slim.max_pool3d``; stride 2 and VALID unless told otherwise."""
    return _pool("MaxPooling", x, kernel_size, stride, padding, name)


def avg_pool(x: Tensor, kernel_size: Window, *, name: str, stride: Window = 2, padding: str = "VALID") -> Tensor:
    """``slim.avg_pool2d`` and ``slim.avg_pool3d``; stride 2 and VALID unless told otherwise."""
    return _pool("AveragePooling", x, kernel_size, stride, padding, name)


max_pool2d = max_pool3d = max_pool
avg_pool2d = avg_pool3d = avg_pool


def global_avg_pool(x: Tensor, *, name: str, keepdims: bool = True) -> Tensor:
    """``tf.reduce_mean(x, axes, keepdims=keepdims)`` over all axes but the batch and the channels."""
    rank = len(x.shape) - 1
    shape = (*(1,) * rank, x.channels) if keepdims else (x.channels,)
    return x.graph.add(Layer(f"GlobalAveragePooling{rank}D", name, {"keepdims": keepdims}, (x,)), shape)


def lrn(x: Tensor, depth_radius: int, *, bias: float, alpha: float, beta: float, name: str) -> Tensor:
    """``tf.nn.lrn``; a layer of slim2keras, because no stock layer takes a power."""
    config = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}
    return x.graph.add(Layer("LocalResponseNormalization", name, config, (x,)), x.shape)


def dropout(x: Tensor, keep_prob: float, *, name: str) -> Tensor:
    """``slim.dropout``, by the probability to *keep* a value."""
    return x.graph.add(Layer("Dropout", name, {"rate": 1.0 - _checked_probability(keep_prob)}, (x,)), x.shape)


def drop_path(x: Tensor, keep_prob: float, *, name: str) -> Tensor:
    """Drop the whole activation of an image, or scale it by ``1 / keep_prob``; slim lays nothing where it is 1.

    Source: research/slim/nets/nasnet/nasnet_utils.py, ``drop_path``.
    """
    config = {"rate": 1.0 - _checked_probability(keep_prob), "noise_shape": (None, 1, 1, 1)}
    return x if keep_prob == 1.0 else x.graph.add(Layer("Dropout", name, config, (x,)), x.shape)


def identity(x: Tensor, *, name: str) -> Tensor:
    """Give an activation a name of its own."""
    return x.graph.add(Layer("Activation", name, {"activation": "linear"}, (x,)), x.shape)


def softmax(x: Tensor, *, name: str) -> Tensor:
    """``slim.softmax``, over the channels."""
    return x.graph.add(Layer("Softmax", name, {}, (x,)), x.shape)


def _add(
    kind: str,
    x: Tensor,
    shape: Shape,
    config: Serialised,
    leaves: Mapping[str, tuple[int, ...]],
    *,
    use_bias: bool,
    name: str,
    initial_values: Mapping[str, InitialValue] | None = None,
) -> Tensor:
    """Append a layer with the variables ``leaves``, by Keras' leaf names and in slim's order."""
    variables = [
        Variable(slim_variable_name(name, leaf), leaf_shape)
        for leaf, leaf_shape in leaves.items()
        if use_bias or leaf != "bias"
    ]
    return x.graph.add(Layer(kind, name, config, (x,), tuple(variables), initial_values or {}), shape)


def _biases(initializer: Serialised | None, decay: float = 0.0) -> dict[str, Any]:
    """Arguments of a Keras layer about its biases, without any where there is no initializer."""
    if initializer is None:
        return {"use_bias": False}
    return {"use_bias": True, "bias_initializer": initializer, "bias_regularizer": l2_regularizer(decay)}


def _checked_probability(keep_prob: float) -> float:
    if not 0.0 < keep_prob <= 1.0:
        raise UnsupportedArgumentError(f"dropout_keep_prob must be above 0 and at most 1. Received: {keep_prob}")
    return keep_prob


def _normalise_and_activate(x: Tensor, params: BatchNorm | None, activation: str | None, name: str) -> Tensor:
    if params is not None:
        x = batch_norm(x, params, name=join(name, "BatchNorm"))
    return activate(x, activation, scope=name)


def _pool(kind: str, x: Tensor, kernel_size: Window, stride: Window, padding: str, name: str) -> Tensor:
    kernel, strides = _window(x, kernel_size), _window(x, stride)
    config = {"pool_size": kernel, "strides": strides, "padding": padding.lower()}
    size = _window_size(x, kernel, strides, padding, name)
    return x.graph.add(Layer(f"{kind}{len(kernel)}D", name, config, (x,)), (*size, x.channels))


def _window(x: Tensor, size: Window) -> tuple[int, ...]:
    return (size,) * (len(x.shape) - 1) if isinstance(size, int) else size


def _window_size(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: str, name: str, rate: int = 1
) -> tuple[int | None, ...]:
    """Sizes after a window of ``kernel`` pixels, dilated by ``rate``, has moved over ``x`` by ``stride``."""
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
