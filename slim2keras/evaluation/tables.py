"""A line an image, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slim2keras.evaluation.predictions import Predictions
from slim2keras.evaluation.report import Evaluation
from slim2keras.evaluation.scores import Scores
from slim2keras.files.output_files import check_free, whole_or_not_at_all

_SAID = ("predicted", "predicted_name", "probability")


def write_csv(report: Evaluation | Predictions, path: Path, *, overwrite: bool = False) -> None:
    """Write a line an image: name, label if there is one, what is predicted, and the likeliest classes with theirs.

    The likeliest classes are numbers, likeliest first, with a space between, and so are their probabilities.

    Args:
        report: Of ``evaluate`` or ``predict``.
        path: To write, whole or not at all.
        overwrite: Replace an existing file.

    Raises:
        OutputError: If it exists or cannot be written.
    """
    target = path.absolute()
    check_free(target, overwrite=overwrite)
    scores, names = report.scores, report.class_names
    labelled = scores.labels is not None
    top = scores.classes.shape[1]
    header = ["name", *(["label", "label_name"] if labelled else []), *_SAID, f"top_{top}", f"top_{top}_probabilities"]
    with whole_or_not_at_all(target, overwrite=overwrite) as (draft,):
        _write_rows(draft, [header, *_rows(scores, names, report.names)])


def _write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    # Names of files are bytes, which may be no UTF-8.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _rows(scores: Scores, class_names: Sequence[str], names: Sequence[str]) -> Iterator[list[object]]:
    for place, name in enumerate(names):
        label = [] if scores.labels is None else [scores.labels[place], class_names[scores.labels[place]]]
        classes, probabilities = scores.classes[place], [f"{value:.6g}" for value in scores.probabilities[place]]
        said = [classes[0], class_names[classes[0]], probabilities[0]]
        yield [name, *label, *said, " ".join(map(str, classes)), " ".join(probabilities)]
