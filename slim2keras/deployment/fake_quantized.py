"""A network that computes in float32 what quantization leaves of every number, by TensorFlow's own ops for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slim2keras.deployment.quantized_weights import Weights
from slim2keras.deployment.trained_ranges import Range
from slim2keras.graphs.graph import Layer, LayerGraph

if TYPE_CHECKING:
    import tf_keras

_IMAGE_RANK = 4


@dataclass(frozen=True)
class FakeQuantized:
    """A network that computes in float32 what quantization leaves of every number.

    Attributes:
        model: BatchNorm folded.
        graph: Its layers.
        weights: By layer.
        rounded: Ranges of what leaves a layer, where it is rounded.
        known: Of what leaves a layer, also where it is a choice of numbers that are rounded already; weights and biases
            are those of int8 then. ``None`` has them as training for quantization does.
    """

    model: tf_keras.Model
    graph: LayerGraph
    weights: Mapping[str, Weights]
    rounded: Mapping[str, Range]
    known: Mapping[str, Range] | None = None

    def __call__(self, images: Any) -> list[Any]:
        """From images, float32, (batch, height, width, channels), to the outputs."""
        found = dict(self.activations(images))
        return [found[tensor.layer_name] for tensor in self.graph.outputs]

    def activations(self, images: Any, seen: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        """What leaves every layer that leads to an output, by name, in order.

        Args:
            images: As in a call.
            seen: What left layers elsewhere: the layers after them are computed of that.
        """
        used = self.graph.layers_to(self.graph.outputs)
        found: dict[str, Any] = {}
        for layer in (layer for layer in self.graph.layers.values() if layer.name in used):
            given = [found[tensor.layer_name] for tensor in layer.inputs] or [images]
            computed = self.activation(layer, given)
            yield layer.name, computed
            found[layer.name] = (seen or {}).get(layer.name, computed)

    def activation(self, layer: Layer, given: Sequence[Any]) -> Any:
        """What leaves a layer, of what goes into it."""
        import tensorflow as tf

        with tf.name_scope(layer.name):
            computed, found = self._computed(layer, given), self.rounded.get(layer.name)
            if found is None:
                return computed
            return tf.quantization.fake_quant_with_min_max_vars(computed, found.low, found.high)

    def _computed(self, layer: Layer, given: Sequence[Any]) -> Any:
        if layer.kind == "InputLayer":
            return given[0]
        owner = self.graph.owner_of(layer)
        keras_layer = self.model.get_layer(owner.name)
        if layer.kind == "Concatenate" and self.known is not None:
            given = [
                self._kept_apart(layer, tensor.layer_name, x) for tensor, x in zip(layer.inputs, given, strict=True)
            ]
        if owner.name not in self.weights:
            return keras_layer(given[0] if len(given) == 1 else [*given], training=False)
        return self._weighted(layer, owner, given[0])

    def _kept_apart(self, concatenation: Layer, name: str, x: Any) -> Any:
        """A part of a concatenation that has another range, through a pool of one pixel.

        TFLite's converter has a layer give the range of the concatenation at once, and what lies beyond the trained
        one is not cut off. A pool, which keeps its range, makes it convert between the two.
        """
        import tensorflow as tf

        known = self.known or {}
        is_other = known.get(name) != known.get(concatenation.name)
        return tf.nn.max_pool2d(x, 1, 1, "VALID") if is_other and len(x.shape) == _IMAGE_RANK else x

    def _weighted(self, layer: Layer, owner: Layer, x: Any) -> Any:
        import tensorflow as tf

        weights, biases = self.weights[owner.name], self.weights[owner.name].biases
        kernel = tf.constant(weights.trained)
        if self.known is not None:
            kernel, biases = weights.as_int8(), weights.biases_as_int8(self.known.get(layer.inputs[0].layer_name))
        x = convolved(owner.kind, self.model.get_layer(owner.name), x, kernel)
        return x if biases is None else tf.nn.bias_add(x, biases)


def convolved(kind: str, layer: tf_keras.layers.Layer, x: Any, kernel: Any) -> Any:
    """What a layer computes with other weights, before its biases."""
    import tensorflow as tf

    if kind == "Dense":
        return tf.matmul(x, kernel)
    if kind == "Conv2D":
        return layer.convolution_op(x, kernel)
    strides = (1, *layer.strides, 1)
    return tf.nn.depthwise_conv2d(x, kernel, strides, layer.padding.upper(), dilations=layer.dilation_rate)
