"""What is evaluated: a model file, a checkpoint or a RUN, with its network and the names of its classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.converting import converted_model
from slim2keras.conversion.plan import ConversionPlan, plan_conversion, warn_of_default_size
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.request import CheckpointRequest, check_asks_nothing
from slim2keras.errors import GraphWarning, ModelReadError, UnsupportedArgumentError, did_you_mean
from slim2keras.files.run_layout import RunLayout, is_run
from slim2keras.graphs.network import Network
from slim2keras.models.networks import find_network
from slim2keras.models.resizing import resized_model
from slim2keras.nets import NETS
from slim2keras.outputs.formats import is_model_file
from slim2keras.preprocessing.pipelines import PIPELINES

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
    """

    model: tf_keras.Model
    network: Network | None
    source: str
    labels_file: Path | None = None

    @property
    def num_classes(self) -> int:
        """Classes that it tells apart."""
        return int(self.model.outputs[0].shape[-1])


@dataclass(frozen=True)
class ImageChoices:
    """How images are to be prepared, where it is not as the network says.

    Attributes:
        image_size: Height and width, pixels.
        preprocessing_name: A network of slim's zoo, or a pipeline, whose preprocessing is taken.
    """

    image_size: tuple[int, int] | None = None
    preprocessing_name: str | None = None

    def __post_init__(self) -> None:
        name = self.preprocessing_name
        if name is not None and name not in PIPELINES and name not in NETS:
            known = [*PIPELINES, *NETS]
            raise UnsupportedArgumentError(
                f"There is no preprocessing {name!r}.{did_you_mean(name, known)} Pipelines are {', '.join(PIPELINES)}; "
                "the name of a network stands for its own, see `slim2keras nets`."
            )

    def applied_to(self, model: tf_keras.Model) -> tuple[tf_keras.Model, Network | None]:
        """The model, for images of the size that is asked for, and its network, with the preprocessing asked for."""
        resized = model if self.image_size is None else resized_model(model, self.image_size)
        network = find_network(resized)
        name = self.preprocessing_name
        if network is None or name is None:
            return resized, network
        pipeline = name if name in PIPELINES else NETS[name].preprocessing
        return resized, replace(network, preprocessing=pipeline)  # type: ignore[type-var]


def open_classifier(
    path: str | Path,
    request: CheckpointRequest | None = None,
    choices: ImageChoices = ImageChoices(),
    *,
    data: Any = None,
) -> Classifier:
    """Open a model file, a checkpoint, or a RUN, whose ``model.keras`` is taken.

    Args:
        path: Of it.
        request: What is asked of a checkpoint; nothing of the others, which say themselves what they are.
        choices: How images are to be prepared, where it is not as the network says.
        data: Where the images are from, for a remark on their size.

    Raises:
        CheckpointReadError: If it cannot be read.
        ModelReadError: If it cannot be read, or the RUN has no model yet.
        UnsupportedArgumentError: If something is asked of a file that says itself what it is, or cannot be.
    """
    path, request = Path(path), request or CheckpointRequest()
    if is_run(path):
        return _open_run(RunLayout(path), request, choices)
    if is_model_file(path):
        check_asks_nothing(path, request)
        model, network = choices.applied_to(load_model(path))
        return Classifier(model, network, str(path))
    model, network = choices.applied_to(_convert(path, request, choices, data))
    return Classifier(model, network, str(path))


def _open_run(run: RunLayout, request: CheckpointRequest, choices: ImageChoices) -> Classifier:
    check_asks_nothing(run.model, request)
    if not run.model.is_file():
        raise ModelReadError(
            f"{run.directory} has no {run.model.name}: it stopped before its first validation. Go on with it: "
            f"`slim2keras finetune --resume {run.directory}`."
        )
    model, network = choices.applied_to(load_model(run.model))
    return Classifier(model, network, str(run.directory), run.labels if run.labels.is_file() else None)


def _convert(path: Path, request: CheckpointRequest, choices: ImageChoices, data: Any) -> tf_keras.Model:
    with open_checkpoint(path, request.of_graph) as opened:
        plan = plan_conversion(opened, request, can_exclude=False)
        if choices.image_size is not None and request.input_shape is None:
            # By a plan of its own: what a graph leaves open, and names that go by the size, are told by it.
            request = replace(request, input_shape=(*choices.image_size, plan.network.input_shape[-1]))
            plan = plan_conversion(opened, request, can_exclude=False)
        _tell(plan, data)
        return converted_model(opened, plan, request.load)


def _tell(plan: ConversionPlan, data: Any) -> None:
    warn_of_default_size(plan, data)
    for remark in plan.remarks:
        warnings.warn(remark, GraphWarning, stacklevel=4)
