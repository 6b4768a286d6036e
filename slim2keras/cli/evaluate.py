"""``slim2keras evaluate``: how good a network is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from slim2keras.cli.console import (
    check_classifier,
    checkpoint_request,
    graph_request,
    image_progress,
    import_tensorflow,
    parse_image_size,
    print_json,
    print_line,
    print_parts,
    progress_bar,
    shared_work,
    with_function,
)
from slim2keras.cli.options import (
    IMAGES,
    RESULT,
    CsvOption,
    DataOption,
    ExifOrientationOption,
    GraphOption,
    ImageSizeOption,
    InputShapeOption,
    InputTensorOption,
    JsonOption,
    LabelsOffsetOption,
    LabelsOption,
    MovingAverageDecayOption,
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
    StrategyOption,
    SubjectArgument,
    UseEmaOption,
    UseGrayscaleOption,
    WorkersOption,
    option,
)
from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    from slim2keras.data.examples import Examples
    from slim2keras.evaluation import Evaluation

_SHEET = 20
"""Images on a sheet where nobody says how many."""

LimitOption = Annotated[
    int | None, option("--limit", "At most so many images, spread over those there are.", IMAGES, min=1)
]
MaxNumBatchesOption = Annotated[
    int | None, option("--max-num-batches", "The same in batches, slim's flag.", IMAGES, min=1)
]
EvaluationBatchSizeOption = Annotated[
    int, option("--batch-size", "Images a batch; no result depends on it.", IMAGES, min=1)
]
PlotOption = Annotated[
    Path | None, option("--plot", "Draw what is taken for what.", RESULT, metavar="PICTURE", show_default=False)
]
WorstOption = Annotated[
    int | None, option("--worst", "List the N images that are most confidently wrong.", RESULT, metavar="N", min=1)
]
WorstPlotOption = Annotated[
    Path | None, option("--worst-plot", "Draw a sheet of them.", RESULT, metavar="PICTURE", show_default=False)
]


def evaluate(
    subject: SubjectArgument,
    data: DataOption,
    split: SplitOption = None,
    labels: LabelsOption = None,
    labels_offset: LabelsOffsetOption = 0,
    limit: LimitOption = None,
    max_num_batches: MaxNumBatchesOption = None,
    image_size: ImageSizeOption = None,
    preprocessing_name: PreprocessingNameOption = None,
    use_grayscale: UseGrayscaleOption = False,
    exif_orientation: ExifOrientationOption = False,
    skip_broken: SkipBrokenOption = False,
    batch_size: EvaluationBatchSizeOption = 100,
    workers: WorkersOption = None,
    strategy: StrategyOption = None,
    csv: CsvOption = None,
    plot: PlotOption = None,
    worst: WorstOption = None,
    worst_plot: WorstPlotOption = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
    net: NetOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    settings: SetOption = None,
    use_ema: UseEmaOption = False,
    moving_average_decay: MovingAverageDecayOption = None,
    graph: GraphOption = None,
    input_tensors: InputTensorOption = None,
    output_tensors: OutputTensorOption = None,
    placeholders: PlaceholderOption = None,
    network: NetworkOption = None,
) -> None:
    """Measure a network on labelled images, each image once: accuracy, top 5, class by class, what is taken for what.

    Of data with splits it takes test, or else validation, unless --split says another.

    Example: slim2keras evaluate run/ --data flowers/ --plot confusion.png --worst 20 --worst-plot worst.png
    """
    check_classifier(subject)
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.data.listing import check_images_path
    from slim2keras.evaluation import evaluating, opening

    check_images_path(data)
    outputs = _Outputs(csv, plot, worst_plot, worst or _SHEET, overwrite)
    outputs.check()
    size = parse_image_size(image_size)
    options = evaluating.EvaluationOptions(
        split=split,
        labels_offset=labels_offset,
        labels_file=labels,
        limit=_limit(limit, max_num_batches, batch_size),
        skip_broken=skip_broken,
        batch_size=batch_size,
        preprocessing_name=preprocessing_name,
        use_grayscale=use_grayscale,
        exif_orientation=exif_orientation,
        workers=workers,
    )
    of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
    load = LoadOptions(use_ema=use_ema or moving_average_decay is not None)
    request = checkpoint_request(net, num_classes, settings, input_shape, load, of_graph)
    import_tensorflow()
    with shared_work(strategy, "Start all workers again.") as team, progress_bar() as progress:
        opened = opening.open_classifier(subject, with_function(request, network), size, data=data)
        examples = evaluating.list_labelled(opened, data, options)
        counted = image_progress(progress, "evaluating", len(examples))
        evaluation = evaluating.evaluate_examples(
            opened, examples, options, evaluating.described(opened, data, split), counted
        )
    if not team.is_chief:
        return
    outputs.write(evaluation, examples)
    if json_output:
        print_json({**evaluation.to_json(), **({"worst": evaluation.worst_json(worst)} if worst else {})})
        return
    print_parts(evaluation.page())
    if worst:
        print_parts(evaluation.worst_page(worst))
    if outputs.paths:
        print_line(f"Written: {', '.join(map(str, outputs.paths))}")


def _limit(limit: int | None, num_batches: int | None, batch_size: int) -> int | None:
    given = [limit, None if num_batches is None else num_batches * batch_size]
    return min((count for count in given if count is not None), default=None)


@dataclass(frozen=True)
class _Outputs:
    """Files that are asked for."""

    csv: Path | None
    plot: Path | None
    worst_plot: Path | None
    worst: int
    overwrite: bool

    @property
    def paths(self) -> list[Path]:
        return [path for path in (self.csv, self.plot, self.worst_plot) if path is not None]

    def check(self) -> None:
        """Refuse what cannot be written, before anything is done."""
        from slim2keras.files.output_files import check_free
        from slim2keras.files.pictures import check_plot_target

        if len({path.absolute() for path in self.paths}) < len(self.paths):
            raise UnsupportedArgumentError("--csv, --plot and --worst-plot are files of their own: give each a name.")
        if self.csv is not None:
            check_free(self.csv.absolute(), overwrite=self.overwrite)
        for picture in (self.plot, self.worst_plot):
            if picture is not None:
                check_plot_target(picture, overwrite=self.overwrite)

    def write(self, evaluation: Evaluation, examples: Examples) -> None:
        from slim2keras.evaluation.plots import plot_confusion, plot_worst
        from slim2keras.evaluation.tables import write_csv

        if self.csv is not None:
            write_csv(evaluation, self.csv, overwrite=self.overwrite)
        if self.plot is not None:
            plot_confusion(evaluation, self.plot, overwrite=self.overwrite)
        if self.worst_plot is not None:
            plot_worst(evaluation, examples, self.worst, self.worst_plot, overwrite=self.overwrite)
