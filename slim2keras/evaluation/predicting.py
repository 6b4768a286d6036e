"""What a network says of images that have no labels."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.data.broken import without_broken
from slim2keras.data.examples import Examples
from slim2keras.data.folders import IMAGE_SUFFIXES
from slim2keras.data.labels import class_names
from slim2keras.data.sources import ImageFiles
from slim2keras.errors import DataReadError
from slim2keras.evaluation.evaluating import EvaluationOptions, preprocessing_of, score_examples
from slim2keras.evaluation.opening import Classifier, classifier_of, open_classifier
from slim2keras.evaluation.predictions import Predictions
from slim2keras.evaluation.scores import TOP
from slim2keras.progress import ImageProgress
from slim2keras.scopes import natural_order

if TYPE_CHECKING:
    import tf_keras

_PATTERN = frozenset("*?[")


def predict(
    model: tf_keras.Model | str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    labels_file: str | Path | None = None,
    top: int = TOP,
    skip_broken: bool = False,
    progress: ImageProgress | None = None,
) -> Predictions:
    """Tell the classes of images, with probabilities.

    Args:
        model: That tells classes, of ``convert``, ``build`` or ``finetune``; or the path of a model file, a checkpoint,
            or a RUN of ``train``.
        images: Image files, folders of them (with the folders in them), or patterns such as ``photos/*.jpg``.
        labels_file: Name of each class of the network, lines ``0:daisy``; that of a RUN if left out.
        top: Classes of an image, the likeliest.
        skip_broken: Leave out images that cannot be read, and list them.
        progress: Called after each batch with its number of images.

    Raises:
        UnsupportedArgumentError: If the model tells no classes, or its images cannot be prepared.
        DataReadError: If an image cannot be read.

    Examples:
        >>> print(slim2keras.predict("run/", "photos/", top=1))
        photos/daisy.jpg: ...%
        photos/rose.jpg: ...%
        photos/tulip.jpg: ...%
    """
    is_path = isinstance(model, (str, Path))
    subject = open_classifier(model) if is_path else classifier_of(model)
    paths = [images] if isinstance(images, (str, Path)) else [*images]
    options = EvaluationOptions(labels_file=None if labels_file is None else Path(labels_file), skip_broken=skip_broken)
    return predict_files(subject, image_files(paths), options, top, progress)


def image_files(paths: Iterable[str | Path]) -> list[str]:
    """The image files that paths stand for, in their order.

    Raises:
        DataReadError: If one stands for none.
    """
    return [file for path in paths for file in _files_of(path)]


def _files_of(path: str | Path) -> Sequence[str]:
    if Path(path).is_dir():
        found = sorted(map(str, _images_within(Path(path))), key=natural_order)
    elif Path(path).exists() or not _PATTERN.intersection(str(path)):
        found = [str(path)] if Path(path).is_file() else []
    else:
        # Path.glob takes no absolute patterns.
        found = sorted(glob.glob(str(path), recursive=True), key=natural_order)  # noqa: PTH207
    if not found:
        raise DataReadError(
            f"There are no images {path}. Give image files ({', '.join(sorted(IMAGE_SUFFIXES))}), folders or patterns."
        )
    return found


def _images_within(folder: Path) -> Iterator[Path]:
    """The images of a folder and of those in it; hidden ones are passed over, as in data sets."""
    for file in folder.rglob("*"):
        is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in IMAGE_SUFFIXES and not is_hidden and file.is_file():
            yield file


def predict_files(
    subject: Classifier,
    files: Sequence[str],
    options: EvaluationOptions,
    top: int = TOP,
    progress: ImageProgress | None = None,
) -> Predictions:
    """``predict`` with files.

    Raises:
        DataReadError: If one cannot be read.
    """
    names = class_names(options.labels_file or subject.labels_file, subject.num_classes)
    examples = Examples(ImageFiles(Path(), files), None, names)
    if options.skip_broken:
        examples = without_broken(examples)
    scores = score_examples(subject, examples, options, top=top, progress=progress)
    meaning = preprocessing_of(subject, examples, options)
    return Predictions(subject.source, scores, names, examples.names, meaning, examples.broken)
