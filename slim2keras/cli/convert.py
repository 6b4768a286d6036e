"""``slim2keras convert``: a checkpoint becomes a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slim2keras.cli.console import (
    check_checkpoint,
    check_classifier,
    checkpoint_request,
    graph_request,
    import_tensorflow,
    parse_image_size,
    print_json,
    print_line,
    print_parts,
    progress_bar,
    stdout,
    with_function,
)
from slim2keras.cli.options import (
    AllowNonfiniteOption,
    DataIfWantedOption,
    ExcludeOption,
    GraphOption,
    ImageSizeOption,
    InputShapeOption,
    InputTensorOption,
    JsonOption,
    LabelsOption,
    NetOption,
    NetworkOption,
    NumClassesOption,
    OutputTensorOption,
    OverwriteOption,
    PlaceholderOption,
    PreprocessingNameOption,
    SetOption,
    SplitOption,
    SubjectArgument,
    UseEmaOption,
    flag,
    option,
)
from slim2keras.errors import OutputError, UnsupportedArgumentError
from slim2keras.files.reports import plural

if TYPE_CHECKING:
    from slim2keras.conversion.request import CheckpointRequest
    from slim2keras.deployment.options import DeploymentOptions
    from slim2keras.deployment.ways import Way
    from slim2keras.outputs.formats import OutputFormat

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUTPUT",
        help=".keras, .h5, .weights.h5, .tflite, .onnx, or a directory without suffix (SavedModel).",
    ),
]
RUNTIME = "Where the model goes"
KerasOption = Annotated[int, option("--keras", "Keras that a .keras is for: 2 is tf_keras, or 3.", RUNTIME)]
BatchNormLayerOption = Annotated[
    str,
    option("--batch-norm-layer", "Of Keras 3: keras, its own; slim trains as slim does.", RUNTIME, metavar="NAME"),
]
FoldOption = Annotated[
    bool, flag("--fold-batch-norm", "Fold BatchNorm into the layers before it, for inference.", RUNTIME)
]
QuantizeOption = Annotated[
    str | None,
    option(
        "--quantize", "Of TFLite: float16, dynamic, or int8 with --data or trained ranges.", RUNTIME, metavar="NAME"
    ),
]
OpsetOption = Annotated[int | None, option("--opset", "Of ONNX; that of tf2onnx if left out.", RUNTIME)]
SignatureOption = Annotated[
    str | None,
    option(
        "--signature",
        "SavedModel for serving: raw takes what the network takes, images uint8 of any size, bytes files.",
        RUNTIME,
        metavar="NAME",
    ),
]


def convert(
    checkpoint: SubjectArgument,
    output: Annotated[Path | None, typer.Argument(metavar="OUTPUT", help="The same as -o.", show_default=False)] = None,
    output_option: OutputOption = None,
    net: NetOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    exclude: ExcludeOption = None,
    use_ema: UseEmaOption = False,
    allow_nonfinite: AllowNonfiniteOption = False,
    settings: SetOption = None,
    graph: GraphOption = None,
    input_tensors: InputTensorOption = None,
    output_tensors: OutputTensorOption = None,
    placeholders: PlaceholderOption = None,
    network: NetworkOption = None,
    keras: KerasOption = 2,
    batch_norm_layer: BatchNormLayerOption = "keras",
    fold_batch_norm: FoldOption = False,
    quantize: QuantizeOption = None,
    opset: OpsetOption = None,
    signature: SignatureOption = None,
    labels: LabelsOption = None,
    data: DataIfWantedOption = None,
    split: SplitOption = None,
    image_size: ImageSizeOption = None,
    preprocessing_name: PreprocessingNameOption = None,
    overwrite: OverwriteOption = False,
    dry_run: Annotated[bool, flag("--dry-run", "Show what would be done, and write nothing.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Convert a slim checkpoint, or the model of a RUN, into a file of tf_keras or of another runtime, with a report.

    A file of tf_keras is read back and every tensor compared; one of another runtime is run by it, and its outputs are.

    Examples: slim2keras convert model.ckpt-5000 -o model.keras; slim2keras convert run/ -o model.tflite
    """
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.conversion.converting import convert_to_file
    from slim2keras.deployment.options import DeploymentOptions
    from slim2keras.deployment.ways import way_out
    from slim2keras.outputs.formats import check_target

    options = DeploymentOptions(
        keras=keras,
        batch_norm_layer=batch_norm_layer,
        fold_batch_norm=fold_batch_norm,
        quantize=quantize,
        data=data,
        split=split,
        opset=opset,
        signature=signature,
        labels=labels,
        image_size=parse_image_size(image_size),
        preprocessing_name=preprocessing_name,
    )
    load = LoadOptions(exclude or (), use_ema, allow_nonfinite)
    of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
    request = checkpoint_request(net, num_classes, settings, input_shape, load, of_graph)
    target = output_option or output
    if (target is None and not dry_run) or (output_option and output and output_option != output):
        raise OutputError("convert needs one output file: slim2keras convert CHECKPOINT -o OUTPUT")
    its_format = None if target is None else check_target(target, overwrite=overwrite)[1]
    if target is None or its_format is None or dry_run:
        way = None if its_format is None else way_out(its_format, options)
        _check_is_planned(checkpoint)
        check_checkpoint(checkpoint)
        import_tensorflow()
        _show_plan(checkpoint, with_function(request, network), options, way, json_output=json_output)
        return
    if _goes_elsewhere(checkpoint, its_format, options):
        check_classifier(checkpoint)
        import_tensorflow()
        _deploy(checkpoint, target, options, with_function(request, network), overwrite, json_output)
        return
    check_checkpoint(checkpoint)
    import_tensorflow()
    request = with_function(request, network)
    with progress_bar() as progress:
        report = convert_to_file(checkpoint, target, request, labels=labels, overwrite=overwrite, progress=progress)
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


