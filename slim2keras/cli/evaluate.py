"""``slim2keras evaluate``: how good a network is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slim2keras.cli.console import (
    DataOption,
    ExifOrientationOption,
    GraphOption,
    ImageSizeOption,
    InputShapeOption,
    InputTensorOption,
    JsonOption,
    LabelsOffsetOption,
    NetOption,
    NetworkOption,
    NumClassesOption,
    OutputTensorOption,
    OverwriteOption,
    PlaceholderOption,
    PreprocessingNameOption,
    SetOption,
    SkipBrokenOption,
    SplitOption,
    UseEmaOption,
    WorkersOption,
    check_classifier_path,
    checkpoint_request,
    graph_request,
    image_progress,
    import_tensorflow,
    parse_image_size,
    print_json,
    print_line,
    print_parts,
    progress_bar,
    with_function,
)
from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    from slim2keras.data.examples import Examples
    from slim2keras.evaluation import Evaluation

_RESULT, _CHECKPOINT, _GRAPH = "Result", "Where SUBJECT is a checkpoint", "Where its network is your own"
_SHEET = 20
"""Images on a sheet, where nobody says how many."""

SubjectArgument = Annotated[
    Path,
    typer.Argument(
        metavar="SUBJECT", help="Model file, slim checkpoint, or RUN, whose model.keras is taken.", show_default=False
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels", metavar="FILE", help="Names of the network's classes, lines 0:daisy; those of a RUN if left out."
    ),
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write a line an image.", rich_help_panel=_RESULT)
]


def evaluate(
    subject: SubjectArgument,
    data: DataOption,
    split: SplitOption = None,
    labels: LabelsOption = None,
    labels_offset: LabelsOffsetOption = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many images, spread over those there are.")
    ] = None,
    max_num_batches: Annotated[
        int | None, typer.Option("--max-num-batches", min=1, help="The same in batches, slim's flag.")
    ] = None,
    image_size: ImageSizeOption = None,
    preprocessing_name: PreprocessingNameOption = None,
    use_grayscale: UseGrayscaleOption = False,
    exif_orientation: ExifOrientationOption = False,
    skip_broken: SkipBrokenOption = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images a batch; no result depends on it.")] = 100,
    workers: WorkersOption = None,
) -> None:
    pass
