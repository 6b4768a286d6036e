"""A checkpoint of quantization-aware training as int8, with the ranges that it was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.deployment.derived_ranges import RangesOfAll, derive_ranges
from slim2keras.deployment.ends import IMAGES
from slim2keras.deployment.fake_quantized import FakeQuantized
from slim2keras.deployment.layer_proof import NEAR
from slim2keras.deployment.placed_ranges import QUANTIZED_KINDS, PlacedRanges, place_ranges
from slim2keras.deployment.proof import prove
from slim2keras.deployment.quantized_weights import rounded_weights
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.trained_ranges import Range
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.files.reports import plural
from slim2keras.graphs.folding import fold_graph
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.graphs.separating import is_separable, separated
from slim2keras.models.building import build_model
from slim2keras.models.folding import fold_batch_norm
from slim2keras.models.networks import network_of
from slim2keras.models.variables import assign_stored, slim_variables
from slim2keras.preprocessing.pipelines import PIPELINES

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

_NAMED = 3


@dataclass(frozen=True)
class Distance:
    """How far a file's outputs are from others, in steps of int8.

    Attributes:
        largest: Of all outputs.
        within_a_step: Part of the outputs that are at most one step off.
        agreement: Part of the images with the same class; ``None`` where there are no classes.
    """

    largest: float
    within_a_step: float
    agreement: float | None

    def describe(self) -> str:
        """In words."""
        same = "" if self.agreement is None else f", same class for {self.agreement:.1%}"
        return f"{self.within_a_step:.1%} of the outputs within one step, largest difference {self.largest:.3g}{same}"


@dataclass(frozen=True)
class QuantizationAware:
    """A network with the ranges of its training.

    Attributes:
        as_int8: As int8 computes it.
        as_trained: As training for quantization does: other steps where int8 has no such, and only what has a trained
            range is rounded.
        trained: The ranges.
        ranges: Of all that is rounded.
    """

    as_int8: FakeQuantized
    as_trained: FakeQuantized
    trained: PlacedRanges
    ranges: RangesOfAll

    def function(self, image_shape: Sequence[int]) -> tf.types.experimental.ConcreteFunction:
        """What int8 computes, as a function of images that TFLite's converter takes.

        Args:
            image_shape: (height, width, channels); the batch stays open.
        """
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *image_shape), tf.float32, IMAGES)]
        return tf.function(self.as_int8.__call__, input_signature=signature, autograph=False).get_concrete_function()

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of weights that int8 holds exactly as they were trained, and all of them."""
        weights = self.as_int8.weights.values()
        return sum(item.exact for item in weights), sum(len(item.steps) for item in weights)

    @property
    def without_range(self) -> list[str]:
        """Layers whose weights have no trained range."""
        used = self.as_int8.graph.calls()
        return [name for name in used if self._takes_weights(name) and name not in self.trained.weights]

    def _takes_weights(self, name: str) -> bool:
        return self.as_int8.graph.layers[name].kind in QUANTIZED_KINDS

    def distance(self, found: Sequence[NDArray[Any]], other: FakeQuantized, images: NDArray[Any]) -> Distance | None:
        """How far a file is from the network as another arithmetic computes it; ``None`` if no output has a step.

        Args:
            found: Outputs of the file.
            other: The arithmetic.
            images: That both are of.
        """
        wanted = [np.asarray(output) for output in other(images)]
        known = (self.ranges.known.get(tensor.layer_name) for tensor in self.as_int8.graph.outputs)
        off = [
            np.abs(ours - theirs).ravel() / its.step
            for ours, theirs, its in zip(found, wanted, known, strict=True)
            if its is not None and its.step
        ]
        if not off:
            return None
        steps = np.concatenate(off)
        same = prove(lambda _: wanted, lambda _: found, images, runtime="", of="", bar=None).agreement
        return Distance(float(steps.max()), float((steps <= NEAR).mean()), same)

    def facts(self) -> dict[str, Any]:
        """What a report says of the ranges, as plain values."""
        exact, channels = self.channels
        return {
            "trained_ranges": {"weights": len(self.trained.weights), "activations": len(self.trained.outputs)},
            "derived_ranges": dict(self.ranges.derived),
            "in_float32": [*self.ranges.unknown],
            "weights_without_range": self.without_range,
            "channels": {"as_trained": exact, "all": channels},
        }

    def remarks(self, images_given: bool) -> Iterator[str]:
        """The same for people.

        Args:
            images_given: Whether there are images that ranges could have been measured on.
        """
        if images_given:
            yield "The ranges are those of training, to which the weights are used; the images are compared on alone."
        exact, channels = self.channels
        yield (
            f"{plural(len(self.trained), 'trained range')} used, {len(self.trained.weights)} of weights and "
            f"{len(self.trained.outputs)} of activations; {exact} of {channels} channels of weights are held exactly "
            "as they were trained, the others in larger steps, for int8 weights are symmetric."
        )
        if self.ranges.derived:
            yield f"No range was trained for {_by_origin(self.ranges.derived)}."
        if self.without_range:
            yield f"No range was trained for the weights of {_some(self.without_range)}: their own was taken."
        if self.ranges.unknown:
            yield f"No range is known of what leaves {_some(self.ranges.unknown)}: computed in float32."


def quantization_aware(subject: Subject) -> QuantizationAware:
    """Bring a network and the ranges of its checkpoint together.

    Raises:
        CheckpointMismatchError: If ranges belong to no layer.
        UnsupportedArgumentError: If nobody knows the range of its images.
    """
    images = _range_of_images(subject.network)
    model = subject.model
    if fold_graph(subject.network.graph).folds:
        model = fold_batch_norm(model)
    model = _separated(model)
    graph = network_of(model).graph
    trained = place_ranges(graph, subject.ranges)
    ranges = derive_ranges(graph, trained.outputs, images)
    weights = {
        name: rounded_weights(model.get_layer(name), graph.layers[name].kind, item)
        for name, item in trained.weights.items()
    }
    rounded = {name: ranges.known[name] for name in (*trained.outputs, *ranges.derived)}
    as_int8 = FakeQuantized(model, graph, weights, rounded, ranges.known)
    as_trained = FakeQuantized(model, graph, weights, trained.outputs)
    return QuantizationAware(as_int8, as_trained, trained, ranges)


def _separated(model: tf_keras.Model) -> tf_keras.Model:
    """A model whose separable convolutions are two layers each: training rounds what is between them."""
    network = network_of(model)
    if not is_separable(network.graph):
        return model
    graph, preprocessing = separated(network.graph), network.preprocessing
    made = build_model(GraphNetwork(network.name, graph, preprocessing, num_classes=network.num_classes))
    values = slim_variables(model)
    for name, variable in slim_variables(made).items():
        assign_stored(variable, values[name].numpy())
    return made


def _range_of_images(network: Network) -> Range:
    pipeline = PIPELINES.get(network.preprocessing)
    if pipeline is None or pipeline.value_range is None:
        raise UnsupportedArgumentError(
            f"Training for quantization leaves no range of the images, and nobody knows which values {network.name} "
            "takes. Say it: preprocessing_name=NETWORK (command line: --preprocessing-name NETWORK)."
        )
    return Range(*map(float, pipeline.value_range))


def _by_origin(derived: Mapping[str, str]) -> str:
    """Layers by where their range is from, for people."""
    names: dict[str, list[str]] = {}
    for name, origin in derived.items():
        names.setdefault(origin, []).append(name)
    return "; ".join(f"{_some(found)} (that {origin} is taken)" for origin, found in names.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
