"""What a network wants of its images and what its classes are called, as it travels with a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import preprocessing_meaning
from slim2keras.preprocessing.pipelines import PIPELINES

_COLOURS = {1: "grey", 3: "RGB"}


def describe_images(network: Network, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """What a network wants of its images, as plain values.

    Returns:
        ``size``: [height, width], ``None`` where open; ``channels``; ``colours``: ``"RGB"``, ``"grey"`` or ``None``;
        ``layout``: ``"NHWC"``, that of the input; ``dtype``; ``pipeline``: key of slim's, ``None`` if nobody knows;
        ``mean``, ``scale``: a value is ``(pixel - mean) * scale`` of a pixel of 0 to 255, ``None`` where it depends on
        the image; ``geometry``: which part of an image, and how it gets its size; ``words``: all of it;
        ``labels_offset``: 1 without a background class; ``class_names``: ``None`` if nobody knows.
    """
    pipeline = PIPELINES.get(network.preprocessing)
    pixels = None if pipeline is None else pipeline.pixels
    *_, height, width, channels = network.usual_shape
    return {
        "size": [height, width],
        "channels": channels,
        "colours": _COLOURS.get(channels or 0),
        "layout": "NHWC",
        "dtype": "float32",
        "pipeline": None if pipeline is None else pipeline.name,
        "mean": None if pixels is None else list(pixels.mean),
        "scale": None if pixels is None else pixels.scale,
        "geometry": None if pipeline is None else dict(pipeline.geometry),
        "words": preprocessing_meaning(network),
        "labels_offset": network.labels_offset,
        "class_names": None if class_names is None else list(class_names),
    }
