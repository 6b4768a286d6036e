"""What a network wants of its images and what its classes are called, as it travels with a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import preprocessing_meaning
from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import Pipeline, Pixels
from slim2keras.preprocessing.pipelines import PIPELINES

_COLOURS = {1: "grey", 3: "RGB"}
_LAYOUTS = {3: "NHWC", 4: "NDHWC"}
"""Axes of a batch of images, and of videos, whose frames are TensorFlow's D, by the rank of one."""
_SIDE = "resize_smaller_side"
_GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in ``tf.image.rgb_to_grayscale``."""


def describe_images(
    network: Network,
    class_names: Sequence[str] | None = None,
    options: PreprocessingOptions = PreprocessingOptions(),  # noqa: B008  frozen
) -> dict[str, Any]:
    """What a network wants of its images, as plain values.

    Args:
        network: Of the images.
        class_names: ``None`` if nobody knows.
        options: Of slim's pipelines, as they are prepared with.

    Returns:
        ``size``: [height, width], ``None`` where open, or of what is no image; ``channels``; ``colours``: ``"RGB"``,
        ``"grey"`` or ``None``; ``layout``: that of the input, ``"NHWC"``, or ``"NDHWC"`` of videos; ``dtype``;
        ``pipeline``: key of slim's, ``None`` if nobody knows;
        ``mean``, ``scale``: a value is ``(pixel - mean) * scale`` of a pixel of 0 to 255, ``None`` where it depends on
        the image; ``geometry``: which part of an image, and how it gets its size; ``words``: all of it;
        ``labels_offset``: 1 without a background class; ``class_names``: ``None`` if nobody knows.
    """
    pipeline = PIPELINES.get(network.preprocessing)
    pixels = None if pipeline is None else pipeline.pixels
    channels, layout = network.usual_shape[-1], _LAYOUTS.get(len(network.usual_shape))
    is_image = layout is not None
    return {
        "size": list(network.image_size) if is_image else None,
        "channels": channels,
        "colours": _COLOURS.get(channels or 0) if is_image else None,
        "layout": layout,
        "dtype": "float32",
        "pipeline": None if pipeline is None else pipeline.name,
        "mean": None if pixels is None else _mean(pixels, options),
        "scale": None if pixels is None else pixels.scale,
        "geometry": None if pipeline is None else _geometry(pipeline, network, options),
        "words": preprocessing_meaning(network, options),
        "labels_offset": network.labels_offset,
        "class_names": None if class_names is None else list(class_names),
    }


def _mean(pixels: Pixels, options: PreprocessingOptions) -> list[float]:
    if options.use_grayscale and len(pixels.mean) == len(_GREY):
        return [sum(weight * mean for weight, mean in zip(_GREY, pixels.mean, strict=True))]
    return list(pixels.mean)


def _geometry(pipeline: Pipeline, network: Network, options: PreprocessingOptions) -> dict[str, Any]:
    found = dict(pipeline.geometry)
    if not options.crop_image:
        found.pop("central_fraction", None)
    if _SIDE in found:
        height, width = network.image_size
        found[_SIDE] = Target(height or 0, width or 0, options).sides[0]
    return found
