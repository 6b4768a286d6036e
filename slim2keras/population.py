"""What BatchNorm layers get over a whole data set, and what moving statistics that differ from it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm import (
    BatchNormMode,
    batch_norm_layers,
    check_layer,
    explicit_modes,
    moving_statistics,
    observed_inputs,
)
from slim2keras.errors import TrainingDataError, UnsupportedArgumentError
from slim2keras.json_values import finite_or_none
from slim2keras.keras_model import dropout_off
from slim2keras.preprocessing import warn_if_doubtful
from slim2keras.progress import ImageProgress

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

LARGEST_SHIFT = 0.25
"""Of the normalised activation, in standard deviations."""
LARGEST_VARIANCE_RATIO = 1.5
SMALLEST_FELT_GAP = 0.01
"""Of the accuracy."""
FEWEST_IMAGES = 100
"""With fewer, chance alone moves means by a tenth of a deviation and variances by a quarter."""
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
_GIVE_BATCHES = "Give batches, e.g. tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)."
_NO_IMAGES = "The data set has no images (any more: it is gone through more than once)."


@dataclass(frozen=True)
class Population:
    """Statistics of one layer's input over a whole data set, exact up to float64.

    Attributes:
        count: Values per channel: images times pixels.
        mean: (channels,), float64.
        deviations: Sum of squared deviations from the mean, (channels,), float64.
    """

    count: int
    mean: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def joined(self, other: Population) -> Population:
        """With more data.

        Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
        """
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        deviations = self.deviations + other.deviations + shift**2 * (self.count * other.count / count)
        return Population(count, mean, deviations)

    def variance(self, *, unbiased: bool) -> NDArray[np.float64]:
        """Variance, unbiased as slim's fused kernel has it, or biased as the unfused one."""
        return self.deviations / (self.count - 1 if unbiased else self.count)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.deviations).all())


