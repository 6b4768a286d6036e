"""Weights and biases as training for quantization rounds them, and as int8 holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.deployment.trained_ranges import Range

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray

_LEVELS = 127
"""Steps on either side of zero in int8 weights, which have no zero point."""


@dataclass(frozen=True)
class Weights:
    """The weights of a layer as training for quantization rounds them, and the steps in which int8 holds them.

    Training has 254 steps from the smallest to the largest weight of a layer, with zero anywhere between; int8 has 127
    on either side of it. A channel whose weights lie within 127 of the trained steps is held exactly; another one gets
    steps as much larger as it needs.

    Attributes:
        trained: Values as training rounds them, output channels last; of a depthwise convolution (height, width,
            channels, multiplier).
        biases: (channels,), ``None`` if it has none; training does not round them.
        step: Of training.
        steps: Of int8, (channels,).
    """

    trained: NDArray[np.float32]
    biases: NDArray[np.float32] | None
    step: float
    steps: NDArray[np.float32]

    @property
    def exact(self) -> int:
        """Channels that int8 holds as they were trained."""
        return int(np.sum(self.steps == np.float32(self.step)))

    def as_int8(self) -> Any:
        """What int8 holds, by ops that TFLite's converter takes the steps from; as ``trained``."""
        import tensorflow as tf

        ends = self.steps * np.float32(_LEVELS)
        flat = self.trained.reshape(*_shape_by_channel(self.trained, len(self.steps)))
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -ends, ends, narrow_range=True)
        return rounded if flat.shape == self.trained.shape else tf.reshape(rounded, self.trained.shape)

    def biases_as_int8(self, of_input: Range | None) -> NDArray[np.float32] | None:
        """Biases as int8 holds them: whole numbers of a step of the weights times one of the layer's input."""
        if self.biases is None or of_input is None:
            return self.biases
        step = self.steps.astype("float64") * of_input.step
        step = np.where(step > 0, step, 1.0)
        return (np.round(self.biases / step) * step).astype("float32")


def rounded_weights(layer: tf_keras.layers.Layer, kind: str, trained: Range) -> Weights:
    """Round weights as training does, by TensorFlow's own op.

    Args:
        layer: With BatchNorm folded into it.
        kind: Its class.
        trained: Of its weights.
    """
    import tensorflow as tf

    is_depthwise = kind == "DepthwiseConv2D"
    kernel = layer.depthwise_kernel if is_depthwise else layer.kernel
    rounded = tf.quantization.fake_quant_with_min_max_vars(kernel, trained.low, trained.high, narrow_range=True)
    values: NDArray[np.float32] = rounded.numpy()
    channels = int(np.prod(values.shape[-2:])) if is_depthwise else values.shape[-1]
    largest = np.abs(values.reshape(-1, channels)).max(axis=0)
    step = np.float32(trained.high - trained.low) / np.float32(2 * _LEVELS)
    # Half a step of leeway: values are whole numbers of steps but for rounding in float32.
    steps = np.where(largest <= (_LEVELS + 0.5) * step, step, largest / _LEVELS)
    biases = layer.bias.numpy() if layer.use_bias else None
    return Weights(values, biases, float(step), steps.astype("float32"))


def _shape_by_channel(kernel: NDArray[Any], channels: int) -> tuple[int, ...]:
    """A shape with the output channels in one axis, the last."""
    return kernel.shape if kernel.shape[-1] == channels else (*kernel.shape[:-2], channels)
