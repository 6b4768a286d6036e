"""What is evaluated: a model file, a checkpoint or a RUN, with its network and the names of its classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.conversion.converting import converted_model
from slim2keras.conversion.plan import ConversionPlan, plan_conversion, warn_of_default_size
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.request import CheckpointRequest, check_asks_nothing
from slim2keras.data.batches import Reading
from slim2keras.errors import GraphWarning, ModelReadError
from slim2keras.files.json_values import read_json
from slim2keras.files.run_layout import RunLayout, is_run, lack_of_model_told
from slim2keras.graphs.network import Network
from slim2keras.models.networks import find_network
from slim2keras.models.resizing import resized_model
from slim2keras.outputs.formats import is_model_file
from slim2keras.preprocessing.factory import pipeline_named
from slim2keras.preprocessing.options import PreprocessingOptions

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class Classifier:
    """A model that tells classes.

    Attributes:
        model: The model.
        network: Which network it is: size, channels and preprocessing of its images; ``None`` of anybody's own.
        source: Where it is from.
        labels_file: Names of its classes, where it comes with any.
        reading: How its images are read and prepared.
        trained_on: Data and split that a RUN learned from; ``None`` of others.
    """

    model: tf_keras.Model
    network: Network | None
    source: str
    labels_file: Path | None = None
    reading: Reading = field(default_factory=Reading)
    trained_on: tuple[Path, str] | None = None

    @property
    def num_classes(self) -> int:
        """Classes that it tells apart."""
        return int(self.model.outputs[0].shape[-1])


def open_classifier(
    path: str | Path,
    request: CheckpointRequest | None = None,
    image_size: tuple[int, int] | None = None,
    *,
    data: Any = None,
) -> Classifier:
    """Open a model file, a checkpoint, or a RUN, whose ``model.keras`` is taken.

    Args:
        path: Of it.
        request: What is asked of a checkpoint; nothing of the others, which say themselves what they are.
        image_size: Height and width of the images, pixels, where they are not the network's.
        data: Where the images are from, for a remark on their size.

    Raises:
        CheckpointReadError: If it cannot be read.
        ModelReadError: If it cannot be read, or the RUN has no model yet.
        UnsupportedArgumentError: If something is asked of a file that says itself what it is, or cannot be.
    """
    path, request = Path(path), request or CheckpointRequest()
    if is_run(path):
        return _open_run(RunLayout(path), request, image_size)
    if is_model_file(path):
        return classifier_of(_loaded(path, request, image_size), str(path))
    return classifier_of(_converted(path, request, image_size, data), str(path))


def classifier_of(model: tf_keras.Model, source: str = "") -> Classifier:
    """A model as it is."""
    return Classifier(model, find_network(model), source or model.name)


def _open_run(run: RunLayout, request: CheckpointRequest, image_size: tuple[int, int] | None) -> Classifier:
    if not run.model.is_file():
        raise ModelReadError(lack_of_model_told(run))
    found = classifier_of(_loaded(run.model, request, image_size), str(run.directory))
    labels_file = run.labels if run.labels.is_file() else None
    return replace(found, labels_file=labels_file, **_recorded(run))


def _recorded(run: RunLayout) -> dict[str, Any]:
    """How a RUN read the images that it validated with, and what it learned from.

    Raises:
        ModelReadError: If what it was asked cannot be read.
    """
    try:
        asked = read_json(run.request)
        options = asked["options"]
        name = options["preprocessing_name"]
        reading = Reading(
            PreprocessingOptions(crop_image=options["crop_image"], use_grayscale=options["use_grayscale"]),
            preprocessing=None if name is None else pipeline_named(name),
            exif_orientation=options["exif_orientation"],
        )
        return {"reading": reading, "trained_on": (Path(asked["data"]).resolve(), options["split"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelReadError(
            f"{run.request} cannot be read as what was asked of a training: {type(error).__name__}: {error}. Give "
            f"{run.model} itself."
        ) from error


def _loaded(path: Path, request: CheckpointRequest, image_size: tuple[int, int] | None) -> tf_keras.Model:
    check_asks_nothing(path, request)
    model = load_model(path)
    return model if image_size is None else resized_model(model, image_size)


def _converted(path: Path, request: CheckpointRequest, image_size: tuple[int, int] | None, data: Any) -> tf_keras.Model:
    with open_checkpoint(path, request.of_graph) as opened:
        model, _ = opened_checkpoint(opened, request, image_size, data=data)
        return model


def opened_checkpoint(
    opened: Checkpoint,
    request: CheckpointRequest,
    image_size: tuple[int, int] | None = None,
    *,
    data: Any = None,
    exclude_by: str = "",
) -> tuple[tf_keras.Model, ConversionPlan]:
    """The model of a checkpoint that is open, as ``open_classifier`` takes it, and the plan that it was made by.

    Args:
        exclude_by: How who asks can leave scopes out, for advice; empty if not at all, see ``check_plan``.
    """
    plan = plan_of_size(opened, request, image_size, exclude_by)
    warn_of_default_size(plan, data)
    for remark in plan.remarks:
        warnings.warn(remark, GraphWarning, stacklevel=4)
    return converted_model(opened, plan, request.load), plan


def plan_of_size(
    opened: Checkpoint, request: CheckpointRequest, image_size: tuple[int, int] | None, exclude_by: str
) -> ConversionPlan:
    """The plan of a conversion, of a network that takes images of a size."""
    plan = plan_conversion(opened, request, exclude_by=exclude_by)
    if image_size is None or request.input_shape is not None:
        return plan
    # By a plan of its own: what a graph leaves open, and names that go by the size, are told by it.
    sized = replace(request, input_shape=(*image_size, plan.network.input_shape[-1]))
    return plan_conversion(opened, sized, exclude_by=exclude_by)
