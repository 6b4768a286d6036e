"""Inception's pipeline, which most of slim's networks share.

Source: research/slim/preprocessing/inception_preprocessing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING

from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pipeline import WINDOW, Draws, Pipeline, Pixels
from slim2keras.preprocessing.pixels import channels_of, flip_if, resize_bilinear, to_grey
from slim2keras.preprocessing.randomness import between, draw_below, draw_units, heads, split_seed

if TYPE_CHECKING:
    import tensorflow as tf

_CENTRAL_FRACTION = 0.875

_AREAS = (0.05, 1.0)

_ASPECT_RATIOS = (0.75, 1.33)

_COLOURS = {"brightness": (-32.0 / 255.0, 32.0 / 255.0), "saturation": (0.5, 1.5)}

_SLOW_COLOURS = {**_COLOURS, "hue": (-0.2, 0.2), "contrast": (0.5, 1.5)}

_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)

_RESIZE_METHODS = 4
"""TensorFlow 1's ``ResizeMethod``: bilinear, nearest neighbour, bicubic, area."""


def _prepare(image: tf.Tensor, target: Target) -> tf.Tensor:
    import tensorflow as tf

    image = _unit_floats(image)
    if target.options.use_grayscale:
        image = to_grey(image)
    if target.options.crop_image:
        image = tf.image.central_crop(image, _CENTRAL_FRACTION)
    return _centred(resize_bilinear(image, target.height, target.width))


def _draw(seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    of_window, of_units, of_method, of_order = split_seed(seed, 4)
    colours = _COLOURS if target.options.fast_mode else _SLOW_COLOURS
    flip, *units = draw_units(of_units, 1 + len(colours))
    draws = {"flip": heads(flip)}
    draws |= {name: between(unit, *colours[name]) for name, unit in zip(colours, units, strict=True)}
    if not target.options.fast_mode:
        draws |= {"method": draw_below(of_method, _RESIZE_METHODS), "order": draw_below(of_order, len(_ORDERS))}
    if target.options.crop_image:
        draws[WINDOW] = _draw_window(of_window, rows, columns)
    return draws


def _draw_window(seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """A part of the image: of its area and aspect at random; all of it after a hundred attempts."""
    import tensorflow as tf

    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.stack([rows, columns, 3]),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed,
        min_object_covered=0.1,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=_AREAS,
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def _distort(part: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    import tensorflow as tf

    image = flip_if(draws["flip"], _resize(_unit_floats(part), draws, target))
    image = tf.clip_by_value(_distort_colours(image, draws, target), 0.0, 1.0)
    return _centred(to_grey(image) if target.options.use_grayscale else image)


def _resize(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    import tensorflow as tf

    if target.options.fast_mode:
        return resize_bilinear(image, target.height, target.width)
    resize = partial(tf.compat.v1.image.resize_images, image, (target.height, target.width))
    return tf.switch_case(draws["method"], [partial(resize, method) for method in range(_RESIZE_METHODS)])


def _distort_colours(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    """Of the first three channels, or of the first one if there are not three; further ones stay as they are."""
    import tensorflow as tf

    channels = channels_of(image)
    coloured = 3 if channels >= 3 else 1
    changed = _distort_in_order(image[..., :coloured], draws, target)
    return changed if coloured == channels else tf.concat([changed, image[..., coloured:]], -1)


def _distort_in_order(image: tf.Tensor, draws: Draws, target: Target) -> tf.Tensor:
    import tensorflow as tf

    if target.options.fast_mode:
        return _change_colours(image, draws, tuple(_COLOURS))
    ways = [partial(_change_colours, image, draws, order) for order in _ORDERS]
    return tf.switch_case(draws["order"], ways)


def _change_colours(image: tf.Tensor, draws: Draws, order: tuple[str, ...]) -> tf.Tensor:
    """One change after the other; grey has neither saturation nor hue."""
    adjustments = _adjustments()
    names = order if channels_of(image) > 1 else [name for name in order if name in ("brightness", "contrast")]
    return reduce(lambda changed, name: adjustments[name](changed, draws[name]), names, image)


def _adjustments() -> dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    import tensorflow as tf

    return {
        "brightness": tf.image.adjust_brightness,
        "saturation": tf.image.adjust_saturation,
        "hue": tf.image.adjust_hue,
        "contrast": tf.image.adjust_contrast,
    }


def _unit_floats(image: tf.Tensor) -> tf.Tensor:
    """Pixels of 0 to 1."""
    import tensorflow as tf

    return tf.image.convert_image_dtype(image, tf.float32)


def _centred(image: tf.Tensor) -> tf.Tensor:
    """Values of -1 to 1, of 0 to 1."""
    return (image - 0.5) * 2.0


def _steps(options: PreprocessingOptions) -> str:
    crop = f"central crop of {100 * _CENTRAL_FRACTION:g} %, " if options.crop_image else ""
    return f"{crop}bilinear resize to {{size}}"


def _training_steps(options: PreprocessingOptions) -> str:
    crop = f"random crop of {100 * _AREAS[0]:g} to {100 * _AREAS[1]:g} % of the area, " if options.crop_image else ""
    method = "bilinear resize" if options.fast_mode else "resize (one of four ways)"
    colours = ", ".join(_COLOURS if options.fast_mode else _SLOW_COLOURS)
    return f"{crop}{method} to {{size}}, random flip, random {colours}"


INCEPTION = Pipeline(
    name="inception",
    value_range=(-1.0, 1.0),
    steps=_steps,
    training_steps=_training_steps,
    takes=frozenset({"fast_mode", "crop_image", "use_grayscale"}),
    prepare=_prepare,
    draw_numbers=_draw,
    distort=_distort,
    geometry={"central_fraction": _CENTRAL_FRACTION, "resize": "bilinear"},
    pixels=Pixels((127.5,), 1.0 / 127.5),
)
