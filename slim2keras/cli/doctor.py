"""``slim2keras doctor``: whether the BatchNorm statistics of a checkpoint can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from slim2keras.cli.console import CheckpointArgument, JsonOption, NetOption, import_tensorflow, print_json, stdout
from slim2keras.errors import ExitStatus

PretrainedOption = Annotated[
    Path | None,
    typer.Option("--pretrained", metavar="CKPT", help="Checkpoint that training started from.", show_default=False),
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
    json_output: JsonOption = False,
) -> None:
    """Examine the BatchNorm statistics of a checkpoint, of any slim network; exit code 4 if they are sick.

    The decay is --decay, else the default of --net, else what stands in the .meta beside the checkpoint, else the
    default of the network that is recognised.
    Example: slim2keras doctor train_dir/ --pretrained resnet_v1_50_2016_08_28.tar.gz
    """
    from slim2keras.doctor import diagnose

    import_tensorflow()
    diagnosis = diagnose(checkpoint, pretrained=pretrained, net=net, decay=decay, steps=steps)
    if json_output:
        print_json(diagnosis.to_json())
    else:
        _show(diagnosis)
    if not diagnosis.is_healthy:
        raise typer.Exit(ExitStatus.SICK)


def _show(diagnosis: Any) -> None:
    style = "green" if diagnosis.is_healthy else "red"
    for verdict in diagnosis.verdicts:
        stdout.print(verdict, style="" if verdict.startswith("remark") else style, highlight=False, soft_wrap=True)
    worst = sorted((layer for layer in diagnosis.layers if layer.findings), key=lambda layer: not layer.is_sick)
    if worst:
        table = Table("layer", "channels", "finding", "seen by", box=None)
        for layer in worst[:NUM_WORST]:
            names = [finding.value for finding in layer.findings]
            table.add_row(
                layer.name, str(layer.channels), "\n".join(names), "\n".join(map(layer.facts.get, layer.findings))
            )
        stdout.print(table)
        if len(worst) > NUM_WORST:
            stdout.print(f"and {len(worst) - NUM_WORST} more; --json lists all", highlight=False)
    if diagnosis.decay is not None:
        advice = f"; for {diagnosis.steps} steps take {diagnosis.recommended_decay:.4g}" if diagnosis.steps else ""
        stdout.print(f"decay {diagnosis.decay:.6g} ({diagnosis.decay_source}){advice}", highlight=False, soft_wrap=True)
