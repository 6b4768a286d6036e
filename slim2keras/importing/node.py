"""One op of a TensorFlow graph, and how its tensors are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Node:
    """An op of a graph, as it was read or as it was rewritten.

    Attributes:
        name: Of the op.
        op: Its type; one of ours where a pattern was recognised.
        inputs: Tensors that it takes, ``name`` or ``name:1``.
        controls: Nodes that run before it.
        attr: Attributes as protocol buffers.
        facts: What a pattern that was recognised is known to be.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    attr: Mapping[str, Any] = field(default_factory=dict)
    facts: Any = None

    def ints(self, name: str) -> tuple[int, ...]:
        """A list attribute, empty if it is not there."""
        return tuple(self.attr[name].list.i) if name in self.attr else ()

    def text(self, name: str, default: str = "") -> str:
        """A string attribute."""
        return self.attr[name].s.decode() if name in self.attr else default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean attribute."""
        return bool(self.attr[name].b) if name in self.attr else default

    def dtype(self, *names: str) -> str:
        """The first of some type attributes that is there, ``"float32"`` if none is."""
        import tensorflow as tf

        found = next((self.attr[name].type for name in names if name in self.attr), None)
        return "float32" if found is None else str(tf.as_dtype(found).base_dtype.name)

    def shape(self, index: int = 0) -> tuple[int | None, ...] | None:
        """Shape of an output where the graph says it, ``None`` where it does not."""
        # What a resource variable gives is a handle, a scalar.
        for name in ("_output_shapes", "output_shapes") if self.op != "VarHandleOp" else ():
            if name in self.attr:
                return self.shape_in(name, index)
        return _shape_of(self.attr["shape"].shape) if "shape" in self.attr else None

    def shape_in(self, name: str, index: int) -> tuple[int | None, ...] | None:
        """One of a list of shapes that is an attribute."""
        shapes = self.attr[name].list.shape if name in self.attr else ()
        return _shape_of(shapes[index]) if index < len(shapes) else None


def _shape_of(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if axis.size < 0 else int(axis.size) for axis in shape.dim)


def split_tensor(tensor: str) -> tuple[str, int]:
    """Name of the node and number of the output: ``("a", 1)`` of ``a:1``."""
    name, _, index = tensor.partition(":")
    return name, int(index) if index.isdecimal() else 0


def tensor_name(tensor: str) -> str:
    """As it is compared: ``a`` for ``a:0``."""
    name, index = split_tensor(tensor.lstrip("^"))
    return f"{name}:{index}" if index else name
