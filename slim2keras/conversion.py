"""Checkpoint -> model -> file: the job behind ``slim2keras convert``."""

from __future__ import annotations

import json
import platform
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from slim2keras.checkpoint_facts import FactSource, describe_input, with_known_decay, with_known_size
from slim2keras.checkpoints.locating import CheckpointVersion
from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.errors import ModelReadError, PreprocessingWarning, Slim2KerasError
from slim2keras.graph import Shape, Variable
from slim2keras.keras_model import build_model, is_network, knows_network, load_options_of, network_of
from slim2keras.loading import (
    EXCLUDE_ANYWHERE,
    LoadOptions,
    LoadPlan,
    apply_load,
    check_plan,
    plan_load,
    planned_values,
    remarks,
    slim_variables,
)
from slim2keras.model_files import (
    Outline,
    OutputFormat,
    check_model_path,
    check_target,
    largest_read_back_difference,
    load_file,
    load_weights,
    outline_of_model,
    outline_of_network,
    write_model,
    write_weights,
)
from slim2keras.model_safety import check_report, unreadable
from slim2keras.nets.spec import network_from_config
from slim2keras.network import Network
from slim2keras.output_files import check_space, report_path, sha256, whole_or_not_at_all
from slim2keras.pages import Report, plural
from slim2keras.preprocessing import preprocessing_meaning
from slim2keras.progress import StepProgress
from slim2keras.published import PublishedCheckpoint, find_published
from slim2keras.recognition import format_arguments, recognise, variables_left_out
from slim2keras.request import CheckpointRequest
from slim2keras.training_state import export_checkpoint
from slim2keras.version import __version__

if TYPE_CHECKING:
    import tf_keras

# Room to ask for, over the size of the weights: the graph of a SavedModel and the headers of HDF5 come on top.
_SIZE_FACTOR = 2


@dataclass(frozen=True)
class ConversionPlan:
    """What a conversion would do.

    Attributes:
        network: The network given or recognised.
        load: What becomes of each variable.
        published: The published checkpoint that this is by its name.
        input_shape_source: Where the size of the images is from.
        decay_source: Where the decay of BatchNorm is from.
    """

    network: Network
    load: LoadPlan
    published: PublishedCheckpoint | None = None
    input_shape_source: FactSource = FactSource.GIVEN
    decay_source: FactSource = FactSource.GIVEN


def convert(
    checkpoint: str | Path,
    *,
    net: str | None = None,
    num_classes: int | None = None,
    input_shape: Shape | None = None,
    exclude: Sequence[str] = (),
    use_ema: bool = False,
    allow_nonfinite: bool = False,
    network: Network | None = None,
    **arguments: Any,
) -> tf_keras.Model:
    """Load a slim checkpoint into the equivalent ``tf.keras`` model.

    Args:
        checkpoint: V1 file, V2 prefix, training directory, ``.tar.gz`` or ``.tgz``.
        net: Network as in slim's ``nets_factory``; found from the checkpoint's own names and shapes if left out.
        num_classes: Classes; those of the checkpoint if left out. 0 ends the model in its features, which have a height
            and a width in most networks, see ``build``.
        input_shape: (height, width, channels). If left out, the channels of the checkpoint, and the size that it was
            published with; else that of the ``.meta`` beside it; else the network's own.
        exclude: Scopes to start afresh with slim's own initializers, slim's ``checkpoint_exclude_scopes``.
        use_ema: Take ExponentialMovingAverage shadows instead of raw values.
        allow_nonfinite: Load weights that are NaN or infinite.
        network: The network itself, where it is none of slim's zoo: a layer graph with its facts, instead of ``net``,
            ``input_shape`` and slim's arguments.
        arguments: Any further slim argument of the network, ``scope`` among them.

    Returns:
        Functional model of stock layers, as from ``build``.

    Raises:
        CheckpointReadError: If the checkpoint is missing, truncated or corrupt.
        UnrecognisedNetError: If its network cannot be told.
        CheckpointMismatchError: If a variable of either side is unaccounted for; lists all of them.
        UnsupportedArgumentError: If the network does not take an argument.

    Example:
        >>> model = convert("resnet_v1_50_2016_08_28.tar.gz", exclude=["resnet_v1_50/logits"], num_classes=5)
    """
    if num_classes is not None:
        arguments["num_classes"] = num_classes
    load = LoadOptions(exclude, use_ema, allow_nonfinite)
    return convert_as_asked(checkpoint, CheckpointRequest(net, arguments, input_shape, load, network))


