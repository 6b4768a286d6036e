"""Pictures of an evaluation: what is taken for what, and the images that are most confidently wrong."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.examples import Examples
from slim2keras.evaluation.report import Evaluation
from slim2keras.files.pictures import BLUE, GREY, RED, drawing
from slim2keras.files.reports import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST_NAMED = 40
"""Classes whose names fit beside a matrix."""
_MOST_COUNTED = 25
"""Classes in whose cells numbers can be read."""
_MOST_PAIRS = 18
_SMALLEST_SHOWN = 0.02
"""Of the images of a class; rarer mistakes are no dot in a matrix of hundreds of classes."""
_NAME_WIDTH = 24
_SHEET_COLUMNS = 5
_COLOURS = 3
_SMALLEST_RANGE = 1e-6
"""Of the values of an image; of a smaller one nothing could be seen."""
_LONGEST_FILE_NAME = 36
_LARGEST_DOT, _SMALLEST_DOT = 60.0, 3.0
"""Square points, of all images of a class, and what can be seen."""


def plot_confusion(evaluation: Evaluation, path: str | Path, *, overwrite: bool = False) -> None:
    """Draw what is taken for what: up to 40 classes as a matrix with names, more as dots beside the worst pairs.

    Classes that no image is of and none is taken for are left out.

    Args:
        evaluation: Of ``evaluate``.
        path: .png, .pdf or .svg.
        overwrite: Replace an existing file.

    Raises:
        OutputError: If the file exists or cannot be written; nothing is left behind.
    """
    confusion = evaluation.confusion
    there = np.flatnonzero(confusion.sum(0) + confusion.sum(1))
    counts = confusion[np.ix_(there, there)]
    names = [_shortened(evaluation.class_names[int(number)]) for number in there]
    is_matrix = len(there) <= _MOST_NAMED
    # A third of an inch holds three digits.
    side = max(4.5, 2.5 + 0.3 * len(there)) if is_matrix else 8.0
    with drawing(path, (side + 1.2, side) if is_matrix else (14.0, 8.4), overwrite=overwrite) as figure:
        figure.suptitle(_title(evaluation), x=0.01, ha="left", fontsize=13)
        if is_matrix:
            _draw_matrix(figure, counts, names)
        else:
            dots, bars = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
            _draw_dots(dots, counts, there)
            _draw_pairs(bars, evaluation)


def _title(evaluation: Evaluation) -> str:
    return f"Accuracy {evaluation.accuracy:.1%}: {evaluation.correct:,} of {plural(evaluation.images, 'image')}"


def _shortened(name: str) -> str:
    name = _drawable(name)
    return textwrap.shorten(name, _NAME_WIDTH, placeholder="…") if " " in name else name[:_NAME_WIDTH]


def _drawable(name: str) -> str:
    """What can be drawn of a name that is no UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _shares(counts: NDArray[Any]) -> NDArray[Any]:
    """Of the images of each class, a row each; rows without images are 0."""
    shares: NDArray[Any] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return shares


def _draw_matrix(figure: Figure, counts: NDArray[Any], names: Sequence[str]) -> None:
    axes, shares = figure.subplots(), _shares(counts)
    picture = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(picture, ax=axes, label="share of the images of the class", shrink=0.8, format="{x:.0%}")
    places = np.arange(len(names))
    axes.set_xticks(places, names, rotation=45 if len(names) <= _MOST_COUNTED else 90, ha="right")
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("class of the image")
    if len(names) <= _MOST_COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)


