"""JPEG files in training: no more of them is decoded than the network will see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.preprocessing.pipeline import WINDOW, Pipeline
from slim2keras.preprocessing.pixels import cut

if TYPE_CHECKING:
    import tensorflow as tf

_MARGIN = 8
"""Columns decoded on either side: at the edge of a window libjpeg interpolates colours as at the image's."""

_END = b"\xff\xd9"
"""Of a whole file. One that is cut short has to fail whatever is drawn, and not after hours: all of it is decoded."""


def distort_jpeg(
    contents: tf.Tensor,
    pipeline: Pipeline,
    seed: Any,
    size: tuple[int, int],
    *,
    channels: int = 3,
    options: PreprocessingOptions = PreprocessingOptions(),  # noqa: B008  frozen
) -> tf.Tensor:
    """Decode a JPEG file and prepare it as in training: the bits of decoding, ``draw`` and ``apply``, sooner.

    Args:
        contents: Of the file, a string. Its orientation is that of the pixels, whatever EXIF says.
        pipeline: Of ``PIPELINES``.
        seed: Two integers, (2,).
        size: Height and width of the result, pixels.
        channels: To decode: 1 or 3, as ``options.decoded_channels`` says.
        options: Of the pipeline.

    Returns:
        float32, (height, width, channels); one channel with ``use_grayscale``.

    Raises:
        UnsupportedArgumentError: If the pipeline does not take an option, or so many channels.
    """
    import tensorflow as tf

    pipeline.check(channels, options)
    shape = tf.io.extract_jpeg_shape(contents)
    draws = pipeline.draw(seed, shape, *size, options)
    if WINDOW not in draws:
        return pipeline.apply(tf.io.decode_jpeg(contents, channels=channels), draws, *size, options)
    part = tf.cond(
        tf.equal(tf.strings.substr(contents, -len(_END), len(_END)), _END),
        lambda: decode_window(contents, draws[WINDOW], shape[1], channels),
        lambda: cut(tf.io.decode_jpeg(contents, channels=channels), draws[WINDOW]),
    )
    return pipeline.apply_to_window(part, draws, *size, options)


def decode_window(contents: tf.Tensor, window: tf.Tensor, columns: tf.Tensor, channels: int) -> tf.Tensor:
    """A part of a JPEG file, bit for bit as if all of it were decoded and cropped then.

    Args:
        contents: Of the file, a string.
        window: Top, left, height and width, int32, (4,).
        columns: Of the whole image, int32.
        channels: 1 or 3.

    Returns:
        uint8, (height, width, channels).
    """
    import tensorflow as tf

    top, left, height, width = tf.unstack(window, num=4)
    start, end = tf.maximum(left - _MARGIN, 0), tf.minimum(left + width + _MARGIN, columns)
    part = tf.image.decode_and_crop_jpeg(contents, tf.stack([top, start, height, end - start]), channels=channels)
    return part[:, left - start : left - start + width]
