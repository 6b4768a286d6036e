"""Batches of listed images: read, decoded and prepared in parallel by ``tf.data``, always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.examples import Examples
from slim2keras.data.order import TrainingOrder
from slim2keras.data.sources import ImageArrays
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import pipeline_of, preprocess

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_PREFETCHED_BATCHES = 2
"""Ready before they are asked for; more would only hold memory."""


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.
        exif_orientation: Whether an image is turned as its EXIF tag says; slim and TensorFlow ignore the tag.
    """

    workers: int | None = None
    exif_orientation: bool = False


def training_batches(
    examples: Examples,
    network: Network,
    batch_size: int,
    *,
    seed: int = 0,
    first_step: int = 0,
    class_weights: Sequence[float] | NDArray[Any] | None = None,
    slices: tuple[int, int] = (0, 1),
    shuffle: bool = True,
    augment: bool = True,
    reading: Reading = Reading(),
) -> tf.data.Dataset:
    """Endless batches for training: shuffled anew in each epoch, augmented as slim does.

    The stream is one permutation of the images after the other, each a function of the seed and the epoch, cut into
    batches across epochs as slim's queue does. What step k sees, augmentation included, is a function of the seed and k
    alone, so that ``first_step=k`` goes on where a run was stopped, at once, reading nothing of what lies before.

    Args:
        examples: Images with labels.
        network: That they are for: its size, channels and preprocessing.
        batch_size: Images a step, of all workers together.
        seed: Of order and augmentation, 0 or more.
        first_step: Steps that lie behind.
        class_weights: Weight of the images of each class; then a third component has them, float32.
        slices: (worker, workers): the equal part of each batch that this worker gets.
        shuffle: Whether images are shuffled, or come as listed in each epoch.
        augment: Whether they are augmented, or prepared as in evaluation.
        reading: Parallelism and orientation.

    Returns:
        Batches of float32 images, (batch_size / workers, height, width, channels), and int64 labels.

    Raises:
        DataReadError: If there are no labels, or the images do not fit the network.
        UnsupportedArgumentError: If the batch cannot be shared, or nobody knows the preprocessing.
    """
    import tensorflow as tf

    labels = examples.known_labels()
    order = _checked_order(TrainingOrder(len(examples), batch_size, seed, shuffle, *slices))
    columns = [labels] if class_weights is None else [labels, np.asarray(class_weights, np.float32)[labels]]
    prepare = _training_preparation(network, seed) if augment else _evaluation_preparation(network)
    load = _loader(examples, network, prepare, columns, reading)
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max // batch_size)
    batches = _batches(examples, steps, order.batch, load, order.share, reading)
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def evaluation_batches(
    examples: Examples,
    network: Network,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    reading: Reading = Reading(),
) -> tf.data.Dataset:
    """Batches with each image once, prepared as slim does when it evaluates.

    Args:
        examples: Images, with or without labels.
        network: That they are for: its size, channels and preprocessing.
        batch_size: Images a batch; the last may have fewer.
        shuffle_seed: Of a random order, in which classes are mixed as in training; ``None`` keeps the order listed.
        reading: Parallelism and orientation.

    Returns:
        Batches of float32 images, (batch, height, width, channels), and with labels of (images, int64 labels).

    Raises:
        DataReadError: If the images do not fit the network.
        UnsupportedArgumentError: If nobody knows the preprocessing.
    """
    import tensorflow as tf

    count = len(examples)
    order = np.arange(count) if shuffle_seed is None else np.random.RandomState(shuffle_seed).permutation(count)

    def choose(step: int) -> tuple[NDArray[Any], NDArray[Any]]:
        chosen = order[step * batch_size : (step + 1) * batch_size].astype(np.int64)
        return chosen, chosen

    columns = [] if examples.labels is None else [examples.labels]
    load = _loader(examples, network, _evaluation_preparation(network), columns, reading)
    steps = tf.data.Dataset.range(-(-count // batch_size))
    batches = _batches(examples, steps, choose, load, batch_size, reading)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))


