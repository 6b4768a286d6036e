"""VGG's pipeline, which ResNets share, and DenseNet's, which is that scaled.

Sources: research/slim/preprocessing/vgg_preprocessing.py; pudae/tensorflow-densenet,
preprocessing/densenet_preprocessing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import Draws, Pipeline
from slim2keras.preprocessing.pixels import flip_if, resize_bilinear, to_grey
from slim2keras.preprocessing.randomness import draw_below, draw_units, heads, split_seed

if TYPE_CHECKING:
    import tensorflow as tf

Whole: TypeAlias = "Callable[[tf.Tensor], tf.Tensor]"
"""Makes whole pixels of fractions."""

_MEANS = (123.68, 116.78, 103.94)

_DENSENET_SCALE = 0.017


def _prepare(whole: Whole, image: tf.Tensor, target: Target) -> tf.Tensor:
    """The middle of the image, its smaller side resized."""
    import tensorflow as tf

    rows, columns = _scaled(whole, tf.shape(image)[:2], target.sides[0], target)
    top, left = (rows - target.height) // 2, (columns - target.width) // 2
    return _less_mean(_cropped(image, (rows, columns), (top, left), target), target.options)


def _draw(whole: Whole, seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    import tensorflow as tf

    of_side, of_top, of_left, of_units = split_seed(seed, 4)
    shortest, longest = target.sides
    side = shortest + draw_below(of_side, longest - shortest + 1)
    resized_rows, resized_columns = _scaled(whole, tf.stack([rows, columns]), side, target)
    return {
        "side": side,
        "top": draw_below(of_top, resized_rows - target.height + 1),
        "left": draw_below(of_left, resized_columns - target.width + 1),
        "flip": heads(draw_units(of_units, 1)[0]),
    }


def _distort(whole: Whole, image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    import tensorflow as tf

    size = _scaled(whole, tf.shape(image)[:2], draws["side"], target)
    image = _cropped(image, size, (draws["top"], draws["left"]), target)
    return _less_mean(flip_if(draws["flip"], image), target.options)


def _scaled(whole: Whole, size: tf.Tensor, side: Any, target: Target) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows and columns, int32, of an image whose smaller side is resized to ``side``."""
    import tensorflow as tf

    sides = tf.cast(size, tf.float32)
    scale = tf.cast(side, tf.float32) / tf.reduce_min(sides)
    # A fraction that is cut off may leave a pixel less than the crop has; DenseNet's own code refuses to crop then.
    pixels = tf.maximum(tf.cast(whole(sides * scale), tf.int32), (target.height, target.width))
    rows, columns = tf.unstack(pixels, num=2)
    return rows, columns


def _cropped(
    image: tf.Tensor, size: tuple[tf.Tensor, tf.Tensor], corner: tuple[tf.Tensor, tf.Tensor], target: Target
) -> tf.Tensor:
    """Resized to a size, and of that what is below and right of a corner."""
    top, left = corner
    return resize_bilinear(image, *size)[top : top + target.height, left : left + target.width]


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
    return image - means


def _prepare_densenet(image: tf.Tensor, target: Target) -> tf.Tensor:
    return _prepare(_cut_off, image, target) * _DENSENET_SCALE


def _distort_densenet(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    return _distort(_cut_off, image, draws, target) * _DENSENET_SCALE


_SUBTRACTED = f"0 to 255 less the mean colour ({', '.join(map(str, _MEANS))})"

_RESIZED = "smaller side resized to {shortest} (bilinear), central crop of {size}"

_DISTORTED = "smaller side resized to {shortest} to {longest} at random (bilinear), random crop of {size}, random flip"

_DARKEST, _BRIGHTEST = -max(_MEANS), 255.0 - min(_MEANS)


_TAKES = frozenset({"use_grayscale", "resize_side_min", "resize_side_max"})

VGG = Pipeline(
    name="vgg",
    value_range=(_DARKEST, _BRIGHTEST),
    steps=lambda _: f"{_SUBTRACTED}, {_RESIZED}",
    training_steps=lambda _: f"{_SUBTRACTED}, {_DISTORTED}",
    takes=_TAKES,
    prepare=partial(_prepare, _rounded),
    draw_numbers=partial(_draw, _rounded),
    distort=partial(_distort, _rounded),
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
    channels=len(_MEANS),
)
