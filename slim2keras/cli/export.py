"""``slim2keras export``: a model file becomes a slim checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slim2keras.checkpoints.locating import CheckpointVersion
from slim2keras.cli.console import (
    import_tensorflow,
    print_json,
    print_line,
)
from slim2keras.cli.options import (
    JsonOption,
    OverwriteOption,
)

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help=".keras, .h5, SavedModel, or .weights.h5 with its report beside it.")
]
PrefixOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="PREFIX", help="Path as slim names it, e.g. out/model.ckpt-6000.")
]
VersionOption = Annotated[
    CheckpointVersion,
    typer.Option("--format", case_sensitive=False, help="V2: index and data file; V1: one file, as slim of 2016."),
]


def export(
    model: ModelArgument,
    prefix: PrefixOption,
    version: VersionOption = CheckpointVersion.V2,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
) -> None:
    """Write a model back as a slim checkpoint, which slim restores with a plain Saver.

    Of a compiled .keras file with optimizer slots, global_step and EMA shadows, so that slim goes on training; of any
    other the weights and moving statistics.

    Example: slim2keras export tuned.keras -o out/model.ckpt-6000
    """
    from slim2keras.checkpoints.writing import check_checkpoint_target
    from slim2keras.outputs.formats import check_is_read_again

    check_is_read_again(model)
    check_checkpoint_target(prefix.absolute(), version, overwrite=overwrite)
    from slim2keras.training.export import export_file

    import_tensorflow()
    report = export_file(model, prefix, version=version, overwrite=overwrite)
    if json_output:
        print_json(report)
        return
    print_line(", ".join(f"{count} {kind}" for kind, count in report["variables"].items()))
    if report["global_step"] is None:
        print_line("Without step and slots: the file has no optimizer of slim2keras.optimizers that was compiled.")
    print_line(f"Written: {prefix} ({report['format']})")