def convert_as_asked(checkpoint: str | Path, request: CheckpointRequest) -> tf_keras.Model:
    """``convert`` with all that is asked in one."""
    with open_checkpoint(checkpoint) as opened:
        return converted_model(opened, plan_conversion(opened, request), request.load)


def converted_model(checkpoint: Checkpoint, plan: ConversionPlan, options: LoadOptions) -> tf_keras.Model:
    """Build the network of a plan and give it the values of the checkpoint."""
    model = build_model(plan.network)
    model.slim_load_options = options
    values = planned_values(slim_variables(model), plan.load, checkpoint, allow_nonfinite=options.allow_nonfinite)
    apply_load(model, values)
    return model


def plan_conversion(
    checkpoint: Checkpoint, request: CheckpointRequest | None = None, *, can_exclude: bool = True
) -> ConversionPlan:
    """Find the network and account for every variable; nothing is built or read but names and shapes.

    Args:
        can_exclude: Whether who asks can leave scopes out, so that advice to do so makes sense.

    Raises:
        UnrecognisedNetError: If the network cannot be told.
        CheckpointMismatchError: If a variable is unaccounted for.
    """
    request = request or CheckpointRequest()
    if request.network is not None:
        return ConversionPlan(request.network, _load_plan(checkpoint, request, request.network, {}, can_exclude))
    shapes = checkpoint.model_shapes
    candidate = recognise(
        shapes,
        net=request.net,
        input_shape=request.input_shape,
        arguments=request.arguments,
        exclude=request.load.exclude,
        source=str(checkpoint.given),
    )
    published = find_published(checkpoint.given, candidate.spec)
    spec, shape_source = candidate.spec, FactSource.GIVEN
    if request.input_shape is None:
        spec, shape_source = with_known_size(checkpoint, spec, published)
    spec, decay_source = with_known_decay(checkpoint, spec, request.arguments)
    if published:
        spec = replace(spec, preprocessing=published.preprocessing)
    left_out = dict(variables_left_out(candidate, shapes))
    load = _load_plan(checkpoint, request, spec, left_out, can_exclude)
    return ConversionPlan(spec, load, published, shape_source, decay_source)


def _load_plan(
    checkpoint: Checkpoint,
    request: CheckpointRequest,
    network: Network,
    left_out: Mapping[str, str],
    can_exclude: bool,
) -> LoadPlan:
    wanted = list(network.graph.variables())
    load = plan_load(
        wanted,
        checkpoint.variables,
        checkpoint.kinds,
        exclude=request.load.exclude,
        use_ema=request.load.use_ema,
        accounted=left_out,
    )
    title = f"{network.name} (num_classes={network.num_classes})"
    channels = _channels_hint(load, wanted[0], network)
    hint = channels or _size_hint(load, network)
    exclude_by = EXCLUDE_ANYWHERE if can_exclude and not channels else ""
    check_plan(load, title, len(wanted), str(checkpoint.given), hint, exclude_by=exclude_by)
    return load


def _channels_hint(load: LoadPlan, first: Variable, network: Network) -> str:
    """Next step where the images asked for have other channels than the first weights take."""
    for variable, info in load.wrong_shape:
        if variable.name == first.name and len(info.shape) == len(variable.shape):
            right = (*network.input_shape[:-1], info.shape[-2])
            return (
                f"The checkpoint takes images of {info.shape[-2]} channels, and {variable.shape[-2]} were asked for: "
                f"give input_shape={right} (command line: --input-shape {','.join(map(str, right))})."
            )
    return ""


def _size_hint(load: LoadPlan, network: Network) -> str:
    """Next step where the images were of another size: the auxiliary window of Inception v3 is named after its size."""
    windows = [match for name in load.unexpected if (match := re.search(r"/AuxLogits/Conv2d_2a_(\d+)x(\d+)/", name))]
    if not windows:
        return ""
    return (
        f"The window of AuxLogits is {windows[0][1]}x{windows[0][2]}, which it is not with images of "
        f"{network.input_shape[0]}x{network.input_shape[1]}: give the size that the network was trained with, "
        "input_shape=(H, W, C) (command line: --input-shape H,W,C)."
    )


