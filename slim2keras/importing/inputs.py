"""The images that a graph takes: where, and of which shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.graph import Layer, Shape
from slim2keras.importing.node import Node, split_tensor
from slim2keras.importing.nodes import Nodes
from slim2keras.importing.sizes import BATCH, Size, open_size
from slim2keras.importing.translation import Activation, Translation

_KERNELS = {"Conv2D": -2, "Conv3D": -2, "DepthwiseConv2dNative": -2, "MatMul": 0, "SeparableConv2D": -2}
"""Layers with weights, with the axis of the weights that is the channels of what they take."""


@dataclass(frozen=True)
class Input:
    """Images that a graph takes.

    Attributes:
        tensor: In the graph.
        shape: (height, width, channels), sizes ``None`` where open.
        batch: Number of images that the graph was made for, ``None`` where it is open.
    """

    tensor: str
    shape: Shape
    batch: int | None

    def add_to(self, translation: Translation) -> None:
        """Make it an input of the layer graph."""
        name = translation.free_name(split_tensor(self.tensor)[0])
        tensor = translation.graph.add(Layer("InputLayer", name, {"input_shape": self.shape}, ()), self.shape)
        sizes: list[Size] = [open_size(name, axis) if size is None else size for axis, size in enumerate(self.shape)]
        translation.set_value(self.tensor, Activation(tensor, (open_size(*BATCH), *sizes)))


def describe_inputs(
    nodes: Nodes, used: Iterable[Node], tensors: Sequence[str], input_shape: Shape | None
) -> list[Input]:
    """The inputs with their shapes.

    Args:
        input_shape: That the user gives, of the first.

    Raises:
        UnsupportedGraphError: If the graph does not tell a shape, or another one than the user.
    """
    used = list(used)
    given = [input_shape if position == 0 else None for position in range(len(tensors))]
    return [_described(nodes, used, nodes.source(item), shape) for item, shape in zip(tensors, given, strict=True)]


def _described(nodes: Nodes, used: list[Node], tensor: str, given: Shape | None) -> Input:
    shape = _shape_of(nodes, tensor)
    if shape is None and given is None:
        raise UnsupportedGraphError(
            f"The graph does not tell the shape of the input {tensor}: give it, input_shape=(H, W, C) (command line: "
            "--input-shape H,W,C). If it is no image but a number, give its value, "
            f"placeholder_values={{{tensor!r}: 1.0}} (command line: --placeholder {tensor}=1.0)."
        )
    batch, *sizes = shape if shape is not None else (None, *(given or ()))
    sizes = _with_channels(nodes, used, tensor, sizes)
    if given is not None:
        _check_given(tensor, tuple(sizes), given)
        sizes = list(given)
    return Input(tensor, tuple(sizes), batch)


def _check_given(tensor: str, shape: Shape, given: Shape) -> None:
    if len(shape) != len(given) or any(one not in (None, other) for one, other in zip(shape, given, strict=True)):
        raise UnsupportedGraphError(
            f"The graph takes {tensor} of shape {shape}, and input_shape={given} is another one. Leave it out, or "
            "name the tensor that takes such images: input_tensors=[...] (command line: --input-tensor NAME)."
        )


def _shape_of(nodes: Nodes, tensor: str) -> Shape | None:
    """Shape with the batch, ``None`` if nothing is known."""
    name, index = split_tensor(tensor)
    node = nodes.by_name[name]
    shape = node.shape(index)
    if shape is None and node.op.startswith("QueueDequeue") and (queue := nodes.node(node.inputs[0])) is not None:
        shape = queue.shape_in("shapes", index)
        # A queue of examples gives several at once.
        return (None, *shape) if shape is not None and ("Many" in node.op or "UpTo" in node.op) else shape
    # In TensorFlow 0.12 an empty shape is one that is not known.
    return shape or None


def _with_channels(nodes: Nodes, used: list[Node], tensor: str, sizes: Sequence[int | None]) -> list[int | None]:
    """Sizes with the channels that the first weights want where the graph leaves them open."""
    if not sizes or sizes[-1] is not None:
        return list(sizes)
    for node in nodes.consumers(used).get(tensor, ()):
        shape = nodes.shape_of_weight(node.inputs[1]) if node.op in _KERNELS and len(node.inputs) > 1 else None
        if shape is not None:
            return [*sizes[:-1], shape[_KERNELS[node.op]]]
    raise UnsupportedGraphError(
        f"The graph does not tell the channels of the input {tensor}: give input_shape=(H, W, C) (command line: "
        "--input-shape H,W,C)."
    )