def _draw_dots(axes: Axes, counts: NDArray[Any], numbers: NDArray[Any]) -> None:
    shares = _shares(counts)
    for is_right, colour in ((True, BLUE), (False, RED)):
        on_diagonal = np.eye(len(counts), dtype=bool)
        rows, columns = np.nonzero((shares >= _SMALLEST_SHOWN) & (on_diagonal == is_right))
        # A cell of a matrix of a thousand classes is hardly a pixel; the area of a dot is.
        size = np.maximum(_LARGEST_DOT * shares[rows, columns] * min(1.0, 200 / len(counts)), _SMALLEST_DOT)
        label = "right" if is_right else "mistaken"
        axes.scatter(numbers[columns], numbers[rows], s=size, color=colour, alpha=0.7, linewidths=0, label=label)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_xlabel("predicted (number of the class)")
    axes.set_ylabel("class of the image (number)")
    axes.set_title(
        f"a dot's area: share of the images of the class, from {_SMALLEST_SHOWN:.0%}", loc="left", fontsize=10
    )


def _draw_pairs(axes: Axes, evaluation: Evaluation) -> None:
    pairs = evaluation.confused(_MOST_PAIRS)
    labels = [f"{_shortened(pair.true)} → {_shortened(pair.predicted)}" for pair in pairs]
    bars = axes.barh(np.arange(len(pairs)), [pair.images for pair in pairs], color=RED, alpha=0.7)
    axes.bar_label(bars, [f"{pair.images:,} ({pair.share:.0%})" for pair in pairs], padding=3, fontsize=8)
    axes.set_yticks(np.arange(len(pairs)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlabel("images (share of the images of the class)")
    axes.set_title("most often mistaken", loc="left", fontsize=10)


def plot_worst(
    evaluation: Evaluation, examples: Examples, count: int, path: str | Path, *, overwrite: bool = False
) -> None:
    """Draw a sheet of the images that are most confidently wrong.

    Each with what it was taken for, what it is, and how likely the network found both.

    Args:
        evaluation: Of ``evaluate``.
        examples: That it is of.
        count: At most so many images.
        path: .png, .pdf or .svg.
        overwrite: Replace an existing file.

    Raises:
        OutputError: If the file exists or cannot be written; nothing is left behind.
    """
    places = evaluation.worst(count)
    columns = max(1, min(_SHEET_COLUMNS, len(places)))
    rows = max(1, math.ceil(len(places) / columns))
    with drawing(path, (max(2.5 * columns, 5.0), 2.9 * rows + 0.5), overwrite=overwrite) as figure:
        title = f"Most confidently wrong: {len(places)} of {evaluation.images - evaluation.correct:,} mistakes"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        cells = figure.subplots(rows, columns, squeeze=False).ravel()
        for cell in cells:
            cell.axis("off")
        for cell, place, image in zip(cells, places, _pixels(examples, places), strict=False):
            _draw_image(cell, evaluation, place, image)


def _pixels(examples: Examples, places: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Images to look at, (height, width, channels), from 0 to 1; those that come preprocessed as light as can be."""
    import tensorflow as tf

    source = examples.source.subset(places)
    for row in zip(*source.places, strict=True):
        image = source.read(*map(tf.constant, row), channels=_COLOURS).numpy()
        if not source.is_prepared:
            yield image / 255.0
        else:
            yield (image - image.min()) / max(float(np.ptp(image)), _SMALLEST_RANGE)


def _draw_image(axes: Axes, evaluation: Evaluation, place: int, image: NDArray[Any]) -> None:
    scores = evaluation.scores
    assert scores.labels is not None
    assert scores.losses is not None
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image[..., :3], cmap="gray", vmin=0.0, vmax=1.0)
    taken, true = scores.predicted[place], scores.labels[place]
    lines = (
        (1.0, 18, f"{_shortened(evaluation.class_names[taken])} {scores.probabilities[place, 0]:.0%}", RED, 10),
        (1.0, 4, f"is {_shortened(evaluation.class_names[true])} {np.exp(-scores.losses[place]):.0%}", BLUE, 10),
        (0.0, -11, _drawable(Path(evaluation.names[place]).name)[-_LONGEST_FILE_NAME:], GREY, 7),
    )
    for height, offset, text, colour, size in lines:
        axes.annotate(
            text,
            (0.0, height),
            (0, offset),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize=size,
        )
