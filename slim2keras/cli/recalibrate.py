"""``slim2keras recalibrate``: BatchNorm statistics estimated anew from images."""

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
    shared_work,
    with_function,
)
from slim2keras.cli.options import (
    BatchSizeOption,
    CheckpointArgument,
    DataOption,
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
    StrategyOption,
    UseEmaOption,
    WorkersOption,
    flag,
)

OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="OUT", help="slim checkpoint, or .keras, .h5, .weights.h5."),
]
SequentialOption = Annotated[
    bool, flag("--sequential", "Layer by layer, each after those before it are repaired; slow.")
]
DecayOption = Annotated[
    float | None, typer.Option("--decay", help="slim's moving average with this decay, not exact statistics.")
]


def recalibrate(
    checkpoint: CheckpointArgument,
    data: DataOption,
    output: OutputOption,
    net: NetOption = None,
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
    sequential: SequentialOption = False,
    decay: DecayOption = None,
    strategy: StrategyOption = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
) -> None:
    """Estimate the moving statistics of BatchNorm anew from images; no weight is touched.

    A checkpoint gets everything else bit for bit, optimizer slots included.

    Example: slim2keras recalibrate train_dir/ --data images/ -o repaired/model.ckpt-5000
    """
    check_variables(checkpoint)
    from slim2keras.batch_norm.decay import check_decay
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.data.listing import check_images_path
    from slim2keras.doctor.recalibration import check_recalibration_target, recalibrate_file

    check_images_path(data)
    check_recalibration_target(output, overwrite=overwrite)
    check_decay(decay)
    of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
    load = LoadOptions(use_ema=use_ema)
    request = checkpoint_request(net, num_classes, settings, input_shape, load, of_graph)
    import_tensorflow()
    again = "Nothing was written: start all workers again."
    with shared_work(strategy, again) as team, progress_bar() as progress:
        report = recalibrate_file(
            checkpoint,
            data,
            output,
            with_function(request, network),
            split=split,
            labels=not ignore_labels,
            labels_offset=labels_offset,
            skip_broken=skip_broken,
            workers=workers,
            preprocessing_name=preprocessing_name,
            batch_size=batch_size,
            sequential=sequential,
            decay=decay,
            overwrite=overwrite,
            progress=progress,
        )
    if not team.is_chief:
        return
    if json_output:
        print_json(report.to_json())
        return
    print_parts(report.page())
    print_line(f"Written: {output} and {output}.json")
