"""slim's evaluation pipelines, what each means.

Sources: research/slim/preprocessing/*.py, ``preprocess_for_eval``; pudae/tensorflow-densenet,
preprocessing/densenet_preprocessing.py; davidsandberg/facenet, src/facenet.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    import tensorflow as tf


_VGG_MEANS = (123.68, 116.78, 103.94)

_VGG_SIDE = 256

_DENSENET_SCALE = 0.017

_CENTRAL_FRACTION = 0.875


@dataclass(frozen=True)
class Pipeline:
    """What becomes of an image before a network evaluates it.

    Attributes:
        name: Key of slim's ``preprocessing_factory``, or of its original's own.
        value_range: Smallest and largest value that comes out, ``None`` where that depends on the image.
        steps: What is done, in words; ``{size}`` stands for the size of the network's images.
        prepare: Does it: image, (any height, any width, channels), height and width to (height, width, channels).
    """

    name: str
    value_range: tuple[float, float] | None
    steps: str
    prepare: Callable[[tf.Tensor, int, int], tf.Tensor]

    def describe(self, height: int | None, width: int | None) -> str:
        """What it means, in one sentence: values, crop, size."""
        values = "of mean 0 and deviation 1, each image by itself"
        if self.value_range is not None:
            values = "in [{:.6g}, {:.6g}]".format(*self.value_range)
        size = f"{height or 'any'} x {width or 'any'}"
        return f"{self.name}: float32 {values}, {self.steps.format(size=size)}"


def run_pipeline(pipeline: Pipeline, image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Prepare one image, uint8, (any height, any width, channels); gives float32, (height, width, channels)."""
    prepared = pipeline.prepare(image, height, width)
    prepared.set_shape((height, width, image.shape[-1]))
    return prepared


def _prepare_inception(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    import tensorflow as tf

    image = tf.image.central_crop(tf.image.convert_image_dtype(image, tf.float32), _CENTRAL_FRACTION)
    return (_resize_bilinear(image, height, width) - 0.5) * 2.0


def _prepare_vgg(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    import tensorflow as tf

    if image.shape[-1] not in (None, len(_VGG_MEANS)):
        raise UnsupportedArgumentError(
            f"vgg subtracts a mean colour of three channels. Received: {image.shape[-1]} channels. Of grey images "
            "tf.image.grayscale_to_rgb(images) makes three, if the network takes three; else give it images that are "
            "preprocessed, as .npz."
        )
    return _central_crop_of_vgg(image, height, width) - tf.constant(_VGG_MEANS)


def _prepare_densenet(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    return _prepare_vgg(image, height, width) * _DENSENET_SCALE


def _prepare_lenet(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    return (_crop_or_pad(image, height, width) - 128.0) / 128.0


def _prepare_cifarnet(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    import tensorflow as tf

    return tf.image.per_image_standardization(_crop_or_pad(image, height, width))


def _prepare_facenet_fixed(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    return (_crop_or_pad(image, height, width) - 127.5) / 128.0


def _prepare_facenet_prewhiten(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """By the statistics of the whole image, in float64, and cropped then."""
    import tensorflow as tf

    image = tf.cast(image, tf.float64)
    smallest = 1.0 / tf.sqrt(tf.cast(tf.size(image), tf.float64))
    whitened = (image - tf.reduce_mean(image)) * (1.0 / tf.maximum(tf.math.reduce_std(image), smallest))
    return _crop_or_pad(tf.cast(whitened, tf.float32), height, width)


def _crop_or_pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    import tensorflow as tf

    return tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32), height, width)


def _resize_bilinear(image: tf.Tensor, height: Any, width: Any) -> tf.Tensor:
    """TensorFlow 1's rule; ``tf.image.resize`` samples at other points."""
    import tensorflow as tf

    return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], (height, width), align_corners=False)[0]


def _central_crop_of_vgg(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The middle of the image, its smaller side resized to 256 pixels, or to the crop if that is larger."""
    import tensorflow as tf

    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = float(max(_VGG_SIDE, height, width)) / tf.reduce_min(sides)
    rows, columns = tf.unstack(tf.cast(tf.math.rint(sides * scale), tf.int32))
    image = _resize_bilinear(image, rows, columns)
    top, left = (rows - height) // 2, (columns - width) // 2
    return image[top : top + height, left : left + width]


def _listed(*pipelines: Pipeline) -> dict[str, Pipeline]:
    return {pipeline.name: pipeline for pipeline in pipelines}


_RESIZED = f"smaller side resized to {_VGG_SIDE} (bilinear), central crop of {{size}}"

_DARKEST, _BRIGHTEST = -max(_VGG_MEANS), 255.0 - min(_VGG_MEANS)

_MEANS = ", ".join(map(str, _VGG_MEANS))

PIPELINES: Mapping[str, Pipeline] = _listed(
    Pipeline(
        "inception",
        (-1.0, 1.0),
        f"central crop of {100 * _CENTRAL_FRACTION:g} %, bilinear resize to {{size}}",
        _prepare_inception,
    ),
    Pipeline("vgg", (_DARKEST, _BRIGHTEST), f"0 to 255 less the mean colour ({_MEANS}), {_RESIZED}", _prepare_vgg),
    Pipeline(
        "densenet",
        (_DARKEST * _DENSENET_SCALE, _BRIGHTEST * _DENSENET_SCALE),
        f"0 to 255 less the mean colour ({_MEANS}), times {_DENSENET_SCALE}, {_RESIZED}",
        _prepare_densenet,
    ),
    Pipeline("lenet", (-1.0, 127 / 128), "central crop or padding to {size}, not resized", _prepare_lenet),
    Pipeline("cifarnet", None, "central crop or padding to {size}, not resized", _prepare_cifarnet),
    Pipeline(
        "facenet_fixed",
        (-127.5 / 128, 127.5 / 128),
        "aligned faces, central crop or padding to {size}, not resized",
        _prepare_facenet_fixed,
    ),
    Pipeline(
        "facenet_prewhiten",
        None,
        "aligned faces, central crop or padding to {size}, not resized",
        _prepare_facenet_prewhiten,
    ),
)
"""Every pipeline that a network or a published checkpoint wants, by its key."""
