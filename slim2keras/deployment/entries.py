"""How images come into a model that is served: as the network takes them, as pixels of any size, or as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.decoding import DECODED_CHANNELS, decode_image
from slim2keras.deployment.ends import IMAGES
from slim2keras.deployment.samples import sample_files, sample_pixels
from slim2keras.deployment.subject import Subject
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.preprocessing.factory import preprocess
from slim2keras.preprocessing.pipelines import PIPELINES

if TYPE_CHECKING:
    import tensorflow as tf

_IMAGE_RANK = 3


@dataclass(frozen=True)
class Entry:
    """How images come in.

    Attributes:
        spec: Of a batch.
        prepare: To what the network takes; ``None`` where it takes that.
        samples: To try it on, batch by batch, and what they are.
    """

    spec: tf.TensorSpec
    prepare: Callable[[tf.Tensor], tf.Tensor] | None
    samples: Callable[[], tuple[list[Any], str]]


def entry_of(subject: Subject, signature: str) -> Entry:
    """The entry of a signature: ``"raw"``, ``"images"`` or ``"bytes"``.

    Raises:
        UnsupportedArgumentError: If it is to preprocess, and nobody knows how, or no image has what the network takes.
    """
    if signature == "raw":
        return _raw(subject)
    _check_prepares(subject, signature)
    return _images(subject) if signature == "images" else _bytes(subject)


def _raw(subject: Subject) -> Entry:
    import tensorflow as tf

    def samples() -> tuple[list[Any], str]:
        images, of = subject.images()
        return [images], of

    return Entry(tf.TensorSpec(subject.model.inputs[0].shape, tf.float32, name=IMAGES), None, samples)


def _images(subject: Subject) -> Entry:
    """Pixels, in batches of one size, (batch, any height, any width, channels)."""
    import tensorflow as tf

    channels = subject.reading.options.decoded_channels(subject.network.input_shape[-1] or 0)

    def samples() -> tuple[list[Any], str]:
        pixels, of = sample_pixels(subject, channels)
        return [image[np.newaxis] for image in pixels], of

    return Entry(tf.TensorSpec((None, None, None, channels), tf.uint8, name=IMAGES), _preparing(subject), samples)


def _bytes(subject: Subject) -> Entry:
    """Encoded files, (batch,), each image of its own size."""
    import tensorflow as tf

    channels = subject.reading.options.decoded_channels(subject.network.input_shape[-1] or 0)
    if channels not in DECODED_CHANNELS:
        raise UnsupportedArgumentError(
            f"{subject.network.name} takes {channels} channels, and no image file has so many: take --signature images."
        )
    if subject.reading.exif_orientation:
        raise UnsupportedArgumentError(
            f"{subject.origin.name} was trained on images that are turned as EXIF says, which no graph of TensorFlow "
            "reads: take --signature images, and turn them before."
        )
    prepare = _preparing(subject)

    def prepare_files(files: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda contents: prepare(decode_image(contents, channels)), files, fn_output_signature=tf.float32
        )

    def samples() -> tuple[list[Any], str]:
        files, of = sample_files(subject, channels)
        return [np.array(files, object)], of

    return Entry(tf.TensorSpec((None,), tf.string, name="image_bytes"), prepare_files, samples)


def _preparing(subject: Subject) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda images: preprocess(images, subject.network, options=subject.reading.options)


def _check_prepares(subject: Subject, signature: str) -> None:
    network = subject.network
    if len(network.input_shape) != _IMAGE_RANK:
        raise UnsupportedArgumentError(
            f"{network.name} takes {network.input_shape} and no images, so --signature {signature} cannot be. Take "
            "--signature raw."
        )
    if network.preprocessing not in PIPELINES:
        raise UnsupportedArgumentError(
            f"--signature {signature} preprocesses, and nothing says how {network.name} wants its images. Give "
            f"--preprocessing-name, one of {', '.join(PIPELINES)} or a network of slim; or take --signature raw."
        )
