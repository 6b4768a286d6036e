"""The ranges of what training for quantization does not round, and int8 does: images, averages, concatenations."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass

from slim2keras.deployment.placed_ranges import users_of
from slim2keras.deployment.trained_ranges import Range
from slim2keras.graphs.graph import Layer, LayerGraph

_ROUNDS_ANEW = ("AveragePooling2D", "GlobalAveragePooling2D", "Concatenate", "ReLU")
_CHANGES_SHAPE = ("Reshape", "Flatten", "Permute", "ZeroPadding2D", "Cropping2D")
_CHOOSES_VALUES = ("MaxPooling2D", "Dropout", "Identity", *_CHANGES_SHAPE)


@dataclass(frozen=True)
class RangesOfAll:
    """The range of every activation of a network.

    Attributes:
        known: By layer, of what leaves it.
        derived: Layers that round to a range that was not trained, and where it is from.
        unknown: Layers of whose output no range is known, and which are computed in float32.
    """

    known: Mapping[str, Range]
    derived: Mapping[str, str]
    unknown: tuple[str, ...]


def derive_ranges(graph: LayerGraph, trained: Mapping[str, Range], images: Range) -> RangesOfAll:
    """Find the range of what leaves every layer that leads to an output.

    An average lies in the range of what it is of; a concatenation has that of all its parts.

    Args:
        graph: Of the network, BatchNorm folded.
        trained: By the layer whose output it is of.
        images: Of the network's input.
    """
    known: dict[str, Range] = {}
    derived: dict[str, str] = {}
    unknown = []
    used, users = graph.layers_to(graph.outputs), users_of(graph)
    for layer in (layer for layer in graph.layers.values() if layer.name in used):
        found = trained.get(layer.name) or _derived(layer, known, images)
        if found is not None:
            known[layer.name] = found
        elif not _is_fused(layer, users, trained):
            unknown.append(layer.name)
        if found is not None and layer.name not in trained and not _chooses_values(layer):
            derived[layer.name] = _origin(layer)
    return RangesOfAll(known, derived, tuple(unknown))


def _derived(layer: Layer, known: Mapping[str, Range], images: Range) -> Range | None:
    if layer.kind == "InputLayer":
        return images
    given = [known.get(tensor.layer_name) for tensor in layer.inputs]
    parts = [item for item in given if item is not None]
    if not (layer.kind in _ROUNDS_ANEW or _chooses_values(layer)) or len(parts) < len(given):
        return None
    whole = functools.reduce(operator.or_, parts)
    if layer.kind == "ReLU":
        return Range(0.0, max(0.0, whole.high))
    return whole | Range(0.0, 0.0) if layer.kind == "ZeroPadding2D" else whole


def _chooses_values(layer: Layer) -> bool:
    """Whether every number that leaves a layer went into it, or is zero: nothing is to be rounded."""
    is_linear = layer.kind == "Activation" and layer.config.get("activation") == "linear"
    return is_linear or layer.kind in _CHOOSES_VALUES


def _is_fused(layer: Layer, users: Mapping[str, list[Layer]], trained: Mapping[str, Range]) -> bool:
    """Whether an activation follows that is computed with the layer, so that its own output is never rounded."""
    following = users.get(layer.name, [])
    return len(following) == 1 and following[0].kind in ("ReLU", "Activation") and following[0].name in trained


def _origin(layer: Layer) -> str:
    if layer.kind == "InputLayer":
        return "of the preprocessing"
    return "of all its parts" if layer.kind == "Concatenate" else "of what goes into it"
