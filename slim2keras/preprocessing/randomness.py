"""Random numbers of a seed: the same seed gives the same, whenever and wherever it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Seeds, (2,) each, of one, so that what is drawn with each is independent."""
    import tensorflow as tf

    return list(tf.unstack(tf.random.split(seed, count), num=count))


def draw_units(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Numbers in [0, 1), float32 scalars; one op for all, since each op costs as much as many numbers."""
    import tensorflow as tf

    return list(tf.unstack(tf.random.stateless_uniform((count,), seed), num=count))


def between(unit: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """A number in [low, high) of one in [0, 1), by the formula of ``tf.random.uniform``."""
    return unit * (high - low) + low


def draw_below(seed: tf.Tensor, limit: tf.Tensor | int) -> tf.Tensor:
    """An integer in [0, limit), int32 scalar."""
    import tensorflow as tf

    return tf.random.stateless_uniform((), seed, minval=0, maxval=limit, dtype=tf.int32)


def heads(unit: tf.Tensor) -> tf.Tensor:
    """Whether a coin shows heads: of a number in [0, 1), as ``tf.image.random_flip_left_right`` decides."""
    return unit < 0.5
