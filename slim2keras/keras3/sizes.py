"""Sizes that a graph computes of shapes, as plain numbers: JAX compiles no network whose shapes are tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.keras3.shape_ops import strided_index

_Plain = Callable[..., Any]


def _of_numbers(function: Callable[..., Any]) -> _Plain:
    return lambda _, *operands: np.asarray(function(*operands))


def _reduced(function: Callable[..., Any]) -> _Plain:
    return lambda attributes, x, axes: np.asarray(
        function(x, axis=tuple(np.atleast_1d(axes)), keepdims=bool(attributes.get("keep_dims")))
    )


OF_NUMBERS: Mapping[str, _Plain] = {
    **dict.fromkeys(("Add", "AddV2"), _of_numbers(np.add)),
    "Cast": lambda attributes, x: x.astype(attributes["DstT"]),
    "Ceil": _of_numbers(np.ceil),
    "ConcatV2": lambda _, *operands: np.concatenate(operands[:-1], int(operands[-1])),
    "ExpandDims": lambda _, x, axis: np.expand_dims(x, int(axis)),
    "Floor": _of_numbers(np.floor),
    "FloorDiv": _of_numbers(np.floor_divide),
    "FloorMod": _of_numbers(np.mod),
    "GatherV2": lambda _, x, indices, axis: np.asarray(np.take(x, indices, int(axis))),
    "Identity": _of_numbers(np.asarray),
    "Max": _reduced(np.max),
    "Maximum": _of_numbers(np.maximum),
    "Min": _reduced(np.min),
    "Minimum": _of_numbers(np.minimum),
    "Mul": _of_numbers(np.multiply),
    "Neg": _of_numbers(np.negative),
    "Pack": lambda attributes, *operands: np.stack(operands, attributes.get("axis", 0)),
    "Prod": _reduced(np.prod),
    "RealDiv": _of_numbers(np.true_divide),
    "Reshape": lambda _, x, shape: np.reshape(x, shape.tolist()),
    "Slice": lambda _, x, begin, size: x[int(begin[0]) :][: int(size[0]) if size[0] >= 0 else None],
    "Squeeze": lambda attributes, x: np.squeeze(x, tuple(attributes.get("axis") or ()) or None),
    "StridedSlice": lambda attributes, x, *bounds: np.asarray(x[strided_index(attributes, *bounds)]),
    "Sub": _of_numbers(np.subtract),
    "Sum": _reduced(np.sum),
}
"""Ops on NumPy arrays, called as those of ``op_table``."""


class ComputedSizes:
    """Which layers of a graph compute sizes alone, and the ops that take them with all that leads to them."""

    def __init__(self, graph: LayerGraph) -> None:
        self._graph = graph
        self._found: dict[str, bool] = {}
        for layer in graph.layers.values():
            self._found[layer.name] = self._gives_sizes(layer)

    def _gives_sizes(self, layer: Layer) -> bool:
        if layer.kind != "TensorFlowOp" or layer.config["op"] not in {"Shape", *OF_NUMBERS}:
            return False
        return layer.config["op"] == "Shape" or all(self._found[item.layer_name] for item in layer.inputs)

    def are_given_by(self, layer: Layer) -> bool:
        """Whether a layer computes sizes of shapes, and nothing of images."""
        return self._found[layer.name]

    def within(self, layer: Layer) -> tuple[dict[str, Any], list[str]]:
        """Configuration of an op with the ops of its sizes among the operands, and the layers that it is called on."""
        operands: list[Any] = []
        called_on: list[str] = []
        inputs = iter(layer.inputs)
        for given in layer.config["operands"]:
            source = self._graph.layers[next(inputs).layer_name] if given is None else None
            operand, leaves = given, [] if source is None else [source.name]
            if source is not None and self._found[source.name]:
                operand, leaves = self.within(source)
            operands.append(operand)
            called_on += leaves
        return {**layer.config, "operands": operands}, called_on