@dataclass(frozen=True)
class Drift:
    """How far statistics are from others, as the normalised activation feels it.

    Attributes:
        shift: Of the mean, in standard deviations; root mean square over the channels.
        ratio: Of the variances, 1 or greater: the root mean square of its logarithm over the channels.
    """

    shift: float
    ratio: float

    @classmethod
    def between(
        cls,
        mean: NDArray[Any],
        variance: NDArray[Any],
        true_mean: NDArray[Any],
        true_variance: NDArray[Any],
        epsilon: float = 1e-3,
    ) -> Drift:
        """Drift of a mean and a variance, (channels,), from the true ones."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            deviation = np.sqrt(np.maximum(true_variance.astype("float64"), 0.0) + epsilon)
            shifts = (mean.astype("float64") - true_mean) / deviation
            logarithms = np.log((variance.astype("float64") + epsilon) / deviation**2)
            return cls(float(np.sqrt(np.mean(shifts**2))), float(np.exp(np.sqrt(np.mean(logarithms**2)))))

    @classmethod
    def of_layer(cls, layer: tf_keras.layers.Layer, population: Population) -> Drift:
        """Drift of a layer's moving statistics from those of the data."""
        true = population.mean, population.variance(unbiased=bool(layer.fused))
        return cls.between(*moving_statistics(layer), *true, epsilon=layer.epsilon)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.shift + self.ratio))

    @property
    def is_small(self) -> bool:
        """Whether it is what batches differ by anyway; NaN is not."""
        return self.shift <= LARGEST_SHIFT and self.ratio <= LARGEST_VARIANCE_RATIO

    @property
    def size(self) -> float:
        """One number to compare layers by: 1 at the bounds of what is small, infinite for NaN."""
        size = max(self.shift / LARGEST_SHIFT, np.log(self.ratio) / np.log(LARGEST_VARIANCE_RATIO))
        return float(size) if self.is_finite else float("inf")

    def describe(self) -> str:
        """In words."""
        return f"mean shifted by {self.shift:.2g} deviations, variances a factor of {self.ratio:.2g} apart"

    def to_json(self) -> dict[str, Any]:
        """As plain values; JSON has no NaN, it becomes ``None``."""
        return {key: finite_or_none(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Gap:
    """What the moving statistics cost, on the same images.

    Attributes:
        images: Number of images.
        agreement: Part of the images with the same class from both.
        accuracy_batch: With the statistics of the batch; ``None`` without labels.
        accuracy_moving: With the moving statistics, which is how the network is used.
        loss_batch: Cross entropy with the statistics of the batch.
        loss_moving: Cross entropy with the moving statistics.
    """

    images: int
    agreement: float
    accuracy_batch: float | None = None
    accuracy_moving: float | None = None
    loss_batch: float | None = None
    loss_moving: float | None = None

    @property
    def accuracy_lost(self) -> float | None:
        """To the moving statistics, ``None`` without labels."""
        has_labels = self.accuracy_batch is not None and self.accuracy_moving is not None
        return self.accuracy_batch - self.accuracy_moving if has_labels else None  # type: ignore[operator]

    @property
    def is_felt(self) -> bool:
        """Whether more than a point of accuracy is lost; without labels that cannot be excluded."""
        return self.accuracy_lost is None or self.accuracy_lost > SMALLEST_FELT_GAP

    def title(self) -> str:
        """In few words."""
        if self.accuracy_batch is None or self.accuracy_moving is None:
            return f"Moving statistics give the class of batch statistics for {self.agreement:.1%} of the images"
        moving, batch = f"{self.accuracy_moving:.1%}", f"{self.accuracy_batch:.1%}"
        return f"Accuracy: {moving} with moving statistics, {batch} with batch statistics"

    def describe(self) -> str:
        """In words."""
        if self.accuracy_batch is None or self.accuracy_moving is None:
            return f"same class as with batch statistics on {self.agreement:.1%} of {self.images} images"
        return (
            f"accuracy {self.accuracy_moving:.1%} with moving statistics, {self.accuracy_batch:.1%} with those of the "
            f"batch, on {self.images} images"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values; JSON has no NaN, it becomes ``None``."""
        return {key: finite_or_none(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Measurement:
    """What was seen of a model on a data set.

    Attributes:
        populations: Layer name to the statistics of what it gets while the layers before it normalise with the batch,
            in the order of the model. So each layer is judged apart from those before it.
        gap: Between batch and moving statistics.
        is_mixed: Whether batches hold the classes alike, as those of training do; true without labels, which alone
            could say otherwise.
    """

    populations: Mapping[str, Population]
    gap: Gap
    is_mixed: bool = True

    def drifts(self, layers: Iterable[tf_keras.layers.Layer]) -> dict[str, Drift]:
        """Layer name to how far its moving statistics are from those of the data."""
        return {layer.name: Drift.of_layer(layer, self.populations[layer.name]) for layer in layers}


class BatchNormProbe:
    """Measures a model on data as often as is asked, traced once; nothing of the model changes.

    Args:
        model: Functional model whose first output are logits of classes, of ``convert``, ``build``, ``finetune`` or
            anybody's.
        layers: Those of its BatchNorm layers to measure, all if left out. The others keep to their moving statistics.

    Raises:
        UnsupportedArgumentError: If there is no BatchNorm layer, or one that cannot be examined.
    """

    def __init__(self, model: tf_keras.Model, layers: Sequence[tf_keras.layers.Layer] | None = None) -> None:
        import tensorflow as tf

        if len(getattr(model, "inputs", None) or ()) != 1:
            raise UnsupportedArgumentError(f"{model.name} is not a functional model with one input.")
        self.model = model
        every = batch_norm_layers(model)
        self.layers = every if layers is None else list(layers)
        self._others = [layer for layer in every if layer not in self.layers]
        if not self.layers:
            raise UnsupportedArgumentError(f"{model.name} has no BatchNorm layer, so there are no moving statistics.")
        for layer in every:
            check_layer(layer, BatchNormMode.FROZEN)
        self._has_looked = False
        self._run = tf.function(self._outputs_and_moments, autograph=False, reduce_retracing=True)

    def measure(self, dataset: Iterable[Any], progress: ImageProgress | None = None) -> Measurement:
        """Go through a data set once.

        Args:
            dataset: Batches of images as the network takes them, or of (images, labels); labels are numbers of
                classes, or have a column a class.
            progress: Called after each batch with its number of images.

        Raises:
            TrainingDataError: If there are no images, one value per channel, or labels that are no classes.

        Warns:
            PreprocessingWarning: If the first images can hardly be preprocessed as the network wants them.
        """
        found: dict[str, Population] = {}
        tallies, classes = [], []
        with dropout_off(self.model):
            for images, labels in images_and_labels(dataset, progress):
                self._check_images(images)
                if not self._has_looked:
                    self._has_looked = True
                    warn_if_doubtful(images, self.model)
                batch, moving, moments = self._run(images)
                numbers = None if labels is None else _class_numbers(labels, batch)
                tallies.append(_tally(batch.numpy(), moving.numpy(), numbers))
                classes += [] if numbers is None else [numbers]
                for name, values in moments.items():
                    found[name] = joined(found.get(name), values)
        populations = {layer.name: checked_count(found.get(layer.name), layer.name) for layer in self.layers}
        columns = {name: np.concatenate([tally[name] for tally in tallies]) for name in tallies[0]}
        means = {name: float(np.mean(column)) for name, column in columns.items()}
        return Measurement(populations, Gap(len(columns["agreement"]), **means), are_mixed(classes))

    def check(self, dataset: Iterable[Any]) -> None:
        """Refuse a data set whose first batch does not fit the model.

        Raises:
            TrainingDataError: If it does not, or there is none.
        """
        for images, _ in images_and_labels(dataset):
            self._check_images(images)
            return
        raise TrainingDataError(_NO_IMAGES)

    def _check_images(self, images: tf.Tensor) -> None:
        wanted = self.model.input.shape
        if not wanted.is_compatible_with(images.shape):
            raise TrainingDataError(
                f"The data set has a batch of images {tuple(images.shape)}, but {self.model.name} takes "
                f"{tuple(wanted)}. {_GIVE_BATCHES}"
            )

    def _outputs_and_moments(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, dict[str, Any]]:
        moving = self.model(images, training=False)
        frozen = {layer.name: BatchNormMode.FROZEN for layer in self._others}
        with explicit_modes(self._others, frozen), observed_inputs(self.layers) as moments:
            batch = self.model(images, training=True)
        return _first_logits(batch), _first_logits(moving), moments


def _first_logits(outputs: Any) -> tf.Tensor:
    import tensorflow as tf

    logits = tf.nest.flatten(outputs)[0]
    return tf.reshape(tf.cast(logits, tf.float32), (tf.shape(logits)[0], logits.shape[-1]))


def joined(so_far: Population | None, moments: Sequence[tf.Tensor]) -> Population:
    """With the moments of a batch more, see ``batch_norm.moments_of``."""
    count, mean, deviations = (value.numpy() for value in moments)
    more = Population(int(count), mean, deviations)
    return more if so_far is None else so_far.joined(more)


def checked_count(population: Population | None, name: str) -> Population:
    """A population that has a variance.

    Raises:
        TrainingDataError: If it has not.
    """
    if population is None:
        raise TrainingDataError(_NO_IMAGES)
    if population.count < 2:
        raise TrainingDataError(f"{name} gets one value per channel, whose variance is undefined. Give more images.")
    return population


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


def _class_numbers(labels: Any, logits: tf.Tensor) -> NDArray[np.int64]:
    """Class of each image, from numbers or a column a class."""
    numbers = np.asarray(labels)
    numbers = numbers.argmax(-1) if numbers.ndim > 1 and numbers.shape[-1] > 1 else numbers.reshape(-1)
    if len(numbers) != len(logits) or numbers.min() < 0 or numbers.max() >= logits.shape[1]:
        raise TrainingDataError(
            f"There are {len(numbers)} labels from {numbers.min()} to {numbers.max()} for {len(logits)} images, and "
            f"the network has {logits.shape[1]} classes. Give labels that number them from 0, or images alone."
        )
    return numbers.astype("int64")


def _tally(batch: NDArray[Any], moving: NDArray[Any], numbers: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
    """Columns of a ``Gap``, a value for each image."""
    import tensorflow as tf

    logits = {"batch": batch, "moving": moving}
    classes = {name: item.argmax(1) for name, item in logits.items()}
    found = {"agreement": classes["batch"] == classes["moving"]}
    if numbers is None:
        return found
    for name, item in logits.items():
        found[f"accuracy_{name}"] = classes[name] == numbers
        found[f"loss_{name}"] = tf.nn.sparse_softmax_cross_entropy_with_logits(numbers, item).numpy()
    return found


def images_and_labels(dataset: Iterable[Any], progress: ImageProgress | None = None) -> Iterator[tuple[tf.Tensor, Any]]:
    """Batches of a data set; labels are ``None`` where it has none.

    A last batch of less than half the images of the one before it joins that one.

    Raises:
        TrainingDataError: If it is arrays, whose rows would be taken for batches, or has no end.
    """
    import tensorflow as tf

    if isinstance(dataset, (tuple, np.ndarray, tf.Tensor)):
        raise TrainingDataError(f"The data set is a {type(dataset).__name__}. {_GIVE_BATCHES}")
    if isinstance(dataset, tf.data.Dataset) and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise TrainingDataError("The data set repeats for ever. Leave repeat() out, or take(n) of it.")
    for images, labels in _without_small_last(map(_as_pair, dataset)):
        yield images, labels
        if progress:
            progress(len(images))


def _as_pair(element: Any) -> tuple[tf.Tensor, Any]:
    import tensorflow as tf

    images, labels = (element[0], element[1]) if isinstance(element, (tuple, list)) else (element, None)
    return tf.convert_to_tensor(images), labels


def _without_small_last(batches: Iterator[tuple[tf.Tensor, Any]]) -> Iterator[tuple[tf.Tensor, Any]]:
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
