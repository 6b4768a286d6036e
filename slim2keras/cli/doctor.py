"""``slim2keras doctor``: whether the BatchNorm statistics of a checkpoint can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

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
    print_sentence,
    progress_bar,
    stdout,
)
from slim2keras.errors import ExitStatus, UnsupportedArgumentError

PretrainedOption = Annotated[
    Path | None,
    typer.Option("--pretrained", metavar="CKPT", help="Checkpoint that training started from.", show_default=False),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="IMAGES",
        help="Compare with images: a folder, or an .npz of preprocessed ones (and labels).",
        show_default=False,
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="PICTURE", help="Draw the drift from --data along the depth.", show_default=False),
]
NUM_WORST = 12


def doctor(
    checkpoint: CheckpointArgument,
    pretrained: PretrainedOption = None,
    net: NetOption = None,
    decay: Annotated[float | None, typer.Option("--decay", help="Fraction of the statistics that a step kept.")] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps done or planned; global_step if left out.")
    ] = None,
    data: DataOption = None,
    plot: PlotOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    settings: SetOption = None,
    use_ema: UseEmaOption = False,
    batch_size: BatchSizeOption = 32,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
) -> None:
    """Examine the BatchNorm statistics of a checkpoint, of any slim network; exit code 4 if they are sick.

    The decay is --decay, else that of --net, of the .meta, or of the network recognised.
    Example: slim2keras doctor train_dir/ --data images/ --plot drift.png
    """
    from slim2keras.doctor import diagnose

    if plot is not None:
        if data is None:
            raise UnsupportedArgumentError("--plot shows the drift from data: give --data too.")
        from slim2keras.plots import check_plot_target, plot_drift

        check_plot_target(plot, overwrite=overwrite)
    import_tensorflow()
    with progress_bar() as progress:
        diagnosis = diagnose(
            checkpoint,
            pretrained=pretrained,
            net=net,
            decay=decay,
            steps=steps,
            data=data,
            input_shape=parse_input_shape(input_shape),
            use_ema=use_ema,
            batch_size=batch_size,
            progress=progress,
            **parse_arguments(settings, num_classes),
        )
    picture = plot if diagnosis.gap is not None else None
    if picture is not None:
        plot_drift(diagnosis, picture, overwrite=overwrite)
    if json_output:
        print_json(diagnosis.to_json())
    else:
        _show(diagnosis)
        if picture is not None:
            print_line(f"Written: {picture}")
    if not diagnosis.is_healthy:
        raise typer.Exit(ExitStatus.SICK)


def _worst_first(layer: Any) -> tuple[bool, float]:
    return not layer.is_sick, -layer.drift.size if layer.drift else 0.0


def _show(diagnosis: Any) -> None:
    style = "green" if diagnosis.is_healthy else "red"
    for verdict in diagnosis.verdicts:
        print_sentence(verdict, "" if verdict.startswith("remark") else style)
    worst = sorted((layer for layer in diagnosis.layers if layer.findings), key=_worst_first)
    if worst:
        table = Table(Column("layer", overflow="fold"), "channels", "finding", "seen by", box=None)
        for layer in worst[:NUM_WORST]:
            findings = "\n".join(finding.value for finding in layer.findings)
            table.add_row(
                escape(layer.name), str(layer.channels), findings, "\n".join(map(layer.facts.get, layer.findings))
            )
        stdout.print(table)
        if len(worst) > NUM_WORST:
            stdout.print(f"and {len(worst) - NUM_WORST} more; --json lists all", highlight=False)
    if diagnosis.decay is not None:
        advice = f"; for {diagnosis.steps} steps take {diagnosis.recommended_decay:.4g}" if diagnosis.steps else ""
        print_sentence(f"decay {diagnosis.decay:.6g} ({diagnosis.decay_source}){advice}")
