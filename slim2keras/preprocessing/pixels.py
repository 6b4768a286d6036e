"""What several pipelines do with pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    import tensorflow as tf


def to_float(image: tf.Tensor) -> tf.Tensor:
    """Pixels of 0 to 255 as float32."""
    import tensorflow as tf

    return tf.cast(image, tf.float32)


def channels_of(image: tf.Tensor) -> int:
    """Channels of an image, which training has to know when it makes its graph.

    Raises:
        UnsupportedArgumentError: If the shape does not tell.
    """
    channels: int | None = image.shape[-1]
    if channels is None:
        raise UnsupportedArgumentError(
            f"The number of channels must be known. Received: images of shape {image.shape}. Decode with channels=3, "
            "or tell with image.set_shape((None, None, 3))."
        )
    return channels


def to_grey(image: tf.Tensor) -> tf.Tensor:
    """One channel of three; of one, the same."""
    import tensorflow as tf

    return image if channels_of(image) == 1 else tf.image.rgb_to_grayscale(image)


def cut(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """A part of an image: top, left, height and width, int32, (4,)."""
    top, left, height, width = window[0], window[1], window[2], window[3]
    return image[top : top + height, left : left + width]


def crop_or_pad(image: tf.Tensor, height: Any, width: Any) -> tf.Tensor:
    """The middle of an image, with zeros around where there is none."""
    import tensorflow as tf

    return tf.image.resize_with_crop_or_pad(image, height, width)


def resize_bilinear(image: tf.Tensor, height: Any, width: Any) -> tf.Tensor:
    """TensorFlow 1's rule; ``tf.image.resize`` samples at other points."""
    import tensorflow as tf

    return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], (height, width), align_corners=False)[0]


def flip_if(wanted: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Left and right exchanged, if a boolean says so."""
    import tensorflow as tf

    return tf.cond(wanted, lambda: tf.reverse(image, [1]), lambda: image)
