"""Batches of images as statistics are taken from them: their class mix, and a small last one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import TrainingDataError
from slim2keras.models.strategies import Team
from slim2keras.progress import ImageProgress

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray


_LARGEST_CLUSTERING = 3.0
"""Of the classes in batches; 1 is what chance gives, and the batch size is what one class a batch gives."""

_CHANCE_IN_DEVIATIONS = 4.0
"""Clustering that is met by chance, once in tens of thousands of shuffled data sets."""

_SMALL_LAST_BATCH = 0.5
"""Of the batch before it: statistics of a smaller one would be of another kind, so it joins that one."""

UNMIXED = (
    "The batches of this data set hold some of the classes each, so their statistics are not those of training: "
    "shuffle it before it is batched."
)

GIVE_BATCHES = "Give batches, e.g. tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)."

NO_IMAGES = "The data set has no images (any more: it is gone through more than once)."


def are_mixed(batches: Sequence[NDArray[Any]]) -> bool:
    """Whether classes are spread over batches as in a shuffled data set, or more evenly.

    Judged by Pearson's statistic of the counts of each class in each batch, over its degrees of freedom: 1 by chance,
    and the size of the batches where each has one class.

    Args:
        batches: Class of each image, batch by batch; none without labels.
    """
    classes = np.unique(np.concatenate(batches)) if batches else np.empty(0)
    if len(batches) < 2 or len(classes) < 2:
        return True
    freedom = (len(batches) - 1) * (len(classes) - 1)
    counts = np.stack([(batch[:, np.newaxis] == classes).sum(0) for batch in batches])
    expected = counts.sum(1, keepdims=True) * (counts.sum(0) / counts.sum())
    clustering = float(((counts - expected) ** 2 / expected).sum() / freedom)
    by_chance = 1.0 + _CHANCE_IN_DEVIATIONS * math.sqrt(2.0 / freedom)
    return clustering <= max(_LARGEST_CLUSTERING, by_chance)


def images_and_labels(dataset: Iterable[Any], progress: ImageProgress | None = None) -> Iterator[tuple[tf.Tensor, Any]]:
    """Batches of a data set; labels are ``None`` where it has none.

    A last batch of less than half the images of the one before it joins that one.

    Raises:
        TrainingDataError: If it is arrays, whose rows would be taken for batches, or has no end.
    """
    import tensorflow as tf

    if isinstance(dataset, (tuple, np.ndarray, tf.Tensor)):
        raise TrainingDataError(f"The data set is a {type(dataset).__name__}. {GIVE_BATCHES}")
    if isinstance(dataset, tf.data.Dataset) and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise TrainingDataError("The data set repeats for ever. Leave repeat() out, or take(n) of it.")
    for images, labels in without_small_last(map(_as_pair, dataset)):
        yield images, labels
        if progress:
            progress(len(images))


def batches_of_worker(
    dataset: Iterable[Any], team: Team, progress: ImageProgress | None = None
) -> Iterator[tuple[tf.Tensor, Any]]:
    """Those batches of a data set that are this worker's: every ``team.workers``-th.

    A data set that has a method ``share(worker, workers)`` reads only these; of any other, which each worker has as a
    whole, the rest are passed over. Progress is told as if the others were as far.
    """
    if team.workers == 1:
        yield from images_and_labels(dataset, progress)
        return
    if hasattr(dataset, "share"):
        batches = images_and_labels(dataset.share(team.worker, team.workers))
    else:
        batches = islice(images_and_labels(dataset), team.worker, None, team.workers)
    for images, labels in batches:
        yield images, labels
        if progress:
            progress(len(images) * team.workers)


def _as_pair(element: Any) -> tuple[tf.Tensor, Any]:
    import tensorflow as tf

    images, labels = (element[0], element[1]) if isinstance(element, (tuple, list)) else (element, None)
    return tf.convert_to_tensor(images), labels


def without_small_last(batches: Iterator[tuple[tf.Tensor, Any]]) -> Iterator[tuple[tf.Tensor, Any]]:
    """Batches, the last one joined to the one before it if it is much smaller."""
    import tensorflow as tf

    held = next(batches, None)
    if held is None:
        return
    before = None
    for batch in batches:
        if before is not None:
            yield before
        before, held = held, batch
    if before is None:
        yield held
    elif _are_joinable(before, held):
        labels = None if held[1] is None else np.concatenate([np.asarray(before[1]), np.asarray(held[1])])
        yield tf.concat([before[0], held[0]], 0), labels
    else:
        yield from (before, held)


def _are_joinable(before: tuple[tf.Tensor, Any], last: tuple[tf.Tensor, Any]) -> bool:
    (images, labels), (more, more_labels) = before, last
    if not images.shape.rank or images.shape[1:] != more.shape[1:] or (labels is None) is not (more_labels is None):
        return False
    return bool(len(more) < _SMALL_LAST_BATCH * len(images))
