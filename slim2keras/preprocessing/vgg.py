"""VGG's pipeline, which ResNets share, and DenseNet's, which is that scaled.

Sources: research/slim/preprocessing/vgg_preprocessing.py; pudae/tensorflow-densenet,
preprocessing/densenet_preprocessing.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import Draws, Pipeline
from slim2keras.preprocessing.pixels import flip_if, resize_bilinear, to_grey
from slim2keras.preprocessing.randomness import draw_below, draw_units, heads, split_seed

if TYPE_CHECKING:
    import tensorflow as tf

_MEANS = (123.68, 116.78, 103.94)

_DENSENET_SCALE = 0.017


def _prepare(image: tf.Tensor, target: Target) -> tf.Tensor:
    """The middle of the image, its smaller side resized."""
    rows, columns = _resized_size(image, target.sides[0])
    top, left = (rows - target.height) // 2, (columns - target.width) // 2
    return _less_mean(_cropped(image, (rows, columns), (top, left), target), target.options)


def _draw(seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    import tensorflow as tf

    of_side, of_top, of_left, of_units = split_seed(seed, 4)
    shortest, longest = target.sides
    side = shortest + draw_below(of_side, longest - shortest + 1)
    resized_rows, resized_columns = _scaled(tf.stack([rows, columns]), side)
    return {
        "side": side,
        "top": draw_below(of_top, resized_rows - target.height + 1),
        "left": draw_below(of_left, resized_columns - target.width + 1),
        "flip": heads(draw_units(of_units, 1)[0]),
    }


def _distort(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    size = _resized_size(image, draws["side"])
    image = _cropped(image, size, (draws["top"], draws["left"]), target)
    return _less_mean(flip_if(draws["flip"], image), target.options)


def _resized_size(image: tf.Tensor, side: Any) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    return _scaled(tf.shape(image)[:2], side)


def _scaled(size: tf.Tensor, side: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows and columns, int32, of an image whose smaller side is resized to ``side``."""
    import tensorflow as tf

    sides = tf.cast(size, tf.float32)
    scale = tf.cast(side, tf.float32) / tf.reduce_min(sides)
    rows, columns = tf.unstack(tf.cast(tf.math.rint(sides * scale), tf.int32), num=2)
    return rows, columns


def _cropped(
    image: tf.Tensor, size: tuple[tf.Tensor, tf.Tensor], corner: tuple[tf.Tensor, tf.Tensor], target: Target
) -> tf.Tensor:
    """Resized to a size, and of that what is below and right of a corner."""
    top, left = corner
    return resize_bilinear(image, *size)[top : top + target.height, left : left + target.width]


def _less_mean(image: tf.Tensor, options: PreprocessingOptions) -> tf.Tensor:
    """Less the mean colour; grey, less the grey of that, where slim's own code takes grey for three channels."""
    import tensorflow as tf

    means = tf.constant(_MEANS)
    if options.use_grayscale:
        return to_grey(image) - to_grey(means[tf.newaxis, tf.newaxis])
    return image - means


def _prepare_densenet(image: tf.Tensor, target: Target) -> tf.Tensor:
    return _prepare(image, target) * _DENSENET_SCALE


def _distort_densenet(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    return _distort(image, draws, target) * _DENSENET_SCALE


_SUBTRACTED = f"0 to 255 less the mean colour ({', '.join(map(str, _MEANS))})"

_RESIZED = "smaller side resized to {shortest} (bilinear), central crop of {size}"

_DISTORTED = "smaller side resized to {shortest} to {longest} at random (bilinear), random crop of {size}, random flip"

_DARKEST, _BRIGHTEST = -max(_MEANS), 255.0 - min(_MEANS)


_TAKES = frozenset({"use_grayscale", "resize_side_min", "resize_side_max"})

VGG = Pipeline(
    "vgg",
    (_DARKEST, _BRIGHTEST),
    lambda _: f"{_SUBTRACTED}, {_RESIZED}",
    lambda _: f"{_SUBTRACTED}, {_DISTORTED}",
    _TAKES,
    _prepare,
    _draw,
    _distort,
    len(_MEANS),
)

DENSENET = Pipeline(
    "densenet",
    (_DARKEST * _DENSENET_SCALE, _BRIGHTEST * _DENSENET_SCALE),
    lambda _: f"{_SUBTRACTED}, times {_DENSENET_SCALE}, {_RESIZED}",
    lambda _: f"{_SUBTRACTED}, times {_DENSENET_SCALE}, {_DISTORTED}",
    _TAKES,
    _prepare_densenet,
    _draw,
    _distort_densenet,
    len(_MEANS),
)