@dataclass(frozen=True, repr=False)
class ConversionReport(Report):
    """What was converted, from what, into what; written as JSON beside the file.

    Attributes:
        source: Path as given, format, step, and every file with its SHA-256.
        net: Name of the network.
        input_shape: (height, width, channels), ``None`` where open.
        input_shape_source: Where it is from: given, published, from the .meta, from the weights, or default.
        arguments: Every slim argument, none where the network is none of slim's zoo.
        batch_norm: Decay and epsilon, ``None`` without BatchNorm.
        decay_source: Where the decay is from: given, from the .meta, or default.
        published: Facts of the published checkpoint that this is by its name, ``None`` if it is none.
        preprocessing: Key of slim's ``preprocessing_factory``, empty if nobody knows.
        preprocessing_meaning: Values, crop and size that it gives, in words.
        labels_offset: What slim's trainer takes off ImageNet labels: 1 without a background class.
        use_ema: Whether the shadows were taken.
        raw_statistics: Moving statistics without shadow, taken as they are.
        excluded: Scopes given, and the variables that started afresh.
        left_out: Checkpoint variables that were not loaded, by reason.
        variables: Number of variables, and of parameters.
        output: Path and format.
        largest_difference: Between what was to be written and what was read back; 0.0 means bit for bit.
        versions: Of everything that takes part.
        num_classes: Of the logits.
        drop_path_steps: Steps over which drop-path grows.
        graph: Layers of a network that is none of slim's zoo, ``None`` for one that is.
    """

    source: Mapping[str, Any]
    net: str
    input_shape: Sequence[int | None]
    input_shape_source: str
    arguments: Mapping[str, Any]
    batch_norm: Mapping[str, float] | None
    decay_source: str
    published: Mapping[str, Any] | None
    preprocessing: str
    preprocessing_meaning: str | None
    labels_offset: int
    use_ema: bool
    raw_statistics: Sequence[str]
    excluded: Mapping[str, Sequence[str]]
    left_out: Mapping[str, Any]
    variables: Mapping[str, int]
    output: Mapping[str, str]
    largest_difference: float
    versions: Mapping[str, str] = field(default_factory=dict)
    num_classes: int | None = None
    drop_path_steps: int | None = None
    graph: Mapping[str, Any] | None = None

    def summary(self) -> str:
        """In one line."""
        return f"{self.net} -> {self.output['path']}, largest difference when read back {self.largest_difference}"

    def page(self) -> Iterator[RenderableType]:
        """Network, size of images, variables, and what was left out."""
        yield from heading(network_from_config(self.to_json()), self.input_shape_source)
        if self.batch_norm is not None:
            yield Text(f"BatchNorm decay {self.batch_norm['decay']:.6g} ({self.decay_source})")
        counts = (plural(self.variables["network"], "variable"), plural(self.variables["parameters"], "parameter"))
        yield Text(f"{', '.join(counts)}; read back: largest difference {self.largest_difference}")
        yield from remarks(self.left_out, self.excluded["started_afresh"], self.raw_statistics)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return asdict(self)


def heading(network: Network, source: str) -> Iterator[Text]:
    """A network, the arguments that are not slim's defaults, and the size of its images."""
    yield Text.assemble((network.name, "bold"), f" {format_arguments(network.changed_arguments())}")
    yield Text(f"input {describe_input(network.input_shape, source)}")


