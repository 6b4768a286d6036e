"""What a model gives with batch statistics and with moving ones, and what its layers see meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.batches import GIVE_BATCHES, NO_IMAGES, are_mixed, images_and_labels
from slim2keras.batch_norm.drift import Drift
from slim2keras.batch_norm.kernels import explicit_modes, observed_inputs
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, check_layer
from slim2keras.batch_norm.population import Population, checked_count, joined
from slim2keras.errors import TrainingDataError, UnsupportedArgumentError
from slim2keras.files.json_values import finite_or_none
from slim2keras.models.logits import class_numbers, first_logits
from slim2keras.models.overrides import dropout_off
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
        found: dict[str, Population] = {}
        tallies, classes, by_pixel = [], [], False
        with dropout_off(self.model):
            for images, labels in images_and_labels(dataset, progress):
                self._check_images(images)
                if not self._has_looked:
                    self._has_looked = True
                    warn_if_doubtful(images, self.model)
                batch, moving, moments = self._run(images)
                numbers = None if labels is None else class_numbers(labels, *batch.shape)
                tallies.append(_tally(batch.numpy(), moving.numpy(), numbers))
                by_pixel = batch.shape[1] > 1
                classes += [] if numbers is None or by_pixel else [numbers[:, 0]]
                for name, values in moments.items():
                    found[name] = joined(found.get(name), values)
        populations = {layer.name: checked_count(found.get(layer.name), layer.name) for layer in self.layers}
        columns = {name: np.concatenate([tally[name] for tally in tallies]) for name in tallies[0]}
        means = {name: float(np.mean(column)) for name, column in columns.items()}
        gap = Gap(len(columns["agreement"]), **means, by_pixel=by_pixel)
        return Measurement(populations, gap, are_mixed(classes))

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

    def _outputs_and_moments(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, dict[str, Any]]:
        moving = self.model(images, training=False)
        frozen = {layer.name: BatchNormMode.FROZEN for layer in self._others}
        with explicit_modes(self._others, frozen), observed_inputs(self.layers) as moments:
            batch = self.model(images, training=True)
        return first_logits(batch), first_logits(moving), moments


def _tally(batch: NDArray[Any], moving: NDArray[Any], numbers: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
    """Columns of a ``Gap``, a value for each image; of a map the mean over its pixels."""
    import tensorflow as tf

    logits = {"batch": batch, "moving": moving}
    classes = {name: item.argmax(-1) for name, item in logits.items()}
    found = {"agreement": (classes["batch"] == classes["moving"]).mean(1)}
    if numbers is None:
        return found
    for name, item in logits.items():
        found[f"accuracy_{name}"] = (classes[name] == numbers).mean(1)
        found[f"loss_{name}"] = tf.nn.sparse_softmax_cross_entropy_with_logits(numbers, item).numpy().mean(1)
    return found
