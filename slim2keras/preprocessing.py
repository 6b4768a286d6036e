"""Images as a network wants them: slim's evaluation pipelines, what each means, and whether images look like it.

Sources: research/slim/preprocessing/*.py, ``preprocess_for_eval``; pudae/tensorflow-densenet,
preprocessing/densenet_preprocessing.py; davidsandberg/facenet, src/facenet.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import PreprocessingWarning, UnsupportedArgumentError, did_you_mean
from slim2keras.keras_model import find_network
from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec
from slim2keras.network import Network

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

_VGG_MEANS = (123.68, 116.78, 103.94)
_VGG_SIDE = 256
_DENSENET_SCALE = 0.017
_CENTRAL_FRACTION = 0.875
_STANDARDISED = (-16.0, 16.0)
"""Pixels of mean 0 and deviation 1 hardly reach further."""
_WIDE_RANGE = 50.0
"""Values further apart are pixels that were shifted; of values closer together, pixels that were scaled too."""
_SCALED_SPREAD = 3.0
"""Images scaled to [0, 1] or [-1, 1] spread less; those less a mean colour spread more, as any two colours do."""


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


def preprocess(
    images: Any, network: tf_keras.Model | Network | str, *, height: int | None = None, width: int | None = None
) -> tf.Tensor:
    """Prepare images for a network as slim does when it evaluates; also within ``tf.function`` and ``Dataset.map``.

    Args:
        images: uint8, 0 to 255, RGB: one image, (any height, any width, channels), or a batch of images of one size,
            (batch, any height, any width, channels). Frames of a video are a batch. Other types are refused: slim's
            pipelines take floats for pixels of 0 to 1 in one place and for pixels of 0 to 255 in the next.
        network: Model of ``build``, ``convert`` or ``finetune``, or its network; name of a network
            (``"resnet_v1_50"``); or key of a pipeline (``"inception"``, see ``PIPELINES``), for a checkpoint that wants
            another than its network does.
        height: Pixels of the result; those that the network wants if left out. A pipeline has none of its own.
        width: The same.

    Returns:
        float32, (height, width, channels) or (batch, height, width, channels).

    Raises:
        UnsupportedArgumentError: If the images are not uint8 of rank 3 or 4, or the network is unknown, or has no size.

    Example:
        >>> image = tf.io.decode_jpeg(tf.io.read_file("cat.jpg"), channels=3)
        >>> logits = model(preprocess(image, model)[tf.newaxis])
        >>> batches = dataset.map(lambda image, label: (preprocess(image, "resnet_v1_50"), label)).batch(32)
    """
    import tensorflow as tf

    pipeline, size = _pipeline_and_size(network)
    height, width = height or size[0], width or size[1]
    if height is None or width is None:
        raise UnsupportedArgumentError(
            f"The pipeline {network!r} has no size of its own. Give height=... and width=..., or a network."
        )
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank not in (3, 4):
        raise UnsupportedArgumentError(
            "images must be uint8, 0 to 255, (height, width, channels) or (batch, height, width, channels), as "
            f"tf.io.decode_image(..., expand_animations=False) gives them. Received: {images.dtype.name}, "
            f"{images.shape}. Pixels of 0 to 255 in another type: tf.cast(images, tf.uint8); of 0 to 1: "
            "tf.image.convert_image_dtype(images, tf.uint8, saturate=True). What is preprocessed already needs nothing."
        )
    if images.shape.rank == 3:
        return _prepare(pipeline, images, height, width)
    return tf.map_fn(lambda image: _prepare(pipeline, image, height, width), images, fn_output_signature=tf.float32)


def _pipeline_and_size(network: Any) -> tuple[Pipeline, tuple[int | None, int | None]]:
    """Pipeline of a model, of a network by name, or by its own; and the size of the images, if there is one."""
    if not isinstance(network, str):
        known = network if isinstance(network, Network) else find_network(network)
        if known is None or known.preprocessing not in PIPELINES:
            raise UnsupportedArgumentError(
                f"What {getattr(network, 'name', network)} wants cannot be told: "
                f"{_UNKNOWN_PIPELINE if known else 'it is not a network of slim2keras'}. "
                'Give the name of the network below it, such as "resnet_v1_50", with height=... and width=... if its '
                "images are of another size."
            )
        return pipeline_of(known), known.image_size
    if network in NETS:
        spec = NetSpec.make(network, None, {})
        return pipeline_of(spec), spec.image_size
    if network in PIPELINES:
        return PIPELINES[network], (None, None)
    raise UnsupportedArgumentError(
        f"There is no network and no pipeline {network!r}.{did_you_mean(network, [*NETS, *PIPELINES])} Pipelines are "
        f"{', '.join(PIPELINES)}; networks: slim2keras.list_nets()."
    )


def _prepare(pipeline: Pipeline, image: tf.Tensor, height: int, width: int) -> tf.Tensor:
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


_UNKNOWN_PIPELINE = "nothing says how its images are preprocessed"


def pipeline_of(network: Network) -> Pipeline:
    """The pipeline that a network wants: that of the published checkpoint which it comes from, else its own.

    Raises:
        UnsupportedArgumentError: If nobody knows.
    """
    if network.preprocessing not in PIPELINES:
        raise UnsupportedArgumentError(f"{network.name}: {_UNKNOWN_PIPELINE}. Give images that are, as .npz.")
    return PIPELINES[network.preprocessing]


def preprocessing_meaning(network: Network) -> str | None:
    """What a network wants of its images, in words; ``None`` if nobody knows."""
    if network.preprocessing not in PIPELINES:
        return None
    return PIPELINES[network.preprocessing].describe(*network.image_size)


def doubt_about(images: Any, network: Network) -> str | None:
    """Why images can hardly be preprocessed as a network wants them, ``None`` if nothing speaks against it.

    Args:
        images: A batch, as the network would get it.
        network: The network.
    """
    if network.preprocessing not in PIPELINES:
        return None
    seen = _seen(np.asarray(images), pipeline_of(network).value_range or _STANDARDISED)
    if seen is None:
        return None
    return (
        f"The images {seen}, and {network.name} wants them preprocessed: {preprocessing_meaning(network)}. "
        "slim2keras.preprocessing.preprocess(images, model) does that, from uint8. Ignore this if the network was "
        "trained on such images."
    )


def _seen(images: np.ndarray[Any, Any], wanted: tuple[float, float]) -> str | None:
    """What is seen of images that cannot be in a range, in words."""
    if images.dtype.kind in "iub":
        return f"are {images.dtype}"
    # TensorFlow's half precision is no type of NumPy's own.
    values = images.astype("float32", copy=False)
    low, high = (float(bound) for bound in (np.min(values, initial=np.inf), np.max(values, initial=-np.inf)))
    if low == high or not np.isfinite([low, high]).all():
        return None
    width = wanted[1] - wanted[0]
    if low >= 0.0 and wanted[1] + max(0.05 * width, 1.0) < high <= 255.0:
        return "look like pixels of 0 to 255"
    if low < wanted[0] - width / 2 or high > wanted[1] + width / 2:
        return f"have values from {low:.4g} to {high:.4g}"
    if width > _WIDE_RANGE and high - low < _SCALED_SPREAD:
        return f"have values from {low:.4g} to {high:.4g} only"
    return None


def warn_if_doubtful(images: Any, model: tf_keras.Model, stacklevel: int = 2) -> None:
    """Warn of images that can hardly be such as a network of slim2keras wants; of anybody else's nothing is known.

    Warns:
        PreprocessingWarning: What is seen of them, and what the network wants.
    """
    network = find_network(model)
    doubt = None if network is None else doubt_about(images, network)
    if doubt is not None:
        warnings.warn(doubt, PreprocessingWarning, stacklevel=stacklevel + 1)
