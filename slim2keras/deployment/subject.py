"""What goes to another runtime: a model with its network, the names of its classes, and images to try it on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.data.batches import Reading
from slim2keras.data.images import ImageBatches
from slim2keras.data.labels import class_names
from slim2keras.data.listing import list_for_network
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.origin import Origin, open_source
from slim2keras.deployment.proof import Images, noise, shake
from slim2keras.deployment.trained_ranges import Range
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.evaluation.opening import Classifier
from slim2keras.graphs.folding import Folding
from slim2keras.graphs.network import Network
from slim2keras.models.folding import folded
from slim2keras.models.functional import functional_model
from slim2keras.models.networks import keep_network, network_of
from slim2keras.models.precision import in_float32, precision_of
from slim2keras.preprocessing.factory import pipeline_named
from slim2keras.preprocessing.facts import describe_images

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray

_MOST_IMAGES = 100
"""Of the data, on which a file is compared with the model."""


@dataclass(frozen=True)
class Subject:
    """What goes to another runtime.

    Attributes:
        model: tf_keras, in float32; BatchNorm folded if that was asked for.
        network: Of the model.
        origin: Where it is from.
        class_names: ``None`` if nobody knows.
        data: Images that represent what will come, in mixed order; ``None`` if none were given.
        data_path: Where they are from.
        unfolded: The model from before folding, by which a file is judged; ``None`` if nothing was folded.
        folding: What became of its BatchNorm layers.
        reading: How its images are read and prepared: as a RUN did when it validated.
    """

    model: tf_keras.Model
    network: Network
    origin: Origin
    class_names: Sequence[str] | None = None
    data: ImageBatches | None = None
    data_path: Path | None = None
    unfolded: tf_keras.Model | None = None
    folding: Folding | None = None
    reading: Reading = field(default_factory=Reading)

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Of quantization-aware training, where int8 is asked for, by the name of what rounds."""
        return self.origin.ranges

    def describe_images(self) -> dict[str, Any]:
        """What the network wants of its images, as it travels with every file."""
        turned = {"exif_orientation": self.reading.exif_orientation}
        return describe_images(self.network, self.class_names, self.reading.options) | turned

    def outputs(self, images: Images) -> list[NDArray[Any]]:
        """Of the model for inference, from before its BatchNorm was folded."""
        return outputs_of(self.model if self.unfolded is None else self.unfolded, images)

    @contextlib.contextmanager
    def shaken(self) -> Iterator[None]:
        """Within it the values of the model are changed by what float32 rounds; then they are what they were."""
        model = self.model if self.unfolded is None else self.unfolded
        variances = {id(layer.moving_variance) for layer in batch_norm_layers(model)}
        variables = model.variables
        values = [variable.numpy() for variable in variables]
        try:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(shake(value, each=id(variable) in variances))
            yield
        finally:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    @property
    def advice(self) -> str:
        """What to do if a file differs from the model, empty where nobody knows."""
        if self.folding is None:
            return ""
        return " Values that cancel out lose digits in float32, folded or not: write it without fold_batch_norm."

    def facts(self) -> dict[str, Any]:
        """What a report says of the model beside its network, as plain values."""
        return {} if self.folding is None else {"folding": self.folding.to_json()}

    def images(self) -> tuple[NDArray[Any], str]:
        """Images to try a file on, as the network takes them, and what they are: of the data, or else noise."""
        if self.data is None:
            return noise(self.network), "noise"
        found = np.concatenate([*self.representative()])
        return found, f"of {self.data_path}"

    def representative(self, most: int = _MOST_IMAGES) -> Iterator[NDArray[Any]]:
        """Images of the data in batches, as the network takes them.

        Args:
            most: At most so many.
        """
        assert self.data is not None
        left = most
        for batch in self.data:
            images = batch[0] if isinstance(batch, tuple) else batch
            yield images[:left]
            left -= len(images)
            if left <= 0:
                return


def outputs_of(model: tf_keras.Model, images: Images) -> list[NDArray[Any]]:
    """Every output of a model of tf_keras, for inference."""
    import tensorflow as tf

    return [np.asarray(output) for output in tf.nest.flatten(model(images, training=False))]


def open_subject(
    source: tf_keras.Model | str | Path, options: DeploymentOptions, request: CheckpointRequest
) -> Subject:
    """Open a checkpoint, a model file, a RUN, or take a model.

    Raises:
        UnsupportedArgumentError: If it has several inputs, which Keras 3 alone takes, and without data.
        Slim2KerasError: If it cannot be read, or what is asked does not fit it.
    """
    found, origin = open_source(source, options, request)
    model = _plain(found.model)
    network, reading = network_of(model), found.reading
    _check_inputs(network, options)
    pipeline = reading.preprocessing
    if options.preprocessing_name is not None:
        pipeline, reading = pipeline_named(options.preprocessing_name), Reading()
    if pipeline is not None:
        network, reading = network.with_preprocessing(pipeline), replace(reading, preprocessing=None)
        keep_network(model, network)
    names = _class_names(found, options, network)
    data = _data(options, network, reading)
    subject = Subject(model, network, origin, names, data, options.data, reading=reading)
    return _folded(subject) if options.fold_batch_norm else subject


def _folded(subject: Subject) -> Subject:
    found = folded(subject.model)
    made = {"model": found.model, "network": network_of(found.model)}
    return replace(subject, **made, unfolded=subject.model, folding=found.folding)


def _check_inputs(network: Network, options: DeploymentOptions) -> None:
    names = [layer.name for layer in network.graph.input_layers]
    if len(names) > 1 and options.data is not None:
        raise UnsupportedArgumentError(
            f"{network.name} has {len(names)} inputs ({', '.join(names)}), and data has images for one: leave data "
            "(--data) out."
        )
    if len(names) > 1 and options.keras != 3:
        raise UnsupportedArgumentError(
            f"{network.name} has {len(names)} inputs ({', '.join(names)}), and what goes to another runtime takes one, "
            "images. `slim2keras convert CHECKPOINT -o model.keras` writes it for tf_keras, with --keras 3 for Keras 3."
        )


def _plain(model: tf_keras.Model) -> tf_keras.Model:
    """The network alone, in float32: the step that trains it, with its shadows and its precision, stays behind."""
    is_wide = precision_of(model) == "float32"
    plain = functional_model(model.input, model.output, model.name) if is_wide else in_float32(model)
    for name in ("slim_network", "slim_load_options"):
        if getattr(model, name, None) is not None:
            setattr(plain, name, getattr(model, name))
    return plain


def _class_names(found: Classifier, options: DeploymentOptions, network: Network) -> Sequence[str] | None:
    file = options.labels or found.labels_file
    if file is None or not network.num_classes:
        return None
    return class_names(file, network.num_classes)


def _data(options: DeploymentOptions, network: Network, reading: Reading) -> ImageBatches | None:
    if options.data is None:
        return None
    examples = replace(list_for_network(options.data, network, split=options.split, labels=False), labels=None)
    return ImageBatches(examples, network, batch_size=16, reading=reading, way_on="Take it out.")
