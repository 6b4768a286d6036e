"""The ranges that training for quantization left in a checkpoint.

tf.contrib.quantize folds BatchNorm into the weights, and lets every rounding learn the smallest and the largest value
that it keeps. Its variables are named after the scope of the op that computes, in which slim repeats the root now and
then, and after what is rounded: ``MobilenetV1/MobilenetV1/Conv2d_0/act_quant/min``.

Source: tensorflow/contrib/quantize/python of TensorFlow 1.15: quantize.py, ``Quantize``; quant_ops.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slim2keras.checkpoints.reading import Checkpoint, GraphVariables
from slim2keras.errors import CheckpointMismatchError, UnsupportedGraphError
from slim2keras.files.reports import plural
from slim2keras.importing.nodes import FAKE_QUANTIZED, Nodes
from slim2keras.scopes import VariableKind

if TYPE_CHECKING:
    from slim2keras.importing.sources import GraphSource

_END = re.compile(r"(?P<quantizer>.*_quant(?:_\d+)?)/(?P<end>min|max)")
_STEPS = "local_step"
"""Of a zero-debiased moving average: how often it was updated."""
_STEPS_OF_ACTIVATION = 255
_FAKE_QUANT = "FakeQuantWithMinMaxVars"
_BITS = 8
_WITHOUT = "To quantize without them write a .keras file, and of that one int8 with --data."
_SHOWN = 10


@dataclass(frozen=True)
class Range:
    """Smallest and largest value that rounding keeps."""

    low: float
    high: float

    @property
    def step(self) -> float:
        """Of an activation that is rounded to 256 values in it."""
        return (self.high - self.low) / _STEPS_OF_ACTIVATION

    def __or__(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


def read_ranges(checkpoint: Checkpoint) -> dict[str, Range]:
    """The ranges in a checkpoint or a frozen graph, by the name of what rounds: ``MobilenetV2/Conv/weights_quant``.

    Raises:
        CheckpointMismatchError: If one lacks an end, is none, or was never trained.
        UnsupportedGraphError: If a frozen graph rounds to other numbers than those of 8 bits, or by other ops than
            training with one range a layer has.
    """
    if isinstance(checkpoint, GraphVariables) and checkpoint.source.checkpoint is None:
        return _frozen_ranges(checkpoint.source)
    names = checkpoint.names(VariableKind.QUANTIZATION)
    ends: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _END.fullmatch(name):
            ends.setdefault(match["quantizer"], {})[match["end"]] = name
    found = {quantizer: _range(checkpoint, its_ends) for quantizer, its_ends in ends.items()}
    problems = [f"{name}: {what}" for name, what in found.items() if isinstance(what, str)]
    problems += [f"{name}: 0 updates" for name in names if name.endswith(f"/{_STEPS}") and not checkpoint[name].any()]
    if problems:
        raise CheckpointMismatchError(
            f"{plural(len(problems), 'range')} of quantization-aware training in {checkpoint.given} cannot be used:\n"
            + listed(problems)
            + f"\nTrain further. {_WITHOUT}"
        )
    return {name: item for name, item in found.items() if isinstance(item, Range)}


def listed(problems: Iterable[str]) -> str:
    """One a line, the first few of many."""
    lines = [f"  {problem}" for problem in problems]
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def _frozen_ranges(source: GraphSource) -> dict[str, Range]:
    """By the scopes of FakeQuant ops whose ends are constants."""
    nodes = Nodes(source.graph)
    rounding = [node for node in nodes.by_name.values() if node.op == _FAKE_QUANT]
    strange = [
        f"{node.op}, {node.name}" for node in nodes.by_name.values() if node.op in FAKE_QUANTIZED - {_FAKE_QUANT}
    ]
    if strange:
        raise UnsupportedGraphError(
            f"{plural(len(strange), 'op')} of {source.path} round by ranges that are none of a whole layer's:\n"
            + listed(strange)
            + f"\n{_WITHOUT}"
        )
    others = [node.name for node in rounding if "num_bits" in node.attr and node.attr["num_bits"].i != _BITS]
    if others:
        raise UnsupportedGraphError(
            f"{plural(len(others), 'FakeQuant op')} of {source.path} round to other than {_BITS} bits, which int8 is:\n"
            + listed(others)
        )
    ends = {node.name.rpartition("/")[0]: [nodes.scalar(tensor) for tensor in node.inputs[1:]] for node in rounding}
    return {
        quantizer: Range(low, high) for quantizer, (low, high) in ends.items() if low is not None and high is not None
    }


def _range(checkpoint: Checkpoint, ends: Mapping[str, str]) -> Range | str:
    """A range, or what is wrong with it."""
    if len(ends) < 2:
        return f"it has a {next(iter(ends))} alone"
    low, high = checkpoint[ends["min"]], checkpoint[ends["max"]]
    if low.shape or high.shape:
        return f"one number is wanted, and it has {max(low.size, high.size)}"
    # Of one value alone, but zero, TensorFlow's own rounding makes NaN.
    is_range = low < high or (low == 0 and high == 0)
    if not (np.isfinite(low) and np.isfinite(high) and is_range):
        return f"from {low:g} to {high:g}"
    return Range(float(low), float(high))
