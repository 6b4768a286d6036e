"""VGG's pipeline, which ResNets share, and DenseNet's, which is that scaled.

Sources: research/slim/preprocessing/vgg_preprocessing.py; pudae/tensorflow-densenet,
preprocessing/densenet_preprocessing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import WINDOW, Draws, Pipeline, Pixels
from slim2keras.preprocessing.pixels import cut, to_float, to_grey
from slim2keras.preprocessing.randomness import draw_below, draw_units, heads, split_seed
from slim2keras.preprocessing.resizing import Places, interpolated, places_of, window_of

if TYPE_CHECKING:
    import tensorflow as tf

Whole: TypeAlias = "Callable[[tf.Tensor], tf.Tensor]"
"""Makes whole pixels of fractions."""

_MEANS = (123.68, 116.78, 103.94)

_DENSENET_SCALE = 0.017


def _prepare(whole: Whole, image: tf.Tensor, target: Target) -> tf.Tensor:
    """The middle of the image, its smaller side resized."""
    import tensorflow as tf

    size = tf.shape(image)[:2]
    resized = _scaled(whole, size, target.sides[0], target)
    corner = (resized - (target.height, target.width)) // 2
    rows, columns = _places(size, resized, corner, target)
    window = window_of(rows, columns)
    return _less_mean(interpolated(cut(image, window), window, rows, columns), target.options)


def _draw(whole: Whole, seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    import tensorflow as tf

    of_side, of_top, of_left, of_units = split_seed(seed, 4)
    shortest, longest = target.sides
    side = shortest + draw_below(of_side, longest - shortest + 1)
    size = tf.stack([rows, columns])
    resized = _scaled(whole, size, side, target)
    room = resized - (target.height, target.width) + 1
    corner = tf.stack([draw_below(of_top, room[0]), draw_below(of_left, room[1])])
    window = window_of(*_places(size, resized, corner, target))
    return {"side": side, "corner": corner, "flip": heads(draw_units(of_units, 1)[0]), "size": size, WINDOW: window}


def _distort(whole: Whole, part: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    resized = _scaled(whole, draws["size"], draws["side"], target)
    rows, columns = _places(draws["size"], resized, draws["corner"], target)
    image = interpolated(part, draws[WINDOW], rows, columns.reversed_if(draws["flip"]))
    return _less_mean(image, target.options)


def _places(size: tf.Tensor, resized: tf.Tensor, corner: tf.Tensor, target: Target) -> tuple[Places, Places]:
    """Where the crop, below and right of its corner in the resized image, lies in the image."""
    rows = places_of(corner[0], target.height, size[0], resized[0])
    return rows, places_of(corner[1], target.width, size[1], resized[1])


def _scaled(whole: Whole, size: tf.Tensor, side: Any, target: Target) -> tf.Tensor:
    """Rows and columns, int32, (2,), of an image whose smaller side is resized to ``side``."""
    import tensorflow as tf

    sides = to_float(size)
    scale = to_float(side) / tf.reduce_min(sides)
    # A fraction that is cut off may leave a pixel less than the crop has; DenseNet's own code refuses to crop then.
    return tf.maximum(tf.cast(whole(sides * scale), tf.int32), (target.height, target.width))


def _rounded(pixels: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.math.rint(pixels)


def _cut_off(pixels: tf.Tensor) -> tf.Tensor:
    """DenseNet's older copy of the pipeline drops the fraction of a pixel."""
    import tensorflow as tf

    return tf.floor(pixels)


def _less_mean(image: tf.Tensor, options: PreprocessingOptions) -> tf.Tensor:
    """Less the mean colour; grey, less the grey of that, where slim's own code takes grey for three channels."""
    import tensorflow as tf

    means = tf.constant(_MEANS)
    if options.use_grayscale:
        return to_grey(image) - to_grey(means[tf.newaxis, tf.newaxis])
    # A graph would take a constant that is subtracted into the sum of the interpolation, and round otherwise.
    return tf.nn.bias_add(image, -means)


def _prepare_densenet(image: tf.Tensor, target: Target) -> tf.Tensor:
    return _prepare(_cut_off, image, target) * _DENSENET_SCALE


def _distort_densenet(part: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    return _distort(_cut_off, part, draws, target) * _DENSENET_SCALE


_SUBTRACTED = f"0 to 255 less the mean colour ({', '.join(map(str, _MEANS))})"

_RESIZED = "smaller side resized to {shortest} (bilinear), central crop of {size}"

_DISTORTED = "smaller side resized to {shortest} to {longest} at random (bilinear), random crop of {size}, random flip"

_DARKEST, _BRIGHTEST = -max(_MEANS), 255.0 - min(_MEANS)


_TAKES = frozenset({"use_grayscale", "resize_side_min", "resize_side_max"})

_GEOMETRY = {"resize_smaller_side": 256, "resize": "bilinear", "crop": "central"}

VGG = Pipeline(
    name="vgg",
    value_range=(_DARKEST, _BRIGHTEST),
    steps=lambda _: f"{_SUBTRACTED}, {_RESIZED}",
    training_steps=lambda _: f"{_SUBTRACTED}, {_DISTORTED}",
    takes=_TAKES,
    prepare=partial(_prepare, _rounded),
    draw_numbers=partial(_draw, _rounded),
    distort=partial(_distort, _rounded),
    geometry=_GEOMETRY,
    pixels=Pixels(_MEANS, 1.0),
    channels=len(_MEANS),
)

DENSENET = Pipeline(
    name="densenet",
    value_range=(_DARKEST * _DENSENET_SCALE, _BRIGHTEST * _DENSENET_SCALE),
    steps=lambda _: f"{_SUBTRACTED}, times {_DENSENET_SCALE}, {_RESIZED}",
    training_steps=lambda _: f"{_SUBTRACTED}, times {_DENSENET_SCALE}, {_DISTORTED}",
    takes=_TAKES,
    prepare=_prepare_densenet,
    draw_numbers=partial(_draw, _cut_off),
    distort=_distort_densenet,
    geometry=_GEOMETRY,
    pixels=Pixels(_MEANS, _DENSENET_SCALE),
    channels=len(_MEANS),
)
