"""A crop of a resized image, bilinear by TensorFlow 1's rule, without resizing the rest.

``resize_bilinear`` of a crop would sample at other points than the resized image has there. Here the crop has the bits
of the resized image, for as much work as the crop is large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slim2keras.preprocessing.pixels import to_float

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Places:
    """Where pixels of a result lie along one axis of an image, each between two pixels of that.

    Attributes:
        lower: The pixel before each, int32, (pixels of the result,).
        upper: The pixel after it, int32; at the end of the image the last one once more.
        share: How far it lies from the one towards the other, 0 to 1, float32.
    """

    lower: tf.Tensor
    upper: tf.Tensor
    share: tf.Tensor

    def reversed_if(self, wanted: tf.Tensor) -> Places:
        """From end to start, if a boolean says so: the result is flipped."""
        import tensorflow as tf

        step = tf.where(wanted, -1, 1)
        return Places(self.lower[::step], self.upper[::step], self.share[::step])


def places_of(start: tf.Tensor, count: int, length: tf.Tensor, resized: tf.Tensor) -> Places:
    """Where ``count`` pixels from ``start`` on lie, when an axis of ``length`` pixels is resized to ``resized``."""
    import tensorflow as tf

    scale = to_float(length) / to_float(resized)
    places = to_float(start + tf.range(count)) * scale
    lower = tf.cast(places, tf.int32)
    return Places(lower, tf.minimum(lower + 1, length - 1), places - tf.floor(places))


def window_of(rows: Places, columns: Places) -> tf.Tensor:
    """The part of an image that these places lie in: top, left, height and width, int32, (4,)."""
    import tensorflow as tf

    top, left = rows.lower[0], columns.lower[0]
    return tf.stack([top, left, rows.upper[-1] - top + 1, columns.upper[-1] - left + 1])


def interpolated(part: tf.Tensor, window: tf.Tensor, rows: Places, columns: Places) -> tf.Tensor:
    """Pixels at places of an image of which there is a part.

    Args:
        part: The window of the image.
        window: Top, left, height and width, int32, (4,).
        rows: Places in the whole image, all of them within the window.
        columns: The same.

    Returns:
        float32, (rows, columns, channels).
    """
    across = _between(to_float(part), columns, window[1], axis=1)
    return _between(across, rows, window[0], axis=0)


def _between(values: tf.Tensor, places: Places, origin: tf.Tensor, *, axis: int) -> tf.Tensor:
    import tensorflow as tf

    lower = tf.gather(values, places.lower - origin, axis=axis)
    upper = tf.gather(values, places.upper - origin, axis=axis)
    return lower + (upper - lower) * tf.reshape(places.share, (-1, 1) if axis else (-1, 1, 1))
