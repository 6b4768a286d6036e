"""``slim2keras convert``: a checkpoint becomes a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from slim2keras.cli.console import (
    AllowNonfiniteOption,
    CheckpointArgument,
    ExcludeOption,
    InputShapeOption,
    JsonOption,
    NetOption,
    NumClassesOption,
    OverwriteOption,
    SetOption,
    UseEmaOption,
    check_checkpoint,
    check_net,
    flag,
    import_tensorflow,
    parse_arguments,
    parse_input_shape,
    print_json,
    print_line,
    print_parts,
    progress_bar,
    stdout,
)
from slim2keras.errors import OutputError
from slim2keras.pages import plural

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUTPUT", help=".keras, .h5, .weights.h5, or a directory without suffix (SavedModel)."
    ),
]


def convert(
    checkpoint: CheckpointArgument,
    output: Annotated[Path | None, typer.Argument(metavar="OUTPUT", help="The same as -o.", show_default=False)] = None,
    output_option: OutputOption = None,
    net: NetOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    exclude: ExcludeOption = None,
    use_ema: UseEmaOption = False,
    allow_nonfinite: AllowNonfiniteOption = False,
    settings: SetOption = None,
    overwrite: OverwriteOption = False,
    dry_run: Annotated[bool, flag("--dry-run", "Show what would be done, and write nothing.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Convert a slim checkpoint into a tf.keras model file, and write a JSON report beside it.

    The file is read back and every tensor compared. Example: slim2keras convert model.ckpt-5000 -o model.keras
    """
    from slim2keras.conversion import convert_to_file
    from slim2keras.loading import LoadOptions
    from slim2keras.model_files import check_target

    options = LoadOptions(exclude or (), use_ema, allow_nonfinite)
    arguments = parse_arguments(settings, num_classes)
    shape = parse_input_shape(input_shape)
    target = output_option or output
    if (target is None and not dry_run) or (output_option and output and output_option != output):
        raise OutputError("convert needs one output file: slim2keras convert CHECKPOINT -o OUTPUT")
    if target is not None:
        check_target(target, overwrite=overwrite)
    check_net(net)
    check_checkpoint(checkpoint)
    import_tensorflow()
    if target is None or dry_run:
        _show_plan(_plan(checkpoint, net, arguments, shape, options), json_output=json_output)
        return
    with progress_bar() as progress:
        report = convert_to_file(
            checkpoint,
            target,
            net=net,
            arguments=arguments,
            input_shape=shape,
            options=options,
            overwrite=overwrite,
            progress=progress,
        )
    if json_output:
        print_json(report.to_json())
        return
    print_parts(report.page())
    print_line(f"Written: {target} and {target}.json")
    if report.output["format"] != "weights":
        print_line(
            "Load it with tf_keras.models.load_model; tf.keras.models.load_model is Keras 3's from TensorFlow 2.16 on, "
            "and fails."
        )


def _plan(checkpoint: Path, net: str | None, arguments: Any, shape: Any, options: Any) -> dict[str, Any]:
    from slim2keras.checkpoint import open_checkpoint
    from slim2keras.conversion import left_out_by_reason, plan_conversion

    with open_checkpoint(checkpoint) as opened:
        plan = plan_conversion(opened, net, arguments, shape, options)
        shapes = {name: list(opened.variables[source].shape) for name, source in plan.load.sources.items()}
    return {
        "net": plan.spec.net,
        "input_shape": list(plan.spec.input_shape),
        "input_shape_source": plan.input_shape_source.value,
        "arguments": dict(plan.spec.arguments),
        "load": plan.load.sources,
        "shapes": shapes,
        "started_afresh": plan.load.fresh,
        "raw_statistics": plan.load.raw_statistics,
        "left_out": left_out_by_reason(plan.load),
    }


def _show_plan(plan: dict[str, Any], *, json_output: bool) -> None:
    if json_output:
        print_json(plan)
        return
    from slim2keras.conversion import heading
    from slim2keras.loading import remarks

    print_parts(heading(plan["net"], plan["arguments"], plan["input_shape"], plan["input_shape_source"]))
    for name, source in plan["load"].items():
        print_line(f"  {name}   {tuple(plan['shapes'][name])}" + (f"   from {source}" if source != name else ""))
    stdout.print(f"{plural(len(plan['load']), 'variable')} would be loaded.", highlight=False)
    print_parts(remarks(plan["left_out"], plan["started_afresh"], plan["raw_statistics"]))
    stdout.print("Dry run: nothing was written.", highlight=False)
