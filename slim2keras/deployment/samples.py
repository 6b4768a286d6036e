"""Images of several sizes, as pixels and as files, on which a model that preprocesses is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.broken import find_broken
from slim2keras.data.decoding import JPEG_CHANNELS
from slim2keras.deployment.subject import Subject
from slim2keras.errors import DataReadError

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_MOST = 16
"""Of the data."""
_SCALES = ((1.0, 1.0), (1.5, 1.25), (0.75, 1.375))
"""Heights and widths of noise, relative to the network's images: as they are, larger, and partly smaller."""
_GRAIN = 8
"""Pixels of noise that vary together."""


def sample_pixels(subject: Subject, channels: int) -> tuple[list[NDArray[np.uint8]], str]:
    """Images, uint8, (height, width, channels), of the data, or else noise; and what they are."""
    source = None if subject.data is None else subject.data.examples.source
    if source is None or source.is_prepared:
        return _noise(subject, channels), "noise"
    pixels = _each(subject, lambda *place: source.read(*place, channels=channels), channels)
    return pixels, f"of {subject.data_path}"


def sample_files(subject: Subject, channels: int) -> tuple[list[bytes], str]:
    """Encoded images: the files of the data; else its pixels, or noise, as PNG and JPEG; and what they are."""
    source = None if subject.data is None else subject.data.examples.source
    if source is not None and source.is_encoded:
        return [contents.item() for contents in _each(subject, source.contents, channels)], f"of {subject.data_path}"
    pixels, of = sample_pixels(subject, channels)
    return [_encoded(image, place) for place, image in enumerate(pixels)], of


def _each(subject: Subject, read: Callable[..., tf.Tensor], channels: int) -> list[Any]:
    """Something of some images of the data, which are spread over it.

    Raises:
        DataReadError: If one is broken; what runs the model would not know which it is.
    """
    assert subject.data is not None
    examples = subject.data.examples
    chosen = examples.subset(np.unique(np.linspace(0, len(examples) - 1, _MOST).astype(int)))
    for index, reason in find_broken(chosen, np.arange(len(chosen)), channels).items():
        raise DataReadError(f"{chosen.names[index]} of {subject.data_path} cannot be read: {reason} Take it out.")
    return [np.asarray(read(*place)) for place in zip(*chosen.source.places, strict=True)]


def _noise(subject: Subject, channels: int) -> list[NDArray[np.uint8]]:
    height, width = (size or _OPEN_SIZE for size in subject.network.image_size)
    random = np.random.RandomState(0)
    return [_smooth(random, (int(height * tall), int(width * wide), channels)) for tall, wide in _SCALES]


_OPEN_SIZE = 224


def _smooth(random: np.random.RandomState, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    coarse = random.randint(0, 192, (-(-shape[0] // _GRAIN), -(-shape[1] // _GRAIN), shape[2]))
    large = coarse.repeat(_GRAIN, 0).repeat(_GRAIN, 1)[: shape[0], : shape[1]]
    return (large + random.randint(0, 64, shape)).astype("uint8")


def _encoded(image: NDArray[np.uint8], place: int) -> bytes:
    """As PNG, or JPEG where that has so many channels, by turns."""
    import tensorflow as tf

    encode = tf.io.encode_jpeg if place % 2 and image.shape[-1] in JPEG_CHANNELS else tf.io.encode_png
    return bytes(encode(image).numpy())
