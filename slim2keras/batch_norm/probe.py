"""What a model gives with batch statistics and with moving ones, and what its layers see meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.batches import GIVE_BATCHES, NO_IMAGES, are_mixed, batches_of_worker, images_and_labels
from slim2keras.batch_norm.drift import Drift
from slim2keras.batch_norm.kernels import explicit_modes, observed_inputs
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, check_layer
from slim2keras.batch_norm.population import Population, checked_count, joined, of_all_workers
from slim2keras.errors import TrainingDataError, UnsupportedArgumentError
from slim2keras.files.json_values import finite_or_none
from slim2keras.models.logits import class_numbers, first_logits
from slim2keras.models.overrides import dropout_off
from slim2keras.models.strategies import Team
from slim2keras.preprocessing.doubts import warn_if_doubtful
from slim2keras.progress import ImageProgress

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray


SMALLEST_FELT_GAP = 0.01
"""Of the accuracy."""

FEWEST_IMAGES = 100
"""With fewer, chance alone moves means by a tenth of a deviation and variances by a quarter."""


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
        by_pixel: Whether the output is a map: then each share is one of the pixels.
    """

    images: int
    agreement: float
    accuracy_batch: float | None = None
    accuracy_moving: float | None = None
    loss_batch: float | None = None
    loss_moving: float | None = None
    by_pixel: bool = False

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
            what = "pixels" if self.by_pixel else "images"
            return f"Moving statistics give the class of batch statistics for {self.agreement:.1%} of the {what}"
        moving, batch = f"{self.accuracy_moving:.1%}", f"{self.accuracy_batch:.1%}"
        return f"Accuracy: {moving} with moving statistics, {batch} with batch statistics"

    def describe(self) -> str:
        """In words."""
        if self.accuracy_batch is None or self.accuracy_moving is None:
            return f"same class as with batch statistics on {self.agreement:.1%} of {self._what}"
        return (
            f"accuracy {self.accuracy_moving:.1%} with moving statistics, {self.accuracy_batch:.1%} with those of the "
            f"batch, on {self._what}"
        )

    @property
    def _what(self) -> str:
        return f"the pixels of {self.images} images" if self.by_pixel else f"{self.images} images"

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
        model: Functional model whose first output are logits of classes, (batch, classes), or for every pixel,
            (batch, ..., classes); of ``convert``, ``build``, ``finetune`` or anybody's.
        layers: Those of its BatchNorm layers to measure, all if left out. The others keep to their moving statistics.

    Raises:
        UnsupportedArgumentError: If there is no BatchNorm layer, or one that cannot be examined.
    """

    def __init__(self, model: tf_keras.Model, layers: Sequence[tf_keras.layers.Layer] | None = None) -> None:
        import tensorflow as tf

        if len(getattr(model, "inputs", None) or ()) != 1:
            raise UnsupportedArgumentError(f"{model.name} is not a functional model with one input.")
        self.model = model
        self._team = Team.of(model)
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
                classes, or have a column a class. Those of a map are maps of its size.
            progress: Called after each batch with its number of images.

        Raises:
            TrainingDataError: If there are no images, one value per channel, or labels that are no classes.

        Warns:
            PreprocessingWarning: If the first images can hardly be preprocessed as the network wants them.
        """
        found: dict[str, Population | None] = {layer.name: None for layer in self.layers}
        tally = _Tally(self._team)
        with dropout_off(self.model):
            batches = self._checked(batches_of_worker(dataset, self._team, progress))
            for _, labels, (batch, moving, moments) in self._team.mapped(self._run, batches):
                tally.add(batch.numpy(), moving.numpy(), labels)
                for name, values in moments.items():
                    found[name] = joined(found[name], values)
        found = of_all_workers(
            found, {layer.name: int(layer.moving_mean.shape[0]) for layer in self.layers}, self._team
        )
        populations = {name: checked_count(population, name) for name, population in found.items()}
        return Measurement(populations, tally.gap(), tally.is_mixed())

    def check(self, dataset: Iterable[Any]) -> None:
        """Refuse a data set whose first batch does not fit the model.

        Raises:
            TrainingDataError: If it does not, or there is none.
        """
        for images, _ in images_and_labels(dataset):
            self._check_images(images)
            return
        raise TrainingDataError(NO_IMAGES)

    def _check_images(self, images: tf.Tensor) -> None:
        wanted = self.model.input.shape
        if not wanted.is_compatible_with(images.shape):
            raise TrainingDataError(
                f"The data set has a batch of images {tuple(images.shape)}, but {self.model.name} takes "
                f"{tuple(wanted)}. {GIVE_BATCHES}"
            )

    def _checked(self, batches: Iterable[tuple[tf.Tensor, Any]]) -> Iterator[tuple[tf.Tensor, Any]]:
        for images, labels in batches:
            self._check_images(images)
            if not self._has_looked:
                self._has_looked = True
                warn_if_doubtful(images, self.model)
            yield images, labels

    def _outputs_and_moments(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, dict[str, Any]]:
        moving = self.model(images, training=False)
        frozen = {layer.name: BatchNormMode.FROZEN for layer in self._others}
        with explicit_modes(self._others, frozen), observed_inputs(self.layers) as moments:
            batch = self.model(images, training=True)
        return first_logits(batch), first_logits(moving), moments


