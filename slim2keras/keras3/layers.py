"""Keras 3 layers of our own, for what no composition of its stock layers computes; on every backend.

A model with such a layer needs ``import slim2keras.keras3`` before it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

PACKAGE = "slim2keras"


@keras.saving.register_keras_serializable(package=PACKAGE)
class LocalResponseNormalization(keras.layers.Layer):  # type: ignore[misc]
    """``tf.nn.lrn``: divide by ``(bias + alpha * sum of squares over near channels) ** beta``.

    Args:
        depth_radius: Channels to each side that belong to the sum.

    Source: A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, section 3.3.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def call(self, inputs: Any) -> Any:
        """Normalise (batch, height, width, channels)."""
        channels, width = inputs.shape[-1], 2 * self.depth_radius + 1
        padding = [(0, 0)] * (len(inputs.shape) - 1) + [(self.depth_radius, self.depth_radius)]
        squares = ops.pad(ops.square(inputs), padding)
        total = sum(squares[..., start : start + channels] for start in range(width))
        return inputs / ops.power(self.bias + self.alpha * total, self.beta)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As that of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        names = ("depth_radius", "bias", "alpha", "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package=PACKAGE)
class LooseVariable(keras.layers.Layer):  # type: ignore[misc]
    """A variable that belongs to no layer: a scale, a table of positions. Imported graphs need it.

    Args:
        shape: Of the variable.
        initializer: As in ``add_weight``.
        regularizer: As in ``add_weight``.
    """

    def __init__(
        self, shape: Sequence[int], initializer: Any = "zeros", regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.sizes = tuple(shape)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape: Any) -> None:  # noqa: ARG002  as Keras calls it
        """Make the variable."""
        self.variable = self.add_weight(
            shape=self.sizes, initializer=self.initializer, regularizer=self.regularizer, name="variable"
        )

    def call(self, inputs: Any) -> Any:  # noqa: ARG002
        """The variable, of ``shape``, whatever the inputs are."""
        return ops.cast(self.variable, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int, ...]:  # noqa: ARG002
        """As that of the variable."""
        return self.sizes

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {
            **super().get_config(),
            "shape": list(self.sizes),
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }
