"""``slim2keras convert``: a checkpoint becomes a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    import_tensorflow,
    parse_arguments,
    parse_input_shape,
    plural,
    print_json,
    print_line,
    progress_bar,
    stdout,
)
from slim2keras.errors import OutputError

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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Convert a slim checkpoint into a tf.keras model file, and write a JSON report beside it.

    The file is read back and every tensor compared. Example: slim2keras convert model.ckpt-5000 -o model.keras
    """
    from slim2keras.conversion import convert_to_file
    from slim2keras.loading import LoadOptions

    import_tensorflow()
    options = LoadOptions(exclude or (), use_ema, allow_nonfinite)
    arguments = parse_arguments(settings, num_classes)
    shape = parse_input_shape(input_shape)
    if dry_run:
        _show_plan(_plan(checkpoint, net, arguments, shape, options), json_output=json_output)
        return
    target = output_option or output
    if target is None or (output_option and output and output_option != output):
        raise OutputError("convert needs one output file: slim2keras convert CHECKPOINT -o OUTPUT")
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
    stdout.print(f"[bold]{report.net}[/] {_changed(report.arguments, report.net)}", highlight=False, soft_wrap=True)
    stdout.print(
        f"{plural(report.variables['network'], 'variable')}, {plural(report.variables['parameters'], 'parameter')}; "
        f"read back: largest difference {report.largest_difference}",
        highlight=False,
        soft_wrap=True,
    )
    for line in _remarks(report.left_out, report.excluded["started_afresh"], report.raw_statistics):
        print_line(line)
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
    return {
        "net": plan.spec.net,
        "input_shape": list(plan.spec.input_shape),
        "arguments": dict(plan.spec.arguments),
        "load": plan.load.sources,
        "started_afresh": plan.load.fresh,
        "raw_statistics": plan.load.raw_statistics,
        "left_out": left_out_by_reason(plan.load),
    }


def _show_plan(plan: dict[str, Any], *, json_output: bool) -> None:
    if json_output:
        print_json(plan)
        return
    stdout.print(f"[bold]{plan['net']}[/] {_changed(plan['arguments'], plan['net'])}", highlight=False, soft_wrap=True)
    for name, source in plan["load"].items():
        stdout.print(f"  {name}" + (f"   from {source}" if source != name else ""), highlight=False, soft_wrap=True)
    stdout.print(f"{plural(len(plan['load']), 'variable')} would be loaded.", highlight=False)
    for line in _remarks(plan["left_out"], plan["started_afresh"], plan["raw_statistics"]):
        print_line(line)
    stdout.print("Dry run: nothing was written.", highlight=False)


def _changed(arguments: Mapping[str, Any], net: str) -> str:
    from slim2keras.recognition import NetSpec, format_arguments

    return format_arguments(NetSpec.make(net, None, arguments).changed_arguments())


def _remarks(left_out: Mapping[str, int], fresh: Sequence[str], raw_statistics: Sequence[str]) -> list[str]:
    lines = [f"Started afresh: {', '.join(fresh)}"] if fresh else []
    if raw_statistics:
        lines.append(f"Without EMA shadow, taken as they are: {plural(len(raw_statistics), 'moving statistic')}")
    if left_out:
        lines.append("Not loaded: " + ", ".join(f"{count} {reason}" for reason, count in left_out.items()))
    return lines