def convert_to_file(
    checkpoint: str | Path,
    output: str | Path,
    request: CheckpointRequest | None = None,
    *,
    overwrite: bool = False,
    progress: StepProgress | None = None,
) -> ConversionReport:
    """Convert a checkpoint, write model and report, read the file back and compare every tensor.

    For a ``.keras`` or a ``.weights.h5`` no model is built, unless a variable starts afresh: the values go from file to
    file.

    Args:
        checkpoint: As in ``convert``.
        output: ``.keras``, ``.h5``, ``.weights.h5``, or a directory without suffix for a SavedModel.
        request: What is asked of the checkpoint.
        overwrite: Replace existing files.

    Returns:
        The report, also written as ``<output>.json``.

    Raises:
        OutputError: If the output exists, has an unknown format, or cannot be written; nothing is left behind.
    """
    request = request or CheckpointRequest()
    target, its_format = check_target(Path(output), overwrite=overwrite)
    with ThreadPoolExecutor(1) as pool, open_checkpoint(checkpoint) as opened:
        plan = plan_conversion(opened, request)
        hashes = pool.submit(_hash_files, opened)
        with whole_or_not_at_all(target, report_path(target)) as (draft, draft_report):
            outline, variables = _outline_and_variables(plan, its_format)
            check_space(target, _SIZE_FACTOR * 4 * outline.num_parameters)
            planned = partial(planned_values, variables, plan.load, opened)
            values = planned(allow_nonfinite=request.load.allow_nonfinite, progress=_step(progress, "converting"))
            if its_format is OutputFormat.WEIGHTS:
                write_weights(outline, values, draft)
            else:
                write_model(outline, values, draft, its_format)
            read_back = planned(allow_nonfinite=True, progress=_step(progress, "reading back"))
            difference = largest_read_back_difference(outline, read_back, draft, its_format)
            report = ConversionReport(
                source=_describe_source(opened, hashes.result()),
                output={"path": str(target), "format": its_format.name.lower()},
                largest_difference=difference,
                versions=_versions(),
                **describe_plan(plan, request.load, opened, outline.num_parameters),
            )
            draft_report.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return report


def _outline_and_variables(plan: ConversionPlan, its_format: OutputFormat) -> tuple[Outline, Mapping[str, Any]]:
    """What is to be written, and its variables by slim name: those of a model if the format or a value needs one."""
    if its_format in (OutputFormat.KERAS, OutputFormat.WEIGHTS) and not plan.load.fresh:
        outline = outline_of_network(plan.network)
        return outline, dict.fromkeys(outline.places)
    model = build_model(plan.network)
    return outline_of_model(model), slim_variables(model)


def _step(progress: StepProgress | None, what: str) -> Callable[[int, int], None] | None:
    return partial(progress, what) if progress else None


def _hash_files(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    return [
        {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)} for path in checkpoint.location.files
    ]


def _describe_source(checkpoint: Checkpoint, files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "path": str(checkpoint.given),
        "checkpoint": checkpoint.location.prefix.name,
        "format": checkpoint.location.version,
        "global_step": checkpoint.global_step,
        "files": files,
    }


def describe_plan(
    plan: ConversionPlan, options: LoadOptions, checkpoint: Checkpoint, num_parameters: int
) -> dict[str, Any]:
    """What a report says of the network and of what became of the checkpoint's variables, as plain values."""
    network = plan.network
    return {
        **network.to_config(),
        "input_shape_source": plan.input_shape_source.value,
        "batch_norm": network.batch_norm(),
        "decay_source": plan.decay_source.value,
        "published": asdict(plan.published) if plan.published else None,
        "preprocessing_meaning": preprocessing_meaning(network),
        "labels_offset": network.labels_offset,
        "num_classes": network.num_classes,
        "drop_path_steps": network.drop_path_steps,
        "use_ema": options.use_ema,
        "raw_statistics": plan.load.raw_statistics,
        "excluded": {"scopes": options.exclude, "started_afresh": plan.load.fresh},
        "left_out": left_out_by_reason(plan.load),
        "variables": {
            "network": len(plan.load.sources) + len(plan.load.fresh),
            "parameters": num_parameters,
            "checkpoint": len(checkpoint),
        },
    }


def describe_model(model: tf_keras.Model) -> dict[str, Any]:
    """What a report says of a model that comes from a file, as plain values: enough to read it again."""
    options = load_options_of(model)
    return {
        **network_of(model).to_config(),
        "use_ema": options.use_ema,
        "excluded": {"scopes": options.exclude},
    }


def warn_of_default_size(plan: ConversionPlan, data: Any) -> None:
    """Say that a folder of images is brought to a size that is but the network's default.

    Warns:
        PreprocessingWarning: If nothing tells the size that the checkpoint was trained on.
    """
    if plan.input_shape_source is FactSource.DEFAULT and isinstance(data, str | Path) and Path(data).is_dir():
        size = describe_input(plan.network.input_shape, plan.input_shape_source.value)
        warnings.warn(
            f"The images are taken at {size}: the checkpoint does not tell the size that it was trained on. If it was "
            "another, give input_shape=(H, W, C) (command line: --input-shape H,W,C).",
            PreprocessingWarning,
            stacklevel=2,
        )


