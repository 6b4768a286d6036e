"""Batches of listed images: read, decoded and prepared in parallel by ``tf.data``, always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.decoding import JPEG_CHANNELS, decode_image
from slim2keras.data.examples import Examples
from slim2keras.data.order import TrainingOrder, batches_of_worker
from slim2keras.data.sources import ImageArrays, Source
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import pipeline_of
from slim2keras.preprocessing.jpeg import distort_jpeg
from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.preprocessing.pipeline import Pipeline
from slim2keras.preprocessing.pipelines import PIPELINES

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_PREFETCHED_BATCHES = 2
"""Ready before they are asked for; more would only hold memory."""


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        options: Of slim's pipelines.
        preprocessing: Key of ``preprocessing.PIPELINES``, for a pipeline that is not the network's own.
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.
        exif_orientation: Whether an image is turned as its EXIF tag says; slim and TensorFlow ignore the tag.
    """

    options: PreprocessingOptions = field(default_factory=PreprocessingOptions)
    preprocessing: str | None = None
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
        reading: Preprocessing options, parallelism and orientation.

    Returns:
        Batches of float32 images, (batch_size / workers, height, width, channels), and int64 labels.

    Raises:
        DataReadError: If there are no labels, or the images do not fit the network.
        UnsupportedArgumentError: If the batch cannot be shared, or nobody knows the preprocessing.
    """
    import tensorflow as tf

    labels = examples.known_labels()
    order = _checked_order(TrainingOrder(len(examples), batch_size, seed, shuffle, *slices))
    columns: list[NDArray[Any]] = [labels]
    if class_weights is not None:
        columns.append(_checked_weights(class_weights, examples)[labels])
    load = _loader(examples, network, reading, columns, seed if augment else None)
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max // batch_size)
    batches = _batches(examples, steps, order.batch, load, order.share, reading)
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def evaluation_batches(
    examples: Examples,
    network: Network,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    slices: tuple[int, int] = (0, 1),
    reading: Reading = Reading(),
) -> tf.data.Dataset:
    """Batches with each image once, prepared as slim does when it evaluates.

    Args:
        examples: Images, with or without labels.
        network: That they are for: its size, channels and preprocessing.
        batch_size: Images a batch; the last may have fewer.
        shuffle_seed: Of a random order, in which classes are mixed as in training; ``None`` keeps the order listed.
        slices: (worker, workers): the batches that this worker gets, see ``data.order.batches_of_worker``.
        reading: Preprocessing options, parallelism and orientation.

    Returns:
        Batches of float32 images, (batch, height, width, channels), and with labels of (images, int64 labels).

    Raises:
        DataReadError: If the images do not fit the network.
        UnsupportedArgumentError: If nobody knows the preprocessing.
    """
    import tensorflow as tf

    if batch_size < 1:
        raise UnsupportedArgumentError(f"A batch has at least one image. Received: {batch_size=}")
    count = len(examples)
    order = np.arange(count) if shuffle_seed is None else np.random.RandomState(shuffle_seed).permutation(count)

    def choose(step: int) -> tuple[NDArray[Any], NDArray[Any]]:
        chosen = order[step * batch_size : (step + 1) * batch_size].astype(np.int64)
        return chosen, chosen

    columns = [] if examples.labels is None else [examples.labels]
    load = _loader(examples, network, reading, columns)
    numbers = batches_of_worker(-(-count // batch_size), *slices)
    steps = tf.data.Dataset.from_tensor_slices(numbers)
    batches = _batches(examples, steps, choose, load, batch_size, reading)
    return batches.apply(tf.data.experimental.assert_cardinality(len(numbers)))


@dataclass(frozen=True)
class _Preparation:
    """How one image becomes what the network takes.

    Attributes:
        source: Of the images.
        pipeline: slim's, that they go through.
        size: Height and width of the result.
        channels: To decode.
        reading: Options and orientation.
    """

    source: Source
    pipeline: Pipeline
    size: tuple[int, int]
    channels: int
    reading: Reading

    @classmethod
    def checked(cls, source: Source, network: Network, reading: Reading) -> _Preparation:
        """Of a network, or of the pipeline that is named.

        Raises:
            UnsupportedArgumentError: If nobody knows the preprocessing, or it does not take so many channels.
            DataReadError: If the network takes any size.
        """
        pipeline = PIPELINES[reading.preprocessing] if reading.preprocessing is not None else pipeline_of(network)
        (height, width), given = network.image_size, network.input_shape[-1]
        if height is None or width is None or given is None:
            raise DataReadError(f"The images are to be resized, and {network.name} takes any size. Give an .npz.")
        channels = reading.options.decoded_channels(given)
        pipeline.check(channels, reading.options)
        return cls(source, pipeline, (height, width), channels, reading)

    def evaluated(self, *where: tf.Tensor) -> tf.Tensor:
        """As in evaluation."""
        return self.pipeline.evaluate(self._read(*where), *self.size, self.reading.options)

    def distorted(self, seed: tf.Tensor, *where: tf.Tensor) -> tf.Tensor:
        """As in training; of a JPEG no more is decoded than is seen."""
        import tensorflow as tf

        if not self.source.is_encoded or self.reading.exif_orientation or self.channels not in JPEG_CHANNELS:
            return self._distorted(self._read(*where), seed)
        contents = self.source.contents(*where)
        options = self.reading.options
        return tf.cond(
            tf.io.is_jpeg(contents),
            lambda: distort_jpeg(contents, self.pipeline, seed, self.size, channels=self.channels, options=options),
            lambda: self._distorted(decode_image(contents, self.channels), seed),
        )

    def _read(self, *where: tf.Tensor) -> tf.Tensor:
        return self.source.read(*where, channels=self.channels, exif_orientation=self.reading.exif_orientation)

    def _distorted(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        options = self.reading.options
        draws = self.pipeline.draw(seed, tf.shape(image), *self.size, options)
        return self.pipeline.apply(image, draws, *self.size, options)


def _loader(
    examples: Examples,
    network: Network,
    reading: Reading,
    columns: Sequence[NDArray[Any]],
    augmentation_seed: int | None = None,
) -> Callable[..., Any]:
    """What reads one image: its index and its place in the stream, to image, and its row of each column."""
    import tensorflow as tf

    check_fit(examples, network, reading)
    source = examples.source
    prepare = None if source.is_prepared else _Preparation.checked(source, network, reading)
    places = [tf.constant(place) for place in source.places]
    rest = [tf.constant(column) for column in columns]

    def load(index: tf.Tensor, place: tf.Tensor) -> Any:
        where = [tf.gather(column, index) for column in places]
        if prepare is None:
            image = source.read(*where)
        elif augmentation_seed is None:
            image = prepare.evaluated(*where)
        else:
            image = prepare.distorted(tf.stack([tf.constant(augmentation_seed, tf.int64), place]), *where)
        return (image, *(tf.gather(column, index) for column in rest)) if rest else image

    as_it_is: Callable[..., Any] = tf.autograph.experimental.do_not_convert(load)
    return as_it_is


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


def _checked_weights(class_weights: Sequence[float] | NDArray[Any], examples: Examples) -> NDArray[np.float32]:
    weights = np.asarray(class_weights, np.float32)
    if weights.shape != (len(examples.class_names),):
        raise UnsupportedArgumentError(
            f"class_weights must be one weight for each of the {len(examples.class_names)} classes. Received: "
            f"{weights.shape}"
        )
    return weights


def _checked_order(order: TrainingOrder) -> TrainingOrder:
    if not 0 <= order.seed < 2**63:
        raise UnsupportedArgumentError(f"A seed is 0 or more, and below 2**63. Received: seed={order.seed}")
    if order.batch_size < 1 or order.batch_size % order.workers:
        raise UnsupportedArgumentError(
            f"A batch of {order.batch_size} images cannot be shared by {order.workers} workers in equal parts."
        )
    return order


def check_fit(examples: Examples, network: Network, reading: Reading = Reading()) -> None:
    """Refuse images that the network does not take.

    Raises:
        DataReadError: If there are none, or they have another size, type or number of channels.
        UnsupportedArgumentError: If nobody knows the preprocessing.
    """
    if isinstance(examples.source, ImageArrays):
        _check_arrays(examples.source, network, reading)
    if not len(examples):
        raise DataReadError("There are no images: nothing was left of them.")
    if not examples.source.is_prepared:
        _Preparation.checked(examples.source, network, reading)


def _check_arrays(source: ImageArrays, network: Network, reading: Reading) -> None:
    wanted, images = network.input_shape, source.images
    is_made_grey = images.dtype == np.uint8 and images.shape[-1] == 3 and reading.options.use_grayscale
    if images.ndim == len(wanted) + 1 and images.shape[-1] != wanted[-1] and not is_made_grey:
        raise DataReadError(
            f"{source.path} has images of {images.shape[-1]} channels; {network.name} takes {wanted[-1]}, as its first "
            "weights do."
        )
    fits = images.ndim == len(wanted) + 1 and all(
        size in (None, given) for size, given in zip(wanted, images.shape[1:], strict=True)
    )
    is_raw = images.dtype == np.uint8 and images.ndim == 4
    if not images.size or not (is_raw or (images.dtype == np.float32 and fits)):
        raise DataReadError(
            f"{source.path} has images {images.shape} of {images.dtype}; {network.name} takes (count, "
            f"{', '.join('any' if size is None else str(size) for size in wanted)}) of float32, preprocessed, or "
            "uint8 of any size. For another size: --input-shape H,W,C."
        )
