"""``slim2keras finetune``: from a checkpoint and images to a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slim2keras.cli.console import (
    check_classifier,
    checkpoint_request,
    graph_request,
    import_tensorflow,
    print_json,
    print_line,
    print_parts,
    stderr,
    with_function,
)
from slim2keras.cli.options import (
    CHECKPOINT,
    RESULT,
    DataIfWantedOption,
    GraphOption,
    InputShapeOption,
    InputTensorOption,
    NetOption,
    NetworkOption,
    OutputTensorOption,
    PlaceholderOption,
    SetOption,
    StrategyOption,
    flag,
    option,
)
from slim2keras.cli.training_options import LOOP, given_options, with_training_options
from slim2keras.errors import UnsupportedArgumentError

if TYPE_CHECKING:
    from slim2keras.files.run_layout import RunLayout
    from slim2keras.trainer.request import TrainingRequest

StartArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="CHECKPOINT",
        help="Where to start: slim checkpoint (or graph), model file, or RUN. Not with --resume.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="RUN",
        help="Directory to write: model.keras, last/, history.csv, report.json, labels.txt and pictures.",
        rich_help_panel=RESULT,
        show_default=False,
    ),
]
ResumeOption = Annotated[
    Path | None,
    option(
        "--resume",
        "Go on with a RUN that was stopped, by its own options; more --epochs may be given.",
        LOOP,
        metavar="RUN",
        show_default=False,
    ),
]
UseEmaToStartOption = Annotated[bool, flag("--use-ema", "Start from ExponentialMovingAverage shadows.", CHECKPOINT)]
DryRunOption = Annotated[bool, flag("--dry-run", "Show everything that decides the result, and stop.", RESULT)]
LogEveryOption = Annotated[
    int | None,
    option("--log-every-n-steps", "Print a line so often, where there is no terminal.", RESULT, metavar="N", min=1),
]
TrainingJsonOption = Annotated[bool, flag("--json", "Print the report as JSON; progress goes to stderr.", RESULT)]


@with_training_options
def finetune(
    checkpoint: StartArgument = None,
    data: DataIfWantedOption = None,
    output: RunOption = None,
    resume: ResumeOption = None,
    strategy: StrategyOption = None,
    dry_run: DryRunOption = False,
    log_every: LogEveryOption = None,
    json_output: TrainingJsonOption = False,
    net: NetOption = None,
    input_shape: InputShapeOption = None,
    settings: SetOption = None,
    use_ema: UseEmaToStartOption = False,
    graph: GraphOption = None,
    input_tensors: InputTensorOption = None,
    output_tensors: OutputTensorOption = None,
    placeholders: PlaceholderOption = None,
    network: NetworkOption = None,
    **training: Any,
) -> None:
    """Train a network on images, from a checkpoint, as slim's trainer does.

    Flags of slim's train_image_classifier.py are taken as they are. BatchNorm's mode has no default: --batch-norm.

    Example: slim2keras finetune resnet_v1_50.ckpt --data flowers/ -o run/ --batch-norm update --decay auto
    """
    given = given_options(training)
    of_checkpoint = (net, input_shape, settings, use_ema, graph, input_tensors, output_tensors, placeholders, network)
    if resume is not None:
        _refuse_beside_resume(checkpoint, output, of_checkpoint)
        request = _resumed(resume, data, given)
    else:
        start, images, run = _required({"CHECKPOINT": checkpoint, "--data": data, "--output": output})
        _check_paths(start, images, run)
        from slim2keras.checkpoints.load_plan import LoadOptions
        from slim2keras.trainer.request import training_request

        of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
        asked = checkpoint_request(net, None, settings, input_shape, LoadOptions(use_ema=use_ema), of_graph)
        request = training_request(start, images, run, of_checkpoint=asked, **given)
        import_tensorflow()
        request = replace(request, of_checkpoint=with_function(asked, network))
    request = replace(request, strategy=strategy)
    if dry_run:
        _show_plan(request, json_output=json_output)
    else:
        _train(request, log_every, json_output=json_output)


def _required(given: Mapping[str, Path | None]) -> list[Path]:
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise UnsupportedArgumentError(
            f"Missing: {', '.join(missing)}. Give a checkpoint, images and a directory to write: slim2keras finetune "
            "CHECKPOINT --data DATA -o RUN --batch-norm update; or go on with a run: slim2keras finetune --resume RUN."
        )
    return [value for value in given.values() if value is not None]


def _check_paths(checkpoint: Path, data: Path, run: Path) -> None:
    from slim2keras.data.listing import check_images_path
    from slim2keras.files.run_layout import check_run_is_free

    check_classifier(checkpoint)
    check_images_path(data)
    check_run_is_free(run)


def _refuse_beside_resume(checkpoint: Path | None, output: Path | None, of_checkpoint: Iterable[Any]) -> None:
    told = {"CHECKPOINT": checkpoint, "--output": output, "what is asked of a checkpoint": any(of_checkpoint) or None}
    given = [name for name, value in told.items() if value is not None]
    if given:
        raise UnsupportedArgumentError(
            "--resume goes on with a RUN, which says itself where it started and where it lies: leave "
            f"{', '.join(given)} out. To start another run from its model, give the RUN as CHECKPOINT."
        )


def _resumed(run: Path, data: Path | None, given: Mapping[str, Any]) -> TrainingRequest:
    import_tensorflow()
    from slim2keras.trainer.resuming import resumed_request

    return resumed_request(run, data, **given)


def _show_plan(request: TrainingRequest, *, json_output: bool) -> None:
    from slim2keras.trainer.training import plan_training

    plan = plan_training(request)
    if json_output:
        print_json(plan.to_json())
    else:
        print_parts(plan.page())


def _train(request: TrainingRequest, log_every: int | None, *, json_output: bool) -> None:
    from slim2keras.cli.training_display import training_display
    from slim2keras.files.run_layout import RunLayout
    from slim2keras.trainer.training import train

    try:
        with training_display(log_every, is_answer=not json_output) as display:
            result = train(request, progress=display)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_go_on(RunLayout(request.output))) from None
    if result is None:
        stderr.print("This worker is done; the chief has the RUN.", highlight=False)
        return
    if json_output:
        print_json(result.to_json())
        return
    print_line("")
    print_parts(result.page())
    print_line(f"Written: {request.output}")


def _how_to_go_on(run: RunLayout) -> str:
    """What is left of a run that is interrupted."""
    from slim2keras.files.run_layout import is_run

    if not is_run(run.directory):
        return "Interrupted before the first step; nothing was written."
    return f"Interrupted; the last state is in {run.last}. Go on with it: slim2keras finetune --resume {run.directory}"
