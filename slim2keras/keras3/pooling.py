"""Average pooling SAME that is right on every backend.

Up to Keras 3.15.1 the stock layer on PyTorch repeats the border wherever the window reaches further over one edge than
over the other, and counts what it repeated: 0.3 to 0.8 off. VALID pooling behind zeros is right everywhere; what is
left is to divide by the number of pixels that were there, which depends on the place and not on the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from slim2keras.keras3.naming import to_keras3_name
from slim2keras.keras3.registration import registered


@dataclass(frozen=True)
class _Axis:
    """A window that moves along an axis, SAME.

    Attributes:
        size: Of the axis.
        window: Pixels.
        stride: Pixels.
    """

    size: int
    window: int
    stride: int

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and behind, as TensorFlow has them."""
        steps = -(-self.size // self.stride)
        total = max((steps - 1) * self.stride + self.window - self.size, 0)
        return total // 2, total - total // 2

    def factors(self) -> list[float]:
        """Of each step the pixels of the window, over those of the image among them."""
        before, _ = self.padding
        starts = range(-before, self.size - before, self.stride)
        return [self.window / (min(start + self.window, self.size) - max(start, 0)) for start in starts]


def is_symmetric(size: int | None, window: int, stride: int) -> bool:
    """Whether SAME pads an axis alike at both ends, whatever an open size will be."""
    if size is None:
        return stride == 1 and window % 2 == 1
    before, behind = _Axis(size, window, stride).padding
    return before == behind


def average_pooling(name: str, config: Mapping[str, Any], x: Any) -> Any:
    """``AveragePooling`` 1D to 3D of a KerasTensor, by stock layers where the sizes are known.

    Args:
        name: Slim scope, of the layer that gives the result.
        config: Of the tf_keras layer.
    """
    rank, sizes = len(x.shape) - 2, tuple(x.shape[1:-1])
    windows, strides = config["pool_size"], config["strides"]
    moved = list(zip(sizes, windows, strides, strict=True))
    if config["padding"] == "valid" or all(is_symmetric(*axis) for axis in moved):
        return getattr(keras.layers, f"AveragePooling{rank}D")(name=to_keras3_name(name), **config)(x)
    if None in sizes:
        return SameAveragePooling(windows, strides, name=to_keras3_name(name))(x)
    return _behind_zeros(name, x, [_Axis(*axis) for axis in moved])


def _behind_zeros(name: str, x: Any, axes: Sequence[_Axis]) -> Any:
    rank = len(axes)
    padding = tuple(axis.padding for axis in axes)
    padded = getattr(keras.layers, f"ZeroPadding{rank}D")(
        padding[0] if rank == 1 else padding, name=to_keras3_name(f"{name}/Pad")
    )(x)
    windows, strides = (tuple(getattr(axis, item) for axis in axes) for item in ("window", "stride"))
    x = getattr(keras.layers, f"AveragePooling{rank}D")(windows, strides, name=to_keras3_name(f"{name}/AvgPool"))(
        padded
    )
    uneven = [place for place, axis in enumerate(axes) if any(axis.padding)]
    for place in uneven:
        is_last = place == uneven[-1]
        scale = _along(axes[place].factors(), rank - place)
        x = keras.layers.Rescaling(scale, name=to_keras3_name(name if is_last else f"{name}/Rescale_{place}"))(x)
    return x


def _along(factors: Sequence[float], axes_behind: int) -> list[Any]:
    """Factors as a nested list with an axis of size one for each that follows."""
    nested: list[Any] = list(factors)
    for _ in range(axes_behind):
        nested = [[item] for item in nested]
    return nested


def same_average_pool(x: Any, windows: Sequence[int], strides: Sequence[int]) -> Any:
    """``tf.nn.avg_pool(x, windows, strides, "SAME")`` of a tensor, on every backend."""
    sizes = ops.shape(x)[1:-1]
    padding = [(0, 0), *(_padding(*axis) for axis in zip(sizes, windows, strides, strict=True)), (0, 0)]
    there = ops.ones_like(x[:1, ..., :1])
    total, share = (
        ops.average_pool(ops.pad(item, padding), tuple(windows), tuple(strides), "valid", "channels_last")
        for item in (x, there)
    )
    return total / share


def _padding(size: Any, window: int, stride: int) -> tuple[Any, Any]:
    """As ``_Axis.padding``, where a size may be a tensor."""
    if isinstance(size, int):
        return _Axis(size, window, stride).padding
    total = ops.maximum((ops.floor_divide(size + stride - 1, stride) - 1) * stride + window - size, 0)
    before = ops.floor_divide(total, 2)
    return before, total - before


@registered
class SameAveragePooling(keras.layers.Layer):  # type: ignore[misc]
    """``AveragePooling`` SAME over axes of open sizes, where stock layers differ between the backends.

    Args:
        pool_size: Of each axis.
        strides: Of each axis.
    """

    def __init__(self, pool_size: Sequence[int], strides: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.strides = tuple(pool_size), tuple(strides)

    def call(self, inputs: Any) -> Any:
        """Pool (batch, ..., channels)."""
        return same_average_pool(inputs, self.pool_size, self.strides)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Sizes over the strides, rounded up."""
        sizes = zip(input_shape[1:-1], self.strides, strict=True)
        moved = (None if size is None else -(-size // stride) for size, stride in sizes)
        return (input_shape[0], *moved, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides}