_Preparation = Callable[..., Any]
"""Image, uint8, and its place in the stream, to float32 as the network takes it."""


def _evaluation_preparation(network: Network) -> _Preparation:
    return lambda image, _: preprocess(image, network)


def _training_preparation(network: Network, seed: int) -> _Preparation:  # noqa: ARG001
    return lambda image, _: preprocess(image, network)


def _loader(
    examples: Examples, network: Network, prepare: _Preparation, columns: Sequence[NDArray[Any]], reading: Reading
) -> Callable[..., Any]:
    """What reads one image: its index and its place in the stream, to image, and its row of each column."""
    import tensorflow as tf

    check_fit(examples, network)
    source, channels = examples.source, network.input_shape[-1]
    places = [tf.constant(place) for place in source.places]
    rest = [tf.constant(column) for column in columns]

    def load(index: tf.Tensor, place: tf.Tensor) -> Any:
        where = [tf.gather(column, index) for column in places]
        image = source.read(*where, channels=channels, exif_orientation=reading.exif_orientation)
        image = image if source.is_prepared else prepare(image, place)
        return (image, *(tf.gather(column, index) for column in rest)) if rest else image

    return load


def _batches(
    examples: Examples,
    steps: tf.data.Dataset,
    choose: Callable[[int], tuple[NDArray[Any], NDArray[Any]]],
    load: Callable[..., Any],
    batch_size: int,
    reading: Reading,
) -> tf.data.Dataset:
    """Images chosen a batch at a time, read in parallel."""
    import tensorflow as tf

    def remember(step: int) -> tuple[NDArray[Any], NDArray[Any]]:
        chosen, places = choose(step)
        examples.recent.append(chosen)
        return chosen, places

    def indices(step: tf.Tensor) -> Any:
        chosen, places = tf.numpy_function(remember, [step], (tf.int64, tf.int64))
        chosen.set_shape((None,))
        places.set_shape((None,))
        return chosen, places

    parallel = reading.workers or tf.data.AUTOTUNE
    images = steps.map(indices).unbatch().map(load, num_parallel_calls=parallel, deterministic=True)
    return images.batch(batch_size).prefetch(_PREFETCHED_BATCHES).with_options(_options())


def _options() -> tf.data.Options:
    """Order kept; and no sharding by tf.distribute, which could not split the choice of a batch."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def _checked_order(order: TrainingOrder) -> TrainingOrder:
    if order.batch_size < 1 or order.batch_size % order.workers:
        raise UnsupportedArgumentError(
            f"A batch of {order.batch_size} images cannot be shared by {order.workers} workers in equal parts."
        )
    return order


def check_fit(examples: Examples, network: Network) -> None:
    """Refuse images that the network does not take."""
    if isinstance(examples.source, ImageArrays):
        _check_arrays(examples.source, network)
    if not len(examples):
        raise DataReadError("There are no images: nothing was left of them.")
    if not examples.source.is_prepared:
        pipeline_of(network)
        if None in network.image_size:
            raise DataReadError(f"The images are to be resized, and {network.name} takes any size. Give an .npz.")


def _check_arrays(source: ImageArrays, network: Network) -> None:
    wanted, images = network.input_shape, source.images
    if images.ndim == len(wanted) + 1 and images.shape[-1] != wanted[-1]:
        raise DataReadError(
            f"{source.path} has images of {images.shape[-1]} channels; {network.name} takes {wanted[-1]}, as its first "
            "weights do."
        )
    fits = images.ndim == len(wanted) + 1 and all(
        size in (None, given) for size, given in zip(wanted, images.shape[1:], strict=True)
    )
    is_raw = images.dtype == np.uint8 and images.ndim == 4
    if not len(images) or not (is_raw or (images.dtype == np.float32 and fits)):
        raise DataReadError(
            f"{source.path} has images {images.shape} of {images.dtype}; {network.name} takes (count, "
            f"{', '.join('any' if size is None else str(size) for size in wanted)}) of float32, preprocessed, or "
            "uint8 of any size. For another size: --input-shape H,W,C."
        )
