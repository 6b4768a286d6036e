"""A model becomes a file for another runtime, which reads it back and proves it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.conversion.report import describe_model, versions_of_all
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.report import DeploymentReport
from slim2keras.deployment.subject import open_subject
from slim2keras.deployment.ways import way_out
from slim2keras.files.output_files import describe_contents, report_path, whole_or_not_at_all
from slim2keras.outputs.formats import check_target

if TYPE_CHECKING:
    import tf_keras


def deploy(
    source: tf_keras.Model | str | Path,
    output: str | Path,
    options: DeploymentOptions | None = None,
    *,
    request: CheckpointRequest | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> DeploymentReport:
    """Write a model for another runtime, let that runtime read it, and compare the outputs.

    Args:
        source: Model of ``convert``, ``build`` or ``finetune``; or the path of a checkpoint, a model file, or a RUN.
        output: ``.keras``, ``.tflite``, ``.onnx``, or a directory without suffix for a SavedModel.
        options: What is asked of the format.
        request: What is asked of a checkpoint.
        overwrite: Replace existing files.
        settings: Attributes of ``DeploymentOptions`` by name, in the place of those in ``options``.

    Returns:
        The report, also written as ``<output>.json``.

    Raises:
        UnsupportedArgumentError: If the format does not take an option.
        MissingExtraError: If a package is not installed; the message says how it is.
        ParityError: If the runtime computes something else; nothing is left behind.
        OutputError: If the output exists already, or cannot be written; nothing is left behind.

    Examples:
        >>> report = slim2keras.deploy("run/", "flowers.tflite", quantize="float16")
        >>> print(report.proof.describe())
        ai_edge_litert ..., 4 images (noise): largest difference ..., same class for ...%
    """
    options = (options or DeploymentOptions()).with_settings(settings)
    target, its_format = check_target(Path(output), overwrite=overwrite)
    way = way_out(its_format, options)
    subject = open_subject(source, options, request or CheckpointRequest())
    with whole_or_not_at_all(target, report_path(target), overwrite=overwrite) as (draft, draft_report):
        written = way.write(subject, draft, options)
        report = DeploymentReport(
            source=subject.origin.source,
            network={**describe_model(subject.model), **subject.origin.load},
            output={"path": str(target), "format": its_format.name.lower(), **describe_contents(draft)},
            proof=written.proof,
            images=subject.describe_images(),
            options={name: _plain(value) for name, value in asdict(options).items()},
            facts={**subject.facts(), **written.facts},
            versions=versions_of_all(),
            hint=way.hint,
        )
        draft_report.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return report


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
