"""Checkpoint -> model -> file: the job behind ``slim2keras convert``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.checkpoints.loading import apply_load, planned_values
from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.conversion.plan import ConversionPlan, plan_conversion
from slim2keras.conversion.report import ConversionReport, describe_plan, describe_source, versions_of_all
from slim2keras.conversion.request import CheckpointRequest, SlimFunction
from slim2keras.data.labels import class_names
from slim2keras.errors import GraphWarning, OutputError
from slim2keras.files.output_files import (
    check_space,
    describe_contents,
    describe_files,
    report_path,
    whole_or_not_at_all,
)
from slim2keras.graphs.graph import Shape
from slim2keras.graphs.network import Network
from slim2keras.importing.request import GraphRequest
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.outputs.checksums import checksums
from slim2keras.outputs.formats import OutputFormat, check_target
from slim2keras.outputs.outline import Outline, outline_of_model, outline_of_network
from slim2keras.outputs.writing import write_and_read_back
from slim2keras.preprocessing.facts import describe_images
from slim2keras.progress import StepProgress

if TYPE_CHECKING:
    import tf_keras


# Room to ask for, over the size of the weights: the graph of a SavedModel and the headers of HDF5 come on top.
_SIZE_FACTOR = 2


def convert(
    checkpoint: str | Path,
    *,
    net: str | None = None,
    num_classes: int | None = None,
    input_shape: Shape | None = None,
    exclude: Sequence[str] = (),
    use_ema: bool = False,
    allow_nonfinite: bool = False,
    network: Network | SlimFunction | None = None,
    graph: str | Path | None = None,
    input_tensors: Sequence[str] | None = None,
    output_tensors: Sequence[str] | None = None,
    placeholder_values: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> tf_keras.Model:
    """Load a slim checkpoint into the equivalent ``tf.keras`` model.

    Its network is one of slim's zoo, found from the checkpoint; else that of the graph in the ``.meta`` beside it.

    Args:
        checkpoint: V1 file, V2 prefix, training directory, ``.tar.gz`` or ``.tgz``. Or a graph that holds its values
            itself: a frozen GraphDef, ``.pb`` or ``.pbtxt``, or a SavedModel of TensorFlow 1.
        net: Network as in slim's ``nets_factory``; found from the checkpoint's own names and shapes if left out.
        num_classes: Classes; those of the checkpoint if left out. 0 ends the model in its features, which have a height
            and a width in most networks, see ``build``.
        input_shape: (height, width, channels). If left out, the channels of the checkpoint, and the size that it was
            published with; else that of the ``.meta`` beside it; else the network's own.
        exclude: Scopes to start afresh with slim's own initializers, slim's ``checkpoint_exclude_scopes``.
        use_ema: Take ExponentialMovingAverage shadows instead of raw values.
        allow_nonfinite: Load weights that are NaN or infinite.
        network: The network itself, where it is none of slim's zoo: a layer graph with its facts, instead of ``net``,
            ``input_shape`` and slim's arguments. Or the user's own slim function, ``function(images, is_training)``
            giving the output, several, or (output, end points), which is traced with images of ``input_shape``.
        graph: The graph that the checkpoint came with, where it is not to be recognised: a ``.meta``, or a GraphDef.
        input_tensors: Where the network begins in a graph; found if left out, or an error lists what it may be.
        output_tensors: Where it ends, likewise; inner activations give a part of the network.
        placeholder_values: Values of placeholders that are no images, such as ``{"keep_prob": 1.0}``.
        arguments: Any further slim argument of the network, ``scope`` among them; or of the function.

    Returns:
        Functional model of stock layers, as from ``build``; of a graph some may be of ``slim2keras.keras_layers``.

    Raises:
        CheckpointReadError: If the checkpoint is missing, truncated or corrupt.
        UnrecognisedNetError: If its network cannot be told.
        CheckpointMismatchError: If a variable of either side is unaccounted for; lists all of them.
        UnsupportedArgumentError: If the network does not take an argument.
        UnsupportedGraphError: If a graph is no network of layers, or where it begins or ends is ambiguous.

    Warns:
        GraphWarning: With what a graph does not tell: the decay of one for inference; and that a ``.meta`` was taken.

    Examples:
        >>> model = slim2keras.convert("train_dir/", exclude=["resnet_v1_50/logits"], num_classes=5)
        >>> model.output_shape
        (None, 5)
    """
    if num_classes is not None:
        arguments["num_classes"] = num_classes
    load = LoadOptions(exclude, use_ema, allow_nonfinite)
    of_graph = GraphRequest.asked(graph, input_tensors, output_tensors, placeholder_values)
    return convert_as_asked(checkpoint, CheckpointRequest(net, arguments, input_shape, load, network, of_graph))


def convert_as_asked(checkpoint: str | Path, request: CheckpointRequest) -> tf_keras.Model:
    """``convert`` with all that is asked in one."""
    with open_checkpoint(checkpoint, request.of_graph) as opened:
        plan = plan_conversion(opened, request)
        for remark in plan.remarks:
            warnings.warn(remark, GraphWarning, stacklevel=3)
        return converted_model(opened, plan, request.load)


def converted_model(checkpoint: Checkpoint, plan: ConversionPlan, options: LoadOptions) -> tf_keras.Model:
    """Build the network of a plan and give it the values of the checkpoint."""
    model = build_model(plan.network)
    model.slim_load_options = options
    values = planned_values(
        slim_variables(model),
        plan.load,
        checkpoint.with_constants(plan.constants),
        allow_nonfinite=options.allow_nonfinite,
    )
    apply_load(model, values)
    return model


def convert_to_file(
    checkpoint: str | Path,
    output: str | Path,
    request: CheckpointRequest | None = None,
    *,
    labels: Path | None = None,
    overwrite: bool = False,
    progress: StepProgress | None = None,
) -> ConversionReport:
    """Convert a checkpoint, write model and report, read the file back and compare every tensor.

    For a ``.keras`` or a ``.weights.h5`` of a plain graph no model is built, unless a variable starts afresh: the
    values go from file to file.

    Args:
        checkpoint: As in ``convert``.
        output: ``.keras``, ``.h5``, ``.weights.h5``, or a directory without suffix for a SavedModel.
        request: What is asked of the checkpoint.
        labels: Names of the classes for the report, lines ``0:daisy``.
        overwrite: Replace existing files.

    Returns:
        The report, also written as ``<output>.json``.

    Raises:
        OutputError: If the output exists, has an unknown format, or cannot be written; nothing is left behind.
    """
    request = request or CheckpointRequest()
    target, its_format = check_target(Path(output), overwrite=overwrite)
    if not its_format.is_of_keras:
        raise OutputError(f"{target.name} is no format of tf_keras: slim2keras.deploy writes it.")
    with ThreadPoolExecutor(1) as pool, open_checkpoint(checkpoint, request.of_graph) as opened:
        plan = plan_conversion(opened, request)
        hashes = pool.submit(describe_files, opened.location.files)
        with whole_or_not_at_all(target, report_path(target), overwrite=overwrite) as (draft, draft_report):
            outline, variables = _outline_and_variables(plan, its_format)
            check_space(target, _SIZE_FACTOR * 4 * outline.num_parameters)
            step, allow_nonfinite = _step(progress, "converting"), request.load.allow_nonfinite
            available = opened.with_constants(plan.constants)
            values = list(
                planned_values(variables, plan.load, available, allow_nonfinite=allow_nonfinite, progress=step)
            )
            difference = write_and_read_back(outline, values, draft, its_format)
            report = ConversionReport(
                source=describe_source(opened, _hashes_of_what_was_read(opened, hashes)),
                output={"path": str(target), "format": its_format.name.lower(), **describe_contents(draft)},
                largest_difference=difference,
                tensors=checksums(values),
                images=describe_images(plan.network, _class_names(labels, plan.network)),
                versions=versions_of_all(),
                **describe_plan(plan, request.load, opened, outline.num_parameters),
            )
            draft_report.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return report


def _class_names(labels: Path | None, network: Network) -> Sequence[str] | None:
    return class_names(labels, network.num_classes) if labels is not None and network.num_classes else None


def _outline_and_variables(plan: ConversionPlan, its_format: OutputFormat) -> tuple[Outline, Mapping[str, Any]]:
    """What is to be written, and its variables by slim name: those of a model if the format or a value needs one."""
    goes_from_file_to_file = its_format in (OutputFormat.KERAS, OutputFormat.WEIGHTS) and plan.network.graph.is_plain
    if goes_from_file_to_file and not plan.load.fresh:
        outline = outline_of_network(plan.network)
        return outline, dict.fromkeys(outline.places)
    model = build_model(plan.network)
    return outline_of_model(model), slim_variables(model)


def _step(progress: StepProgress | None, what: str) -> Callable[[int, int], None] | None:
    return partial(progress, what) if progress else None


def _hashes_of_what_was_read(checkpoint: Checkpoint, hashes: Future[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The hashes, of files that nobody has changed since they were opened."""
    error = hashes.exception()
    checkpoint.check_unchanged()
    if error is not None:
        raise error
    return hashes.result()
