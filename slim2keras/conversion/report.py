"""What was converted, from what, into what."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from slim2keras.checkpoints.load_plan import LoadOptions, load_options_of, remarks
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.conversion.facts import UNKNOWN_SIZE, FactSource, describe_input
from slim2keras.conversion.plan import ConversionPlan, left_out_by_reason
from slim2keras.files.reports import Report, plural
from slim2keras.graphs.network import Network
from slim2keras.models.networks import network_of
from slim2keras.nets.spec import network_from_config
from slim2keras.preprocessing.factory import preprocessing_meaning
from slim2keras.recognition.from_variables import format_arguments
from slim2keras.version import __version__

if TYPE_CHECKING:
    import tf_keras


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
        tensors: Checksum of each, by slim name, see ``outputs.checksums``.
        images: What the network wants of its images, in numbers and in words, and the names of its classes.
        versions: Of everything that takes part.
        num_classes: Of the logits.
        drop_path_steps: Steps over which drop-path grows.
        graph: Layers of a network that is none of slim's zoo, ``None`` for one that is.
        origin: Where that graph was imported from, ``None`` if it was not imported.
        imported: The graph file with its SHA-256, inputs, outputs, remarks, and layers of ours that the model needs.
        is_folded: Whether its BatchNorm is in the weights of other layers.
        usual_sizes: The input shape that it was published for, where that is known and sizes are open.
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
    tensors: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    num_classes: int | None = None
    drop_path_steps: int | None = None
    graph: Mapping[str, Any] | None = None
    origin: Mapping[str, Any] | None = None
    imported: Mapping[str, Any] | None = None
    is_folded: bool = False
    usual_sizes: Sequence[int | None] | None = None

    def summary(self) -> str:
        """In one line."""
        return f"{self.net} -> {self.output['path']}, largest difference when read back {self.largest_difference}"

    def page(self) -> Iterator[RenderableType]:
        """Network, size of images, variables, and what was left out."""
        yield from heading(network_from_config(self.to_json()), self.input_shape_source)
        if self.batch_norm is not None:
            yield Text(f"BatchNorm decay {self.batch_norm['decay']:.6g} ({self.decay_source})")
        if self.imported is not None:
            yield from import_page(self.imported)
        counts = (plural(self.variables["network"], "variable"), plural(self.variables["parameters"], "parameter"))
        yield Text(f"{', '.join(counts)}; read back: largest difference {self.largest_difference}")
        yield from remarks(self.left_out, self.excluded["started_afresh"], self.raw_statistics)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return asdict(self)


def format_network(network: Network) -> str:
    """A network with the arguments that are not slim's defaults, in a line."""
    return f"{network.name} {format_arguments(network.changed_arguments())}".rstrip()


def heading(network: Network, source: str) -> Iterator[Text]:
    """A network, the arguments that are not slim's defaults, and the size of its images."""
    yield Text.assemble((network.name, "bold"), format_network(network).removeprefix(network.name))
    yield Text(f"input {describe_input(network.input_shape, source)}")
    if source == FactSource.DEFAULT.value:
        yield Text(f"remark: {UNKNOWN_SIZE}", "yellow")


def import_page(imported: Mapping[str, Any]) -> Iterator[Text]:
    """Where a network was imported from, and what must be known of that."""
    yield Text(f"graph {imported['path']} ({imported['kind']})")
    yield Text(f"{', '.join(imported['input_tensors'])} -> {', '.join(imported['output_tensors'])}")
    if imported["own_layers"]:
        counts = ", ".join(f"{count} {kind}" for kind, count in imported["own_layers"].items())
        yield Text(f"layers of slim2keras.keras_layers: {counts}")
    for remark in imported["remarks"]:
        yield Text(f"remark: {remark}", "yellow")


def describe_import(plan: ConversionPlan) -> dict[str, Any] | None:
    """What a report says of the graph that a network was imported from, as plain values; ``None`` if it was not."""
    if plan.graph is None:
        return None
    source, origin = plan.graph.source, plan.network.to_config().get("origin") or {}
    return {
        "path": source.path,
        "kind": source.kind,
        "sha256": source.sha256,
        "input_tensors": [*origin.get("input_tensors", source.input_tensors)],
        "output_tensors": [*origin.get("output_tensors", source.output_tensors)],
        "placeholder_values": dict(origin.get("placeholder_values", {})),
        "own_layers": _own_layers(plan.network),
        "remarks": [*plan.remarks],
    }


def _own_layers(network: Network) -> dict[str, int]:
    """Number of layers that tf_keras does not have, by class."""
    import tf_keras

    kinds = Counter(layer.kind for layer in network.graph.layers.values())
    return {kind: count for kind, count in kinds.items() if not hasattr(tf_keras.layers, kind)}


def describe_source(checkpoint: Checkpoint, files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a report says of a checkpoint, and of its files with their hashes, as plain values."""
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
    return {**_describe_network(plan.network), **describe_load(plan, options, checkpoint, num_parameters)}


def describe_load(
    plan: ConversionPlan, options: LoadOptions, checkpoint: Checkpoint, num_parameters: int
) -> dict[str, Any]:
    """What a report says of where facts are from, and of what became of the checkpoint's variables, as plain values."""
    return {
        "imported": describe_import(plan),
        "input_shape_source": plan.input_shape_source.value,
        "decay_source": plan.decay_source.value,
        "published": asdict(plan.published) if plan.published else None,
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
        **_describe_network(network_of(model)),
        "use_ema": options.use_ema,
        "excluded": {"scopes": options.exclude},
    }


def _describe_network(network: Network) -> dict[str, Any]:
    return {
        **network.to_config(),
        "batch_norm": network.batch_norm(),
        "preprocessing_meaning": preprocessing_meaning(network),
        "labels_offset": network.labels_offset,
        "num_classes": network.num_classes,
        "drop_path_steps": network.drop_path_steps,
    }


def versions_of_all() -> dict[str, str]:
    """Versions of everything that takes part in a conversion."""
    import tensorflow as tf
    import tf_keras

    return {
        "slim2keras": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "tf_keras": tf_keras.__version__,
        "numpy": np.__version__,
    }