class _Tally:
    """Of each image what the network says of it; of a map the mean over its pixels.

    Args:
        team: Who go through the images together.
    """

    _COLUMNS = ("agreement", "accuracy_batch", "accuracy_moving", "loss_batch", "loss_moving")

    def __init__(self, team: Team) -> None:
        self._team = team
        self._rows: list[NDArray[np.float64]] = [np.empty((0, len(self._COLUMNS)))]
        self._classes: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
        self._by_pixel = False

    def add(self, batch: NDArray[Any], moving: NDArray[Any], labels: Any) -> None:
        """Logits of a batch with the statistics of the batch and with the moving ones, (images, pixels, classes)."""
        numbers = None if labels is None else class_numbers(labels, *batch.shape)
        self._by_pixel = batch.shape[1] > 1
        self._rows.append(_row_an_image(batch, moving, numbers))
        if numbers is not None and not self._by_pixel:
            number = len(self._classes) * self._team.workers + self._team.worker
            self._classes.append(np.stack([np.full(len(numbers), number), numbers[:, 0]], axis=1))

    def gap(self) -> Gap:
        """Over the images of all workers."""
        rows = self._team.gathered(np.concatenate(self._rows))
        means = dict(zip(self._COLUMNS, map(float, rows.mean(0)), strict=True))
        has_labels = not np.isnan(means["accuracy_batch"])
        by_pixel = bool(self._team.gathered(np.array([self._by_pixel], np.int64)).any())
        return Gap(len(rows), **(means if has_labels else {"agreement": means["agreement"]}), by_pixel=by_pixel)

    def is_mixed(self) -> bool:
        """Whether the batches of all workers hold the classes alike."""
        numbers, classes = self._team.gathered(np.concatenate(self._classes)).T
        return are_mixed([classes[numbers == number] for number in np.unique(numbers)])


def _row_an_image(batch: NDArray[Any], moving: NDArray[Any], numbers: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Columns of a ``Gap``, (images, columns); NaN where there are no labels."""
    import tensorflow as tf

    found, none = (batch.argmax(-1), moving.argmax(-1)), np.full(len(batch), np.nan)
    columns = [(found[0] == found[1]).mean(1)]
    columns += [none if numbers is None else (classes == numbers).mean(1) for classes in found]
    for logits in (batch, moving):
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
        columns.append(none if numbers is None else cross_entropy(numbers, logits).numpy().mean(1))
    return np.stack(columns, axis=1).astype(np.float64)
