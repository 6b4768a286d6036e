"""``slim2keras doctor``: whether the BatchNorm statistics of a checkpoint can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slim2keras.cli.console import (
    check_variables,
    checkpoint_request,
    graph_request,
    import_tensorflow,
    print_json,
    print_line,
    print_parts,
    progress_bar,
    with_function,
)
from slim2keras.cli.options import (
    BatchSizeOption,
    CheckpointArgument,
    DataIfWantedOption,
    GraphOption,
    IgnoreLabelsOption,
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
)
from slim2keras.errors import ExitStatus, UnsupportedArgumentError

PretrainedOption = Annotated[
    Path | None,
    typer.Option("--pretrained", metavar="CKPT", help="Checkpoint that training started from.", show_default=False),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="PICTURE", help="Draw the drift from --data along the depth.", show_default=False),
]


def doctor(
    checkpoint: CheckpointArgument,
    pretrained: PretrainedOption = None,
    net: NetOption = None,
    decay: Annotated[float | None, typer.Option("--decay", help="Fraction of the statistics that a step kept.")] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps done or planned; global_step if left out.")
    ] = None,
    data: DataIfWantedOption = None,
    plot: PlotOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    settings: SetOption = None,
    graph: GraphOption = None,
    input_tensors: InputTensorOption = None,
    output_tensors: OutputTensorOption = None,
    placeholders: PlaceholderOption = None,
    network: NetworkOption = None,
    use_ema: UseEmaOption = False,
    split: SplitOption = None,
    labels_offset: LabelsOffsetOption = 0,
    ignore_labels: IgnoreLabelsOption = False,
    skip_broken: SkipBrokenOption = False,
    preprocessing_name: PreprocessingNameOption = None,
    workers: WorkersOption = None,
    batch_size: BatchSizeOption = 32,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
) -> None:
    """Examine the BatchNorm statistics of a checkpoint, of any slim network, or of a Keras file; exit code 4 if sick.

    The decay is --decay, else that of --net, what fine-tuning recorded, that of the .meta, or, assumed, of the network
    recognised.

    Example: slim2keras doctor train_dir/ --data images/ --plot drift.png
    """
    check_variables(checkpoint)
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.data.listing import check_images_path
    from slim2keras.doctor.diagnosing import check_question, diagnose_as_asked

    if pretrained is not None:
        check_variables(pretrained)
    check_question(decay, steps)
    if data is not None:
        check_images_path(data)
    of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
    load = LoadOptions(use_ema=use_ema)
    request = checkpoint_request(net, num_classes, settings, input_shape, load, of_graph)
    if plot is not None:
        if data is None:
            raise UnsupportedArgumentError("--plot shows the drift from data: give --data too.")
        from slim2keras.doctor.plots import plot_drift
        from slim2keras.files.pictures import check_plot_target

        check_plot_target(plot, overwrite=overwrite)
    import_tensorflow()
    request = with_function(request, network)
    with progress_bar() as progress:
        diagnosis = diagnose_as_asked(
            checkpoint,
            request,
            pretrained=pretrained,
            decay=decay,
            steps=steps,
            data=data,
            split=split,
            labels=not ignore_labels,
            labels_offset=labels_offset,
            skip_broken=skip_broken,
            workers=workers,
            preprocessing_name=preprocessing_name,
            batch_size=batch_size,
            progress=progress,
        )
    picture = plot if diagnosis.gap is not None else None
    if picture is not None:
        plot_drift(diagnosis, picture, overwrite=overwrite)
    if json_output:
        print_json(diagnosis.to_json())
    else:
        print_parts(diagnosis.page())
        if picture is not None:
            print_line(f"Written: {picture}")
    if not diagnosis.is_healthy:
        raise typer.Exit(ExitStatus.SICK)
