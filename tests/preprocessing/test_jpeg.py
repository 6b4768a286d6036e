"""JPEG files of which only a part is decoded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.preprocessing import PIPELINES, PreprocessingOptions, preprocess
from slim2keras.preprocessing.jpeg import decode_window, distort_jpeg

RANDOM = np.random.RandomState(4)
IMAGE = np.kron(RANDOM.randint(0, 256, (13, 17, 3)), np.ones((9, 9, 1))).astype("uint8")[:115, :149]


def encoded(**options: Any) -> Any:
    import tensorflow as tf

    return tf.io.encode_jpeg(IMAGE, quality=85, **options)


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("halved", [False, True], ids=["444", "420"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_has_the_bits_of_the_whole_image(channels: int, halved: bool, progressive: bool) -> None:
    """Wherever it lies, also where colours are stored at half the resolution, and in the corners."""
    contents = encoded(chroma_downsampling=halved, progressive=progressive)
    assert_windows_are_cut(contents, channels)


def assert_windows_are_cut(contents: Any, channels: int) -> None:
    import tensorflow as tf

    decode = tf.function(decode_window, reduce_retracing=True)
    whole = tf.io.decode_jpeg(contents, channels=channels).numpy()
    rows, columns = whole.shape[:2]
    windows = [(0, 0, rows, columns), (0, 0, 1, 1), (rows - 1, columns - 1, 1, 1), (16, 16, 16, 16)]
    for _ in range(40):
        height, width = RANDOM.randint(1, rows + 1), RANDOM.randint(1, columns + 1)
        windows.append((RANDOM.randint(rows - height + 1), RANDOM.randint(columns - width + 1), height, width))
    for top, left, height, width in windows:
        window = tf.constant((top, left, height, width))
        found = decode(contents, window, tf.constant(columns), channels).numpy()
        np.testing.assert_array_equal(found, whole[top : top + height, left : left + width])


@pytest.mark.parametrize(("mode", "options"), [("RGB", {"subsampling": 1}), ("CMYK", {}), ("L", {})])
def test_files_of_other_programs_too(mode: str, options: dict[str, Any]) -> None:
    """Colours at half the resolution in one direction, of printing, or none."""
    image = pytest.importorskip("PIL.Image").fromarray(IMAGE)
    file = io.BytesIO()
    image.convert(mode).save(file, "JPEG", **options)
    assert_windows_are_cut(file.getvalue(), 3)


def test_without_a_margin_the_edges_differ() -> None:
    """Which is what the margin is for: else it could go."""
    import tensorflow as tf

    contents = encoded()
    part = tf.image.decode_and_crop_jpeg(contents, (16, 16, 32, 32), channels=3).numpy()
    differences = np.abs(part.astype(int) - tf.io.decode_jpeg(contents).numpy()[16:48, 16:48]).max((0, 2))
    assert set(np.nonzero(differences)[0]) == {0, 31}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_file_becomes_what_its_image_becomes(name: str) -> None:
    """Whether the pipeline looks at a window or at all of it."""
    import tensorflow as tf

    contents = encoded()
    for number in range(4):
        found = distort_jpeg(contents, PIPELINES[name], (number, 1), (32, 28))
        image = tf.io.decode_jpeg(contents)
        expected = preprocess(image, name, height=32, width=28, training=True, seed=(number, 1))
        np.testing.assert_array_equal(found, expected)


def test_grey_is_decoded_as_the_options_say() -> None:
    """In colours where grey is to be made of them, and else in as many channels as the network takes."""
    grey = PreprocessingOptions(use_grayscale=True)
    for options, channels in ((grey, 3), (PreprocessingOptions(), 1)):
        assert options.decoded_channels(1) == channels
        found = distort_jpeg(encoded(), PIPELINES["inception"], (1, 1), (32, 28), channels=channels, options=options)
        assert found.shape == (32, 28, 1)
    with pytest.raises(UnsupportedArgumentError, match="takes 3 channels"):
        PreprocessingOptions(use_grayscale=True).decoded_channels(3)
    with pytest.raises(UnsupportedArgumentError, match="Received: 1 channels"):
        distort_jpeg(encoded(), PIPELINES["vgg"], (1, 1), (32, 28), channels=1)


def test_a_file_that_is_cut_short_fails_whatever_is_drawn() -> None:
    """Not by chance, in the tenth epoch; one with something behind its end is read as before."""
    import tensorflow as tf

    contents = encoded().numpy()
    for number in range(8):
        with pytest.raises(tf.errors.InvalidArgumentError):
            distort_jpeg(contents[: len(contents) * 9 // 10], PIPELINES["inception"], (number, 1), (8, 8))
        longer, whole = (
            distort_jpeg(data, PIPELINES["vgg"], (number, 1), (8, 8)) for data in (contents + b"x", contents)
        )
        np.testing.assert_array_equal(longer, whole)
