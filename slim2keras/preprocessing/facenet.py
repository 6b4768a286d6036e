"""facenet's two pipelines, of faces that are aligned already.

In training, facenet standardises what was cropped; checkpoints of 2017 are evaluated with what was whitened before.
Its scripts rotate by SciPy's ``imrotate``, bicubic and long gone; here it is bilinear.

Source: davidsandberg/facenet, src/facenet.py, ``create_input_pipeline``, ``prewhiten``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import pi
from typing import TYPE_CHECKING

from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import WINDOW, Draws, Pipeline, Pixels
from slim2keras.preprocessing.pixels import crop_or_pad, cut, flip_if, to_float
from slim2keras.preprocessing.randomness import between, draw_below, draw_units, heads, split_seed

if TYPE_CHECKING:
    import tensorflow as tf

_LARGEST_ANGLE = 10.0

_ROTATED_WINDOW = "window_of_rotated"


def _prepare_fixed(image: tf.Tensor, target: Target) -> tf.Tensor:
    return _fixed(crop_or_pad(image, target.height, target.width))


def _prepare_prewhiten(image: tf.Tensor, target: Target) -> tf.Tensor:
    """By the statistics of the whole image, in float64, and cropped then."""
    import tensorflow as tf

    image = tf.cast(image, tf.float64)
    smallest = 1.0 / tf.sqrt(tf.cast(tf.size(image), tf.float64))
    whitened = (image - tf.reduce_mean(image)) * (1.0 / tf.maximum(tf.math.reduce_std(image), smallest))
    return crop_or_pad(tf.cast(whitened, tf.float32), target.height, target.width)


def _draw(seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    of_top, of_left, of_units = split_seed(seed, 3)
    options = target.options
    flip, angle = draw_units(of_units, 2)
    draws = {"flip": heads(flip)} if options.random_flip else {}
    if options.random_rotate:
        draws["angle"] = between(angle, -_LARGEST_ANGLE, _LARGEST_ANGLE)
    if options.crop_image:
        window = _draw_window(of_top, of_left, (rows, columns), target)
        draws[_ROTATED_WINDOW if options.random_rotate else WINDOW] = window
    return draws


def _draw_window(of_top: tf.Tensor, of_left: tf.Tensor, size: tuple[tf.Tensor, tf.Tensor], target: Target) -> tf.Tensor:
    """Of the target's size, or as much as there is: the rest is padded, where facenet refuses to crop."""
    import tensorflow as tf

    height, width = tf.minimum(size[0], target.height), tf.minimum(size[1], target.width)
    top, left = draw_below(of_top, size[0] - height + 1), draw_below(of_left, size[1] - width + 1)
    return tf.stack([top, left, height, width])


def _distort(
    standardise: Callable[[tf.Tensor], tf.Tensor], image: tf.Tensor, draws: Draws, target: Target
) -> tf.Tensor:
    if "angle" in draws:
        image = _rotate(to_float(image), draws["angle"])
    if _ROTATED_WINDOW in draws:
        image = cut(image, draws[_ROTATED_WINDOW])
    image = crop_or_pad(image, target.height, target.width)
    return standardise(flip_if(draws["flip"], image) if "flip" in draws else image)


def _rotate(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Counter-clockwise around the middle, bilinear; black where there was no image."""
    import tensorflow as tf

    size = tf.shape(image)[:2]
    middle = (tf.cast(size, tf.float32) - 1.0) / 2.0
    cosine, sine = tf.cos(degrees * (pi / 180.0)), tf.sin(degrees * (pi / 180.0))
    transform = [
        *(cosine, -sine, middle[1] - cosine * middle[1] + sine * middle[0]),
        *(sine, cosine, middle[0] - sine * middle[1] - cosine * middle[0]),
        *(0.0, 0.0),
    ]
    rotated = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.stack(transform)[tf.newaxis],
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return rotated[0]


def _fixed(image: tf.Tensor) -> tf.Tensor:
    return (to_float(image) - 127.5) / 128.0


def _standardised(image: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.image.per_image_standardization(image)


def _training_steps(options: PreprocessingOptions) -> str:
    crop = "random" if options.crop_image else "central"
    flip = ", random flip" if options.random_flip else ""
    rotation = f"random rotation by up to {_LARGEST_ANGLE:g} degrees, " if options.random_rotate else ""
    return f"aligned faces, {rotation}{crop} crop or padding to {{size}}, not resized{flip}"


_STEPS = "aligned faces, central crop or padding to {size}, not resized"

_TAKES = frozenset({"crop_image", "random_flip", "random_rotate"})

FACENET_FIXED = Pipeline(
    name="facenet_fixed",
    value_range=(-127.5 / 128, 127.5 / 128),
    steps=lambda _: _STEPS,
    training_steps=_training_steps,
    takes=_TAKES,
    prepare=_prepare_fixed,
    draw_numbers=_draw,
    distort=partial(_distort, _fixed),
    geometry={"crop_or_pad": "central"},
    pixels=Pixels((127.5,), 1.0 / 128.0),
)

FACENET_PREWHITEN = Pipeline(
    name="facenet_prewhiten",
    value_range=None,
    steps=lambda _: _STEPS,
    training_steps=_training_steps,
    takes=_TAKES,
    prepare=_prepare_prewhiten,
    draw_numbers=_draw,
    distort=partial(_distort, _standardised),
    geometry={"crop_or_pad": "central"},
    pixels=None,
)
