"""Evaluating a network: each image once, in one pass of parallel reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.batches import Reading
from slim2keras.data.examples import Examples
from slim2keras.data.images import ImageBatches
from slim2keras.data.labels import class_names
from slim2keras.data.listing import list_examples, splits_of
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.evaluation.classifiers import check_classifier
from slim2keras.evaluation.labels import numbered_by_names
from slim2keras.evaluation.opening import Classifier, classifier_of, open_classifier
from slim2keras.evaluation.report import Evaluation
from slim2keras.evaluation.scores import TOP, Scores, score_images
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import pipeline_named, pipeline_of
from slim2keras.preprocessing.pipelines import PIPELINES
from slim2keras.progress import ImageProgress

if TYPE_CHECKING:
    import tf_keras

BATCH_SIZE = 100
"""slim's."""
_SPLITS = ("test", "validation")
"""That evaluation takes of data with splits, the first that is there; slim's default is ``test``."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Which images, and how they are read.

    Attributes:
        split: Of data that has splits, slim's ``dataset_split_name``; ``test`` if left out, else ``validation``.
        labels_offset: Taken off the numbers in the data, slim's.
        labels_file: Name of each class of the network, by which labels are numbered; that of a RUN if left out.
        limit: At most so many images, spread evenly over those listed.
        skip_broken: Leave out images that cannot be read, and list them.
        batch_size: Images a batch; no result depends on it.
        preprocessing_name: slim's: a network whose preprocessing is taken, or a pipeline.
        use_grayscale: Make images grey, slim's.
        exif_orientation: Turn images as their EXIF tag says.
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.
    """

    split: str | None = None
    labels_offset: int = 0
    labels_file: Path | None = None
    limit: int | None = None
    skip_broken: bool = False
    batch_size: int = BATCH_SIZE
    preprocessing_name: str | None = None
    use_grayscale: bool = False
    exif_orientation: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "limit", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UnsupportedArgumentError(f"{name} must be 1 or greater. Received: {value!r}")
        if self.preprocessing_name is not None:
            pipeline_named(self.preprocessing_name)

    @property
    def prepares(self) -> list[str]:
        """What is asked that is done to images before the network gets them."""
        return [name for name in ("preprocessing_name", "use_grayscale", "exif_orientation") if getattr(self, name)]

    def reading(self, subject: Classifier) -> Reading:
        """How images are read for a classifier: as it was validated in its RUN, but for what is asked otherwise."""
        its = subject.reading
        return replace(
            its,
            options=replace(its.options, use_grayscale=its.options.use_grayscale or self.use_grayscale),
            preprocessing=its.preprocessing
            if self.preprocessing_name is None
            else pipeline_named(self.preprocessing_name),
            exif_orientation=its.exif_orientation or self.exif_orientation,
            workers=self.workers,
        )


def evaluate(
    model: tf_keras.Model | str | Path,
    data: Examples | Iterable[Any] | str | Path,
    *,
    split: str | None = None,
    labels_offset: int = 0,
    labels_file: str | Path | None = None,
    limit: int | None = None,
    skip_broken: bool = False,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    progress: ImageProgress | None = None,
) -> Evaluation:
    """Evaluate a network, with moving statistics and without dropout; each image counts once.

    slim's ``eval_image_classifier`` fills its last batch from the beginning of the data, so that some images count
    twice; accuracies differ from it by that alone.

    Args:
        model: That tells classes: of ``convert``, ``build``, ``finetune`` or anybody's; or the path of a model file, a
            checkpoint, or a RUN of ``train``.
        data: Path of images, see ``data.listing.list_examples``; images that are listed; or any data set of batches of
            (images, labels), as the network takes them.
        split: Of data that has splits; ``"test"`` if left out, else ``"validation"``.
        labels_offset: Taken off the numbers in the data; slim's flag.
        labels_file: Name of each class of the network, lines ``0:daisy``, by which labels are numbered; that of a RUN
            if left out.
        limit: At most so many images, spread evenly over those listed.
        skip_broken: Leave out images that cannot be read, and list them.
        batch_size: Images a batch; no result depends on it.
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.
        progress: Called after each batch with its number of images.

    Returns:
        Accuracy, class by class, and what is taken for what.

    Raises:
        UnsupportedArgumentError: If the model tells no classes, or its images cannot be prepared.
        DataReadError: If images cannot be read, or there are no labels.
        TrainingDataError: If labels are no classes.
        NonFiniteError: If the network gives NaN or infinity.

    Examples:
        >>> evaluation = slim2keras.evaluate("run/", "flowers/")
        >>> print(evaluation)
        accuracy ...%   ... of 36 images
        ...
    """
    is_path = isinstance(model, (str, Path))
    subject = open_classifier(model, data=data) if is_path else classifier_of(model)
    names = None if labels_file is None else Path(labels_file)
    options = EvaluationOptions(split, labels_offset, names, limit, skip_broken, batch_size, workers=workers)
    if isinstance(data, (str, Path)):
        return evaluate_data(subject, Path(data), options, progress)
    if isinstance(data, Examples):
        return evaluate_examples(subject, data, options, progress=progress)
    return _evaluate_batches(subject, data, names, progress)


