"""Where a model that goes to another runtime is from, and what is known of it besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.load_plan import EXCLUDE_BY_REQUEST
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.report import describe_load, describe_source
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.trained_ranges import Range, read_ranges
from slim2keras.evaluation.opening import Classifier, classifier_of, open_classifier, opened_checkpoint
from slim2keras.files.output_files import describe_files
from slim2keras.files.run_layout import RunLayout, is_run
from slim2keras.files.unchanged import FileStamps
from slim2keras.models.networks import check_tf_keras
from slim2keras.models.resizing import resized_model
from slim2keras.outputs.formats import is_model_file

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class Origin:
    """Where a model is from.

    Attributes:
        source: What a report says of it: path and files with their SHA-256, of a checkpoint its step too; or the name
            of a model.
        load: What a report says of the variables of a checkpoint, see ``describe_load``; empty of others.
        ranges: Of quantization-aware training, where int8 is asked for, by the name of what rounds.
    """

    source: Mapping[str, Any]
    load: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Path, or name of a model."""
        return str(self.source.get("path") or self.source["model"])


def open_source(
    source: tf_keras.Model | str | Path, options: DeploymentOptions, request: CheckpointRequest
) -> tuple[Classifier, Origin]:
    """Open a checkpoint, a model file, a RUN, or take a model.

    Raises:
        Slim2KerasError: If it cannot be read, or what is asked does not fit it.
    """
    if not isinstance(source, (str, Path)):
        check_tf_keras(source, "Deploy the one that slim2keras.to_keras3 made it of, or its slim checkpoint.")
        model = source if options.image_size is None else resized_model(source, options.image_size)
        return classifier_of(model), Origin({"model": source.name})
    path = Path(source)
    if is_run(path) or is_model_file(path):
        files = _files(path)
        stamps = FileStamps.of(files)
        found = open_classifier(path, request, options.image_size)
        origin = Origin({"path": str(path), "files": describe_files(files)})
        stamps.check()
        return found, origin
    return _of_checkpoint(path, options, request)


def _of_checkpoint(path: Path, options: DeploymentOptions, request: CheckpointRequest) -> tuple[Classifier, Origin]:
    with open_checkpoint(path, request.of_graph) as opened:
        model, plan = opened_checkpoint(opened, request, options.image_size, exclude_by=EXCLUDE_BY_REQUEST)
        origin = Origin(
            describe_source(opened, describe_files(opened.location.files)),
            describe_load(plan, request.load, opened, model.count_params()),
            read_ranges(opened) if options.quantize == "int8" else {},
        )
        opened.check_unchanged()
    return classifier_of(model, str(path)), origin


def _files(path: Path) -> list[Path]:
    """The files of a model, or of the model of a RUN."""
    file = RunLayout(path).model if is_run(path) else path
    return sorted(item for item in file.rglob("*") if item.is_file()) if file.is_dir() else [file]