def left_out_by_reason(load: LoadPlan) -> dict[str, int]:
    """Number of checkpoint variables that are not loaded, by the reason why."""
    return dict(Counter(load.unused.values()))


def _versions() -> dict[str, str]:
    import tensorflow as tf
    import tf_keras

    return {
        "slim2keras": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "tf_keras": tf_keras.__version__,
        "numpy": np.__version__,
    }


def load_model(
    path: str | Path, checkpoint: str | Path | None = None, *, with_optimizer: bool = False
) -> tf_keras.Model:
    """Load a model file that ``convert``, ``model.save`` or ``save_weights`` wrote, with what its report says of it.

    A ``.keras`` is read straight from HDF5, which takes a fraction of the time of ``tf_keras.models.load_model``. The
    model is not compiled; nothing in a file can run code, see ``model_safety``.

    Args:
        path: ``.keras``, ``.h5``, SavedModel, or ``.weights.h5`` with its report beside it.
        checkpoint: Where the network of a ``.weights.h5`` without report is told from.
        with_optimizer: Compile a ``.keras`` with the optimizer that it was saved with, and its state.

    Returns:
        The model, of its own class if ``finetune`` made it.

    Raises:
        ModelReadError: If the file is missing or corrupt.
        UnsafeModelError: If the file could run code; nothing of it was run.

    Example:
        >>> model = load_model("resnet_v1_50.keras")
    """
    path = Path(path)
    check_model_path(path)
    network, options = _read_report(report_path(path))
    try:
        if not path.name.endswith(OutputFormat.WEIGHTS.value):
            model = load_file(path, with_optimizer=with_optimizer)
            if network is not None and not knows_network(model) and is_network(model, network):
                model.slim_network = network
        else:
            model = build_model(network or _network_of_checkpoint(checkpoint, path, options))
            load_weights(model, path)
    except Slim2KerasError:
        raise
    except Exception as error:
        # tf_keras has no errors of its own for a model that it cannot make.
        raise unreadable(path, error) from error
    model.slim_load_options = options
    return model


def _network_of_checkpoint(checkpoint: str | Path | None, path: Path, options: LoadOptions) -> Network:
    if checkpoint is None:
        raise ModelReadError(
            f"{path} holds weights alone, and the report {report_path(path).name} that says of which network is not "
            "beside it. Give a .keras file, or convert the checkpoint again."
        )
    with open_checkpoint(checkpoint) as opened:
        return plan_conversion(opened, CheckpointRequest(load=options)).network


def export_file(
    path: str | Path,
    prefix: str | Path,
    *,
    version: CheckpointVersion = CheckpointVersion.V2,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model file back as a slim checkpoint; of a compiled ``.keras`` with slots, step and shadows.

    Args:
        path: As in ``load_model``.
        prefix: As in ``export_checkpoint``.

    Returns:
        Path, format and files, and the number of variables of each kind, as plain values.

    Raises:
        ModelReadError: If the model file cannot be read.
        OutputError: If the checkpoint exists already or cannot be written; nothing is left behind.
    """
    written = export_checkpoint(load_model(path, with_optimizer=True), prefix, version=version, overwrite=overwrite)
    with open_checkpoint(written.prefix) as checkpoint:
        kinds = Counter(kind.value for kind in checkpoint.kinds.values())
        return {
            "path": str(prefix),
            "format": written.version,
            "files": [str(file) for file in written.files],
            "global_step": checkpoint.global_step,
            "variables": dict(kinds),
        }


def _read_report(path: Path) -> tuple[Network | None, LoadOptions]:
    """Network and load options from a report; nothing and the defaults where there is none."""
    if not path.is_file():
        return None, LoadOptions()
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        options = LoadOptions(report["excluded"]["scopes"], report["use_ema"])
        check_report(path, report)
        return network_from_config(report), options
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelReadError(
            f"{path} is not a report of slim2keras: {type(error).__name__}: {error}. Remove it, or convert again."
        ) from error
