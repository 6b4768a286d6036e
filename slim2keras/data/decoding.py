"""Encoded images decoded, with as many channels as a network takes."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

DECODED_CHANNELS = (1, 3, 4)
"""Numbers of channels that an image file can be decoded to."""

JPEG_CHANNELS = (1, 3)
"""The same of JPEG, which has no alpha."""

MOST_PIXELS = 2**27
"""Of an image. A few bytes of GIF or PNG may say that they are more, and preprocessing makes 12 bytes of each."""

_TOO_LARGE = "the image has more pixels than anybody would resize: reduce it before"

_ORIENTATION_TAG = 0x0112

_WEBP_FLAGS, _WEBP_ANIMATION, _WEBP_ALPHA = 20, 0x02, 0x10
"""Where an extended WebP has its flags, and two of them."""


def decode_image(contents: tf.Tensor, channels: int, *, exif_orientation: bool = False) -> tf.Tensor:
    """Decode an image, bit for bit as slim's ``tfexample_decoder.Image`` does.

    JPEG, PNG, BMP, the first frame of a GIF, and WebP's where TensorFlow can (``tf.io.decode_webp``). What a format has
    not is made: grey by TensorFlow's weights of red, green and blue, alpha as opaque.

    Args:
        contents: Bytes of the file, a scalar string.
        channels: 1, 3 or 4.
        exif_orientation: Turn the image as its EXIF tag says; slim and TensorFlow ignore the tag.

    Returns:
        uint8, (height, width, channels).

    Raises:
        UnsupportedArgumentError: If images have no such number of channels.

    Source: tf_slim/data/tfexample_decoder.py, ``Image``.
    """
    import tensorflow as tf

    if channels not in DECODED_CHANNELS:
        raise UnsupportedArgumentError(
            f"Image files have 1, 3 or 4 channels, and the network takes {channels}. Give an .npz."
        )
    kind = _kind_of(contents)
    image = tf.switch_case(kind, [lambda decode=decode: decode(contents, channels) for decode in _DECODERS])
    image.set_shape((None, None, channels))
    with tf.control_dependencies([tf.debugging.assert_less_equal(tf.size(image) // channels, MOST_PIXELS, _TOO_LARGE)]):
        image = tf.identity(image)
    return _turned(image, contents) if exif_orientation else image


def _kind_of(contents: tf.Tensor) -> tf.Tensor:
    """Place in ``_DECODERS``."""
    import tensorflow as tf

    first = tf.strings.substr(contents, 0, 4)
    is_bmp = tf.equal(tf.strings.substr(contents, 0, 2), b"BM")
    has_own_channels = tf.reduce_any([tf.equal(first, b"GIF8"), tf.equal(first, b"RIFF"), is_bmp])
    return tf.where(tf.io.is_jpeg(contents), 0, tf.where(has_own_channels, 2, 1))


def _decode_jpeg(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """JPEG has no alpha."""
    import tensorflow as tf

    image = tf.io.decode_jpeg(contents, channels=min(channels, 3))
    return image if channels < 4 else _with_alpha(image)


def _decode_png(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Whatever is unknown goes here too: TensorFlow's error lists what it knows."""
    import tensorflow as tf

    return tf.io.decode_image(contents, channels=channels, expand_animations=False)


def _decode_own_channels(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """BMP, and the first frame of GIF and WebP: TensorFlow gives the channels that the file has."""
    import tensorflow as tf

    image = tf.io.decode_image(_with_room_for_alpha(contents), channels=0, expand_animations=False)
    return with_channels(image, channels)


def _with_room_for_alpha(contents: tf.Tensor) -> tf.Tensor:
    """The file, if it is an animated WebP, as one that says that it has alpha; its colours stay.

    Of one that says it has none, TensorFlow 2.21 writes four channels into memory for three, and the process dies.
    """
    import tensorflow as tf

    flags = _WEBP_FLAGS
    head = tf.io.decode_raw(tf.strings.substr(contents, 0, flags + 1), tf.uint8, fixed_length=flags + 1)
    is_extended = tf.reduce_all(tf.equal(head[8:16], [*b"WEBPVP8X"]))
    is_animated = tf.not_equal(tf.bitwise.bitwise_and(head[flags], _WEBP_ANIMATION), 0)

    def changed() -> tf.Tensor:
        flag = tf.gather([bytes([number | _WEBP_ALPHA]) for number in range(256)], tf.cast(head[flags], tf.int32))
        rest = tf.strings.substr(contents, flags + 1, tf.strings.length(contents))
        return tf.strings.join([tf.strings.substr(contents, 0, flags), flag, rest])

    return tf.cond(is_extended & is_animated, changed, lambda: contents)


_DECODERS = (_decode_jpeg, _decode_png, _decode_own_channels)


def can_decode_webp() -> bool:
    """Whether this TensorFlow reads WebP."""
    import tensorflow as tf

    return hasattr(tf.io, "decode_webp")


def with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Grey, colours, or colours with alpha, of any of these.

    Args:
        image: uint8, (height, width, 1, 3 or 4), which of these may be unknown before it is run.
        channels: 1, 3 or 4.

    Returns:
        uint8, (height, width, channels).
    """
    import tensorflow as tf

    def colours() -> tf.Tensor:
        found = tf.cond(given == 1, lambda: tf.repeat(image[..., :1], 3, -1), lambda: image[..., :3])
        found.set_shape((None, None, 3))
        return found

    given = tf.shape(image)[-1]
    made = {1: lambda: tf.image.rgb_to_grayscale(colours()), 3: colours, 4: lambda: _with_alpha(colours())}
    found = tf.cond(given == channels, lambda: image, made[channels])
    found.set_shape((None, None, channels))
    return found


def _with_alpha(colours: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.concat([colours, tf.fill(tf.shape(colours[..., :1]), tf.constant(255, tf.uint8))], -1)


def _turned(image: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    turned = tf.numpy_function(_turn, [image, contents], tf.uint8)
    turned.set_shape((None, None, image.shape[-1]))
    return turned


def _turn(image: NDArray[Any], contents: Any) -> NDArray[Any]:
    """Undo the orientation of an EXIF tag, 1 to 8."""
    turns = {
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: x.swapaxes(0, 1)[:, ::-1],
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: x.swapaxes(0, 1)[::-1],
    }
    turn = turns.get(_orientation(np.asarray(contents, object).item()))
    return image if turn is None else np.ascontiguousarray(turn(image))


def _orientation(contents: bytes) -> int:
    """Value of the EXIF tag, 1 where there is none that can be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(contents)) as image:
            return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (OSError, SyntaxError, ValueError, TypeError, struct.error, Image.DecompressionBombError):
        return 1