def evaluate_data(
    subject: Classifier, data: Path, options: EvaluationOptions, progress: ImageProgress | None = None
) -> Evaluation:
    """``evaluate`` on the images of a path."""
    examples = list_labelled(subject, data, options)
    return evaluate_examples(subject, examples, options, described(subject, data, options.split), progress)


def described(subject: Classifier, data: Path, split: str | None) -> str:
    """Where images are from, in words, and whether a RUN has learned from them."""
    taken = _split_of(data, split)
    where = f"{data}, {taken}" if taken else str(data)
    learned = subject.trained_on
    if learned is None or data.resolve() != learned[0] or taken not in (None, learned[1]):
        return where
    return f"{where}; the run was trained on images of these: what it has not seen is judged in its report.json"


def list_labelled(subject: Classifier, data: Path, options: EvaluationOptions) -> Examples:
    """List images with labels as a network numbers them.

    Raises:
        DataReadError: If there are none, or they have no labels.
        UnsupportedArgumentError: If the model tells no classes.
    """
    check_classifier(subject.model)

    def listed(classes: int | None) -> Examples:
        return list_examples(
            data,
            split=_split_of(data, options.split),
            classes=classes,
            labels_offset=options.labels_offset,
            skip_broken=options.skip_broken,
        )

    labels_file = options.labels_file or subject.labels_file
    if labels_file is None:
        return _limited(listed(subject.num_classes), options.limit)
    return _limited(numbered_by_names(listed, labels_file, subject.num_classes), options.limit)


def _split_of(data: Path, split: str | None) -> str | None:
    there = splits_of(data)
    return split or next((name for name in _SPLITS if name in there), None)


def _limited(examples: Examples, limit: int | None) -> Examples:
    """Spread evenly over those listed: folders come class by class, so that each class keeps its share."""
    if limit is None or limit >= len(examples):
        return examples
    return examples.subset(np.linspace(0, len(examples) - 1, limit).round().astype(np.int64))


def evaluate_examples(
    subject: Classifier,
    examples: Examples,
    options: EvaluationOptions,
    where: str = "images that are listed",
    progress: ImageProgress | None = None,
) -> Evaluation:
    """``evaluate`` on images that are listed; ``where`` says from what.

    Raises:
        DataReadError: If an image cannot be read, or there are no labels.
    """
    examples.known_labels()
    if examples.source.is_prepared and options.prepares:
        raise UnsupportedArgumentError(
            f"The images are preprocessed already, and taken as they are: leave out {', '.join(options.prepares)}."
        )
    scores = score_examples(subject, examples, options, progress=progress)
    return Evaluation(
        subject.source,
        where,
        scores,
        examples.class_names,
        examples.names,
        examples.numbering,
        preprocessing_of(subject, examples, options),
        examples.broken,
    )


def score_examples(
    subject: Classifier,
    examples: Examples,
    options: EvaluationOptions,
    *,
    top: int = TOP,
    progress: ImageProgress | None = None,
) -> Scores:
    """What a network says of images that are listed, in their order.

    Raises:
        DataReadError: If one cannot be read; it is named.
        UnsupportedArgumentError: If nobody knows how its images are to be prepared.
    """
    network, reading = _known_network(subject), options.reading(subject)
    batches = ImageBatches(examples, network, options.batch_size, shuffle_seed=None, reading=reading)
    as_asked = reading.preprocessing is not None
    return score_images(subject.model, batches, top=top, as_asked=as_asked, progress=progress)


def _known_network(subject: Classifier) -> Network:
    if subject.network is None:
        raise UnsupportedArgumentError(
            f"What {subject.model.name} wants of its images cannot be told: it is not a network of slim2keras. Give "
            "batches of images as it takes them, a tf.data.Dataset."
        )
    return subject.network


def preprocessing_of(subject: Classifier, examples: Examples, options: EvaluationOptions) -> str:
    """What becomes of images before the network gets them, in words."""
    if examples.source.is_prepared:
        return "none, the images are taken as they are"
    network, reading = _known_network(subject), options.reading(subject)
    pipeline = pipeline_of(network) if reading.preprocessing is None else PIPELINES[reading.preprocessing]
    turned = ", turned as EXIF says" if reading.exif_orientation and examples.source.is_encoded else ""
    return pipeline.describe(*network.image_size, options=reading.options) + turned


def _evaluate_batches(
    subject: Classifier, dataset: Iterable[Any], labels_file: Path | None, progress: ImageProgress | None
) -> Evaluation:
    scores = score_images(subject.model, dataset, progress=progress)
    if scores.labels is None:
        raise DataReadError("The data set has no labels, which accuracy needs. Give batches of (images, labels).")
    names = class_names(labels_file or subject.labels_file, subject.num_classes)
    places = [f"image {place}" for place in range(len(scores))]
    return Evaluation(subject.source, type(dataset).__name__, scores, names, places)
