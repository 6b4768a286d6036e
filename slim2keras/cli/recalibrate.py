"""``slim2keras recalibrate``: BatchNorm statistics estimated anew from images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slim2keras.cli.console import (
    BatchSizeOption,
    CheckpointArgument,
    InputShapeOption,
    JsonOption,
    NetOption,
    NumClassesOption,
    OverwriteOption,
    SetOption,
    UseEmaOption,
    import_tensorflow,
    parse_arguments,
    parse_input_shape,
    print_json,
    print_line,
    progress_bar,
)

DataOption = Annotated[
    Path, typer.Option("--data", metavar="IMAGES", help="Folder of images, or .npz of preprocessed ones (and labels).")
]
OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="OUT", help="slim checkpoint, or .keras, .h5, .weights.h5."),
]
SequentialOption = Annotated[
    bool, typer.Option("--sequential", help="Layer by layer, each after those before it are repaired; slow.")
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
    use_ema: UseEmaOption = False,
    batch_size: BatchSizeOption = 32,
    sequential: SequentialOption = False,
    decay: DecayOption = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
) -> None:
    """Estimate the moving statistics of BatchNorm anew from images; no weight is touched.

    A checkpoint gets everything else bit for bit, optimizer slots included.
    Example: slim2keras recalibrate train_dir/ --data images/ -o repaired/model.ckpt-5000
    """
    from slim2keras.recalibration import RecalibrationRequest, recalibrate_file

    import_tensorflow()
    request = RecalibrationRequest(
        net=net,
        arguments=parse_arguments(settings, num_classes),
        input_shape=parse_input_shape(input_shape),
        use_ema=use_ema,
        batch_size=batch_size,
        sequential=sequential,
        decay=decay,
    )
    with progress_bar() as progress:
        report = recalibrate_file(checkpoint, data, output, request, overwrite=overwrite, progress=progress)
    if json_output:
        print_json(report.to_json())
        return
    print_line(f"before: {report.before.describe()}")
    print_line(f"after:  {report.after.describe()}")
    worst = max(report.drifts, key=lambda name: report.drifts[name].size)
    print_line(f"furthest off: {worst}, {report.drifts[worst].describe()}")
    print_line(f"Written: {output} and {output}.json")
