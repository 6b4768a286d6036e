"""``slim2keras verify``: the proof that a model's numbers are slim's."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from slim2keras.cli.console import (
    check_checkpoint,
    checkpoint_request,
    graph_request,
    import_tensorflow,
    print_json,
    print_parts,
)
from slim2keras.cli.options import (
    ExcludeOption,
    GraphOption,
    InputShapeOption,
    InputTensorOption,
    JsonOption,
    NetOption,
    NetworkOption,
    NumClassesOption,
    OutputTensorOption,
    PlaceholderOption,
    SetOption,
    UseEmaOption,
    flag,
)
from slim2keras.errors import ExitStatus, UnsupportedArgumentError


def verify(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="As in convert; or a model file alone, to look for damage.", show_default=False
        ),
    ],
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
    graph: GraphOption = None,
    input_tensors: InputTensorOption = None,
    output_tensors: OutputTensorOption = None,
    placeholders: PlaceholderOption = None,
    network: NetworkOption = None,
    slim_source: Annotated[
        Path | None,
        typer.Option(
            "--slim-source",
            metavar="PATH",
            help="research/slim, to judge by its own code: all of its 40 networks, where tf_slim has 16. A directory, "
            "or the archive that `pip download --no-deps tf-models-research-object-detection==2.8.0.post1` fetches.",
            show_default=False,
        ),
    ] = None,
    show_all: Annotated[bool, flag("--all", "List every tensor, not the worst of each rung.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Compare a model with slim's own network on the same images: end points, logits, moving statistics, loss.

    An imported network is compared with the graph that it came from. Given a model file alone it is compared with the
    checksums in the report beside it, which tells damage.

    Exits with 5 if a difference exceeds its bar.

    Example: slim2keras verify model.ckpt-5000 model.keras
    """
    if model is None and _is_model(checkpoint):
        _verify_file(checkpoint, json_output=json_output)
        return
    if model is not None and _is_model(checkpoint) and not _is_model(model):
        raise UnsupportedArgumentError(
            f"{checkpoint} is a model file, and the checkpoint comes first: slim2keras verify {model} {checkpoint}"
        )
    check_checkpoint(checkpoint)
    if slim_source is not None and not slim_source.exists():
        raise UnsupportedArgumentError(f"There is no {slim_source}, by which --slim-source is to judge.")
    from slim2keras.checkpoints.load_plan import LoadOptions

    load = LoadOptions(exclude or (), use_ema)
    of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
    request = checkpoint_request(net, num_classes, settings, input_shape, load, of_graph)
    if model is not None:
        from slim2keras.conversion.request import check_asks_nothing
        from slim2keras.outputs.formats import check_is_read_again

        check_is_read_again(model)
        check_asks_nothing(model, replace(request, load=LoadOptions()))
    import_tensorflow()
    from slim2keras.slim.functions import find_function

    function = None if network is None else find_function(network)
    if model is None:
        request = replace(request, network=function)
    from slim2keras.conversion.converting import convert_as_asked
    from slim2keras.conversion.reading import load_model
    from slim2keras.parity import comparing

    loaded = convert_as_asked(checkpoint, request) if model is None else load_model(model, checkpoint)
    report = comparing.verify(
        checkpoint,
        loaded,
        exclude=exclude or None,
        use_ema=use_ema or None,
        slim_source=slim_source,
        network=None if function is None else functools.partial(function, **request.arguments),
    )
    if json_output:
        print_json(report.to_json())
    else:
        print_parts(report.page(show_all=show_all))
    if not report.passed:
        raise typer.Exit(ExitStatus.PARITY)


def _is_model(path: Path) -> bool:
    from slim2keras.outputs.formats import is_model_file

    return path.suffix in (".tflite", ".onnx") or is_model_file(path)


def _verify_file(path: Path, *, json_output: bool) -> None:
    from slim2keras.conversion.integrity import verify_file

    import_tensorflow()
    report = verify_file(path)
    if json_output:
        print_json(report.to_json())
    else:
        print_parts(report.page())
    if not report.passed:
        raise typer.Exit(ExitStatus.PARITY)
