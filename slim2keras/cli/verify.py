"""``slim2keras verify``: the proof that a model's numbers are slim's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slim2keras.cli.console import (
    CheckpointArgument,
    ExcludeOption,
    InputShapeOption,
    JsonOption,
    NetOption,
    NumClassesOption,
    SetOption,
    UseEmaOption,
    check_checkpoint,
    check_net,
    flag,
    import_tensorflow,
    parse_arguments,
    parse_input_shape,
    print_json,
    print_parts,
)
from slim2keras.errors import ExitStatus, UnsupportedArgumentError

if TYPE_CHECKING:
    import tf_keras


def verify(
    checkpoint: CheckpointArgument,
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="Model file that convert wrote; the checkpoint is converted if left out.",
            show_default=False,
        ),
    ] = None,
    net: NetOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    exclude: ExcludeOption = None,
    use_ema: UseEmaOption = False,
    settings: SetOption = None,
    slim_source: Annotated[
        Path | None,
        typer.Option(
            "--slim-source",
            metavar="PATH",
            help="research/slim, to judge by its own code: all of its 40 networks, where tf_slim has 16. A directory, "
            "or the archive that pip fetches: see the README, or the error where it is needed and not given.",
            show_default=False,
        ),
    ] = None,
    show_all: Annotated[bool, flag("--all", "List every tensor, not the worst of each rung.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Compare a model with slim's own network on the same images: end points, logits, moving statistics, loss.

    Exits with 5 if a difference exceeds its bar. Example: slim2keras verify model.ckpt-5000 model.keras
    """
    check_checkpoint(checkpoint)
    check_net(net)
    if slim_source is not None and not slim_source.exists():
        raise UnsupportedArgumentError(f"There is no {slim_source}, by which --slim-source is to judge.")
    arguments, shape = parse_arguments(settings, num_classes), parse_input_shape(input_shape)
    if model is not None:
        from slim2keras.model_files import check_model_path

        check_model_path(model)
    import_tensorflow()
    from slim2keras import parity
    from slim2keras.conversion import convert, load_model

    loaded: tf_keras.Model
    if model is not None:
        loaded = load_model(model, checkpoint)
    else:
        loaded = convert(
            checkpoint,
            net=net,
            input_shape=shape,
            exclude=exclude or (),
            use_ema=use_ema,
            **arguments,
        )
    report = parity.verify(
        checkpoint, loaded, exclude=exclude or None, use_ema=use_ema or None, slim_source=slim_source
    )
    if json_output:
        print_json(report.to_json())
    else:
        print_parts(report.page(show_all=show_all))
    if not report.passed:
        raise typer.Exit(ExitStatus.PARITY)
