"""slim's evaluation pipelines: an image as the network wants it.

Sources: research/slim/preprocessing/*.py, ``preprocess_for_eval``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    import tensorflow as tf

_VGG_MEANS = (123.68, 116.78, 103.94)
_VGG_SIDE = 256
_CENTRAL_FRACTION = 0.875


def preprocess_for_eval(image: tf.Tensor, preprocessing: str, height: int, width: int) -> tf.Tensor:
    """Prepare an image as slim does when it evaluates.

    Args:
        image: uint8, (any height, any width, channels).
        preprocessing: Key of slim's ``preprocessing_factory``.

    Returns:
        float32, (height, width, channels).

    Raises:
        UnsupportedArgumentError: If there is no such pipeline here.
    """
    import tensorflow as tf

    if preprocessing == "inception":
        image = tf.image.central_crop(tf.image.convert_image_dtype(image, tf.float32), _CENTRAL_FRACTION)
        return (_resize_bilinear(image, height, width) - 0.5) * 2.0
    if preprocessing == "vgg":
        return _central_crop_of_vgg(image, height, width) - tf.constant(_VGG_MEANS)
    cropped = tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32), height, width)
    if preprocessing == "lenet":
        return (cropped - 128.0) / 128.0
    if preprocessing == "cifarnet":
        return tf.image.per_image_standardization(cropped)
    raise UnsupportedArgumentError(
        f"The preprocessing {preprocessing!r} is not slim's and not here: give images that are preprocessed, as .npz."
    )


def _resize_bilinear(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """TensorFlow 1's rule; ``tf.image.resize`` samples at other points."""
    import tensorflow as tf

    return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], (height, width), align_corners=False)[0]


def _central_crop_of_vgg(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The middle of the image, its smaller side resized to 256 pixels, or to the crop if that is larger."""
    rows, columns = image.shape[:2]
    scale = max(_VGG_SIDE, height, width) / min(rows, columns)
    image = _resize_bilinear(image, round(rows * scale), round(columns * scale))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
