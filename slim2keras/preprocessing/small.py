"""The pipelines of small images, of CIFAR and of MNIST: LeNet's and CifarNet's.

slim's own take height for width where they pad; here each is itself. What CifarNet's does to brightness, its
standardisation undoes but for rounding; it is done all the same, so that the bits are slim's.

Sources: research/slim/preprocessing/lenet_preprocessing.py, cifarnet_preprocessing.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import Draws, Pipeline, Pixels, draw_nothing
from slim2keras.preprocessing.pixels import crop_or_pad, flip_if, to_float, to_grey
from slim2keras.preprocessing.randomness import between, draw_below, draw_units, heads, split_seed

if TYPE_CHECKING:
    import tensorflow as tf

_PADDING = 4

_CONTRASTS = (0.2, 1.8)

_BRIGHTNESS = 63.0

_CROPPED = "central crop or padding to {size}, not resized"


def _floats(image: tf.Tensor, options: PreprocessingOptions) -> tf.Tensor:
    image = to_float(image)
    return to_grey(image) if options.use_grayscale else image


def _prepare_lenet(image: tf.Tensor, target: Target) -> tf.Tensor:
    return (crop_or_pad(_floats(image, target.options), target.height, target.width) - 128.0) / 128.0


def _distort_lenet(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    del draws
    return _prepare_lenet(image, target)


def _prepare_cifarnet(image: tf.Tensor, target: Target) -> tf.Tensor:
    import tensorflow as tf

    image = crop_or_pad(_floats(image, target.options), target.height, target.width)
    return tf.image.per_image_standardization(image)


def _padded_size(rows: tf.Tensor, columns: tf.Tensor, target: Target) -> tuple[tf.Tensor, tf.Tensor]:
    """With four pixels on each side, and as many as the crop needs: a smaller image slim refuses to crop."""
    import tensorflow as tf

    return tf.maximum(rows + 2 * _PADDING, target.height), tf.maximum(columns + 2 * _PADDING, target.width)


def _draw_cifarnet(seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    of_top, of_left, of_units = split_seed(seed, 3)
    padded_rows, padded_columns = _padded_size(rows, columns, target)
    flip, brightness, contrast = draw_units(of_units, 3)
    return {
        "top": draw_below(of_top, padded_rows - target.height + 1),
        "left": draw_below(of_left, padded_columns - target.width + 1),
        "flip": heads(flip),
        "brightness": between(brightness, -_BRIGHTNESS, _BRIGHTNESS),
        "contrast": between(contrast, *_CONTRASTS),
    }


def _distort_cifarnet(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    import tensorflow as tf

    image = _floats(image, target.options)
    rows, columns = tf.unstack(tf.shape(image)[:2], num=2)
    image = crop_or_pad(image, *_padded_size(rows, columns, target))
    top, left = draws["top"], draws["left"]
    image = flip_if(draws["flip"], image[top : top + target.height, left : left + target.width])
    image = tf.image.adjust_contrast(tf.image.adjust_brightness(image, draws["brightness"]), draws["contrast"])
    return tf.image.per_image_standardization(image)


LENET = Pipeline(
    name="lenet",
    value_range=(-1.0, 127 / 128),
    steps=lambda _: _CROPPED,
    training_steps=lambda _: f"{_CROPPED}, nothing at random",
    takes=frozenset({"use_grayscale"}),
    prepare=_prepare_lenet,
    draw_numbers=draw_nothing,
    distort=_distort_lenet,
    geometry={"crop_or_pad": "central"},
    pixels=Pixels((128.0,), 1.0 / 128.0),
)

CIFARNET = Pipeline(
    name="cifarnet",
    value_range=None,
    steps=lambda _: _CROPPED,
    training_steps=lambda _: (
        f"{_PADDING} pixels of padding, random crop of {{size}}, not resized, random flip, random brightness, contrast"
    ),
    takes=frozenset({"use_grayscale"}),
    prepare=_prepare_cifarnet,
    draw_numbers=_draw_cifarnet,
    distort=_distort_cifarnet,
    geometry={"crop_or_pad": "central"},
    pixels=None,
)
