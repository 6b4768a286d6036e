"""What a network says of images, an entry an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.batches import NO_IMAGES, batches_of_worker
from slim2keras.batch_norm.soundness import check_values
from slim2keras.errors import NonFiniteError, TrainingDataError, UnsupportedArgumentError
from slim2keras.evaluation.classifiers import check_classifier
from slim2keras.models.logits import class_numbers, first_logits
from slim2keras.models.strategies import Team
from slim2keras.preprocessing.doubts import warn_if_doubtful
from slim2keras.progress import ImageProgress

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

TOP = 5
"""Classes of an image that are kept; slim's evaluation counts ``Recall_5``."""
_SMALLEST = float(np.finfo("float32").tiny)


@dataclass(frozen=True)
class Scores:
    """What a network says of images, an entry an image.

    Attributes:
        classes: The likeliest classes, likeliest first, (images, top); of equal ones the lower number first.
        probabilities: Theirs, (images, top).
        labels: Class of each image, (images,); ``None`` without labels, as the others below.
        ranks: Classes that are likelier than the label, (images,).
        losses: Cross entropy, (images,).
    """

    classes: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    ranks: NDArray[np.int64] | None = None
    losses: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.classes)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The likeliest class, (images,)."""
        return self.classes[:, 0]

    @classmethod
    def of(cls, log_probabilities: NDArray[Any], labels: NDArray[np.int64] | None, top: int = TOP) -> Scores:
        """From the logarithms of the probabilities of all classes, (images, classes)."""
        classes = np.argsort(-log_probabilities, axis=1, kind="stable")[:, :top]
        probabilities = np.exp(np.take_along_axis(log_probabilities, classes, axis=1))
        if labels is None:
            return cls(classes, probabilities)
        of_labels = np.take_along_axis(log_probabilities, labels[:, np.newaxis], axis=1)
        ranks = np.count_nonzero(log_probabilities > of_labels, axis=1)
        return cls(classes, probabilities, labels, ranks, -of_labels[:, 0])

    @classmethod
    def joined(cls, parts: Sequence[Scores], join: Callable[..., NDArray[Any]] = np.concatenate) -> Scores:
        """Of all images, in their order."""
        columns: dict[str, Any] = {}
        for item in fields(cls):
            found = [getattr(part, item.name) for part in parts]
            columns[item.name] = None if found[0] is None else join(found)
        return cls(**columns)


def score_images(
    model: tf_keras.Model,
    dataset: Iterable[Any],
    *,
    top: int = TOP,
    as_asked: bool = False,
    progress: ImageProgress | None = None,
) -> Scores:
    """Go through a data set once, with moving statistics and without dropout.

    Args:
        model: That tells classes, see ``check_classifier``.
        dataset: Batches of images as the network takes them, or of (images, labels); labels are numbers of classes, or
            have a column a class.
        top: Classes of an image to keep.
        as_asked: Whether somebody said how the images are prepared, so that nothing is doubted.
        progress: Called after each batch with its number of images.

    Raises:
        UnsupportedArgumentError: If the model tells no classes, or images are not as it takes them.
        TrainingDataError: If there are no images, or labels that are no classes.
        NonFiniteError: If images, or values of the network, are NaN or infinite, or what it gives.

    Warns:
        PreprocessingWarning: If the first images can hardly be preprocessed as the network wants them.
    """
    run = _log_probabilities_of(model)
    check_values(model)
    team = Team.of(model)
    parts: list[Scores] = []
    batches = batches_of_worker(dataset, team, progress)
    for _, labels, outputs in team.mapped(run, _checked(batches, model, as_asked=as_asked)):
        found = _of_images(outputs.numpy(), model.name)
        _check_finite(found, sum(map(len, parts)), model.name)
        numbers = None if labels is None else class_numbers(labels, len(found), 1, found.shape[-1])[:, 0]
        parts.append(Scores.of(found, numbers, top))
    return scores_of_all_workers(parts, team, model.outputs[0].shape[-1], top)


def _checked(
    batches: Iterator[tuple[tf.Tensor, Any]], model: tf_keras.Model, *, as_asked: bool
) -> Iterator[tuple[tf.Tensor, Any]]:
    first = next(batches, None)
    if first is not None:
        _check_images(model, first[0])
        if not as_asked:
            warn_if_doubtful(first[0], model)
        yield first
    yield from batches


def scores_of_all_workers(parts: Sequence[Scores], team: Team, classes: int, top: int = TOP) -> Scores:
    """Of the images of all workers, in their order; some workers may have none.

    Raises:
        TrainingDataError: If nobody has any.
    """
    has_labels = team.gathered(np.array([part.labels is not None for part in parts[:1]], np.int64))
    if not len(has_labels):
        raise TrainingDataError(NO_IMAGES)
    labels = np.empty(0, np.int64) if has_labels.all() else None
    nothing = Scores.of(np.empty((0, classes), np.float32), labels, top)
    return Scores.joined([nothing, *parts], team.in_order)


def _log_probabilities_of(model: tf_keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Images to ``log_probabilities``."""
    import tensorflow as tf

    gives_probabilities = check_classifier(model)

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(images: tf.Tensor) -> tf.Tensor:
        found = log_probabilities(model(images, training=False), gives_probabilities=gives_probabilities)
        return tf.where(_are_finite(images)[:, tf.newaxis, tf.newaxis], found, np.nan)

    return run  # type: ignore[no-any-return]


def _are_finite(images: tf.Tensor) -> tf.Tensor:
    """Whether each image is, (batch,); a ReLU would make zeros of NaN."""
    import tensorflow as tf

    if not images.dtype.is_floating:
        return tf.ones(tf.shape(images)[:1], tf.bool)
    return tf.reduce_all(tf.math.is_finite(images), list(range(1, images.shape.rank)))


def log_probabilities(outputs: Any, *, gives_probabilities: bool) -> tf.Tensor:
    """Logarithms of the probabilities of the classes, (batch, pixels, classes), float32, of a model's outputs."""
    import tensorflow as tf

    logits = first_logits(outputs)
    # A probability that rounds to 0 has a loss that is large, and not infinite.
    return tf.math.log(logits + _SMALLEST) if gives_probabilities else tf.nn.log_softmax(logits)


def _check_images(model: tf_keras.Model, images: tf.Tensor) -> None:
    wanted = model.inputs[0].shape
    if not wanted.is_compatible_with(images.shape):
        raise UnsupportedArgumentError(
            f"The data set has a batch of images {tuple(images.shape)}, but {model.name} takes {tuple(wanted)}."
        )


def _of_images(outputs: NDArray[Any], name: str) -> NDArray[Any]:
    """(images, classes); sizes that are open show only now whether the network gives a map."""
    if outputs.shape[1] != 1:
        raise UnsupportedArgumentError(
            f"{name} gives a map of {outputs.shape[1]} pixels for images of this size, and not one class an image."
        )
    return outputs[:, 0]


def _check_finite(log_probabilities: NDArray[Any], first: int, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(log_probabilities).all(axis=1))
    if len(bad):
        raise NonFiniteError(
            f"{name} gives NaN or infinity for image {first + bad[0]} and {len(bad) - 1} others of its batch: the "
            "image has such values, or so large ones that float32 ends within the network, whose own are finite."
        )