def _check_is_planned(subject: Path) -> None:
    from slim2keras.files.run_layout import is_run
    from slim2keras.outputs.formats import is_model_file

    if is_run(subject) or is_model_file(subject):
        raise UnsupportedArgumentError(
            f"--dry-run shows which variables of a checkpoint would be loaded, and {subject} is none: it holds a model "
            "as it is. Leave --dry-run out."
        )


def _goes_elsewhere(checkpoint: Path, its_format: OutputFormat, options: DeploymentOptions) -> bool:
    """Whether more is asked than a checkpoint as a file of tf_keras, tensor by tensor."""
    from slim2keras.files.run_layout import is_run
    from slim2keras.outputs.formats import is_model_file

    asks_more = {*options.chosen()} - {"labels"}
    return bool(asks_more) or not its_format.is_of_keras or is_run(checkpoint) or is_model_file(checkpoint)


def _deploy(
    checkpoint: Path,
    target: Path,
    options: DeploymentOptions,
    request: CheckpointRequest,
    overwrite: bool,
    json_output: bool,
) -> None:
    from slim2keras.deployment.deploying import deploy

    report = deploy(checkpoint, target, options, request=request, overwrite=overwrite)
    if json_output:
        print_json(report.to_json())
        return
    print_parts(report.page())
    print_line(f"Written: {target} and {target}.json")
    print_line(report.hint)


def _show_plan(
    checkpoint: Path, request: CheckpointRequest, options: DeploymentOptions, way: Way | None, *, json_output: bool
) -> None:
    from slim2keras.checkpoints.load_plan import EXCLUDE_ANYWHERE, remarks
    from slim2keras.checkpoints.reading import open_checkpoint
    from slim2keras.conversion.plan import left_out_by_reason
    from slim2keras.conversion.report import describe_import, heading, import_page
    from slim2keras.deployment.planning import deployment_page, plan_deployment
    from slim2keras.evaluation.opening import plan_of_size

    with open_checkpoint(checkpoint, request.of_graph) as opened:
        plan = plan_of_size(opened, request, options.image_size, EXCLUDE_ANYWHERE)
        variables = opened.with_constants(plan.constants).variables
        shapes = {name: variables[source].shape for name, source in plan.load.sources.items()}
        imported = describe_import(plan)
    network, load, left_out = plan.network, plan.load, left_out_by_reason(plan.load)
    deployed = plan_deployment(network, way, options) if options.chosen() or way is not None else None
    if json_output:
        print_json(
            {
                **network.to_config(),
                "input_shape_source": plan.input_shape_source.value,
                "imported": imported,
                "load": load.sources,
                "shapes": shapes,
                "started_afresh": load.fresh,
                "raw_statistics": load.raw_statistics,
                "left_out": left_out,
                "deployment": deployed,
            }
        )
        return
    print_parts(heading(network, plan.input_shape_source.value))
    print_parts(() if imported is None else import_page(imported))
    for name, source in load.sources.items():
        print_line(f"  {name}   {shapes[name]}" + (f"   from {source}" if source != name else ""))
    stdout.print(f"{plural(len(load.sources), 'variable')} would be loaded.", highlight=False)
    print_parts(remarks(left_out, load.fresh, load.raw_statistics))
    print_parts(() if deployed is None else deployment_page(deployed))
    stdout.print("Dry run: nothing was written.", highlight=False)
