"""Image files decoded: slim's bits, every format, as many channels as the network takes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from slim2keras.data import decoding
from slim2keras.data.decoding import can_decode_webp, decode_image
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.slim.runtime import import_tf_slim

PHOTO = np.random.RandomState(0).randint(0, 256, (37, 50, 3)).astype("uint8")


def encoded(kind: str, pixels: np.ndarray = PHOTO, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_slims_decoder_gives_the_same_bits(kind: str, channels: int) -> None:
    """Of colours and of grey, also as the other; another DCT of JPEG would be off by one here and there."""
    slim = import_tf_slim()
    import tensorflow as tf

    for pixels in (PHOTO, PHOTO[..., 0]):
        contents = encoded(kind, pixels)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            handler = slim.tfexample_decoder.Image(channels=channels)
            image = handler.tensors_to_item({"image/encoded": tf.constant(contents), "image/format": tf.constant("x")})
            theirs = session.run(image)
        np.testing.assert_array_equal(decode_image(tf.constant(contents), channels), theirs)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_every_format_with_every_number_of_channels(kind: str, channels: int) -> None:
    """Grey is that of TensorFlow, alpha is opaque."""
    import tensorflow as tf

    if kind == "WEBP" and not can_decode_webp():
        pytest.skip("this TensorFlow reads no WebP")
    contents = tf.constant(encoded(kind, **({"lossless": True} if kind == "WEBP" else {})))
    found = decode_image(contents, channels).numpy()
    colours = decode_image(contents, 3).numpy()
    assert found.shape == (37, 50, channels)
    if kind not in ("JPEG", "GIF"):
        np.testing.assert_array_equal(colours, PHOTO)
    if channels == 4:
        np.testing.assert_array_equal(found[..., :3], colours)
        assert (found[..., 3] == 255).all()
    if channels == 1 and kind not in ("JPEG", "PNG"):  # these two have a grey of their own
        np.testing.assert_array_equal(found, tf.image.rgb_to_grayscale(colours))


def test_alpha_stays_where_the_network_takes_it_and_goes_where_not() -> None:
    """As TensorFlow decodes it: colours are not blended."""
    import tensorflow as tf

    pixels = np.dstack([PHOTO, PHOTO[..., 0]])
    for kind in ("PNG", *(["WEBP"] if can_decode_webp() else [])):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        contents = tf.constant(encoded(kind, pixels, **options))
        np.testing.assert_array_equal(decode_image(contents, 4), pixels)
        np.testing.assert_array_equal(decode_image(contents, 3), PHOTO)


def test_a_format_is_told_whatever_bytes_follow() -> None:
    """The size of the file comes next in a BMP: bytes of any value."""
    import tensorflow as tf

    for width in range(1, 41):
        contents = encoded("BMP", PHOTO[:, :width])
        assert decode_image(tf.constant(contents), 1).shape == (37, width, 1)


def test_of_a_gif_the_first_frame() -> None:
    """The others are left."""
    import tensorflow as tf
    from PIL import Image

    frames = [Image.fromarray(np.full((8, 9, 3), value, "uint8")) for value in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    found = decode_image(tf.constant(buffer.getvalue()), 3).numpy()
    assert found.shape == (8, 9, 3)
    assert (found == 10).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_taken_only_when_asked_for(orientation: int) -> None:
    """Then as Pillow turns the image; by default the tag is ignored, as in slim."""
    import tensorflow as tf
    from PIL import Image, ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    contents = encoded("PNG", exif=exif)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))))
    np.testing.assert_array_equal(decode_image(tf.constant(contents), 3), PHOTO)
    np.testing.assert_array_equal(decode_image(tf.constant(contents), 3, exif_orientation=True), turned)


def test_a_number_of_channels_that_no_file_has() -> None:
    """Said before anything is decoded."""
    import tensorflow as tf

    with pytest.raises(UnsupportedArgumentError, match=r"1, 3 or 4 channels, and the network takes 2\. Give an \.npz"):
        decode_image(tf.constant(encoded("PNG")), 2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_first_frame_of_an_animated_webp(mode: str) -> None:
    """Without alpha, TensorFlow alone writes beyond its memory, so that the process dies sooner or later."""
    import tensorflow as tf
    from PIL import Image

    if not can_decode_webp():
        pytest.skip("this TensorFlow reads no WebP")
    first, second = (Image.fromarray(pixels).convert(mode) for pixels in (PHOTO, PHOTO[::-1]))
    buffer = io.BytesIO()
    first.save(buffer, "WEBP", lossless=True, save_all=True, append_images=[second])
    for _ in range(20):
        np.testing.assert_array_equal(decode_image(tf.constant(buffer.getvalue()), 3), PHOTO)


def test_an_image_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a hundred bytes may say that it has half a billion pixels: an error, before they become floats."""
    import tensorflow as tf

    monkeypatch.setattr(decoding, "MOST_PIXELS", PHOTO.size // 3)
    assert decode_image(tf.constant(encoded("GIF")), 3).shape == (37, 50, 3)
    monkeypatch.setattr(decoding, "MOST_PIXELS", PHOTO.size // 3 - 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than anybody would resize"):
        decode_image(tf.constant(encoded("GIF")), 3)
