"""What a TFLite file computes with: its operators, and which of them a quantized file still computes in float32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
"""Operators between numbers of two kinds: at the ends of a file, and around what stays in float32."""


def operators(file: Path) -> Mapping[str, int]:
    """How many there are of each, by the names of TFLite: ``{"CONV_2D": 14, ...}``."""
    return Counter(name for name, _ in _operators(file))


def float_operators(file: Path) -> Mapping[str, int]:
    """The same of those that take or give float32."""
    return Counter(name for name, is_float in _operators(file) if is_float and name not in _CONVERSIONS)


def _operators(file: Path) -> Iterator[tuple[str, bool]]:
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = schema.Model.GetRootAs(file.read_bytes())
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        # A code of less than 127 may stand in the field of old alone.
        yield names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())], _is_float(graph, operator)


def _is_float(graph: Any, operator: Any) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    ends = [*operator.InputsAsNumpy(), *operator.OutputsAsNumpy()]
    # An input that is left out has the number -1.
    return any(graph.Tensors(number).Type() == schema.TensorType.FLOAT32 for number in ends if number >= 0)
