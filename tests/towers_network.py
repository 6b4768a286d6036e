"""A network of two inputs as an imported graph is: towers that share variables, odd names, loose ops and variables."""

from __future__ import annotations

from typing import Any

from slim2keras.graphs.graph import Layer, LayerGraph, Shape, Tensor, Variable
from slim2keras.graphs.network import GraphNetwork

SHAPE, CLASSES, CHANNELS = (6, 5, 3), 3, 4
ORIGIN = {"path": "towers.meta", "inputs": ["left:0", "right:0"]}

VARIABLES = (
    Variable("CNN1/conv_W", (3, 3, 3, CHANNELS)),
    Variable("CNN1/conv_b", (CHANNELS,)),
    Variable("unet/scale_3", (CHANNELS,)),
    Variable("tower/bn/beta", (CHANNELS,)),
    Variable("tower/bn/moving_mean", (CHANNELS,), trainable=False),
    Variable("tower/bn/moving_variance", (CHANNELS,), trainable=False),
    Variable("tower/prelu/alpha", (CHANNELS,)),
    Variable("unet/Variable_3", (1, CHANNELS)),
    Variable("head/weights", (CHANNELS, CLASSES)),
    Variable("head/biases", (CLASSES,)),
)


def constant(value: Any, dtype: str = "int32") -> dict[str, Any]:
    return {"dtype": dtype, "value": value}


def towers_network(decay: float = 0.9, output_op: str = "Identity") -> GraphNetwork:
    """The mean absolute difference of what one tower makes of two images, scaled, to logits."""
    graph = LayerGraph()
    left, right = (
        graph.add(Layer("InputLayer", side, {"input_shape": SHAPE}, ()), SHAPE) for side in ("left", "right")
    )
    first = _tower(graph, left, decay)
    second = _tower_again(graph, right)
    x = apply(graph, "difference", "Sub", [first, second])
    graph.end_points["distance"] = x = apply(graph, "distance", "Abs", [x])
    x = apply(graph, "mean", "Mean", [x], operands=(None, constant((1, 2))), attributes={"keep_dims": False})
    config = {"shape": (1, CHANNELS)}
    names = {"variable": "unet/Variable_3"}
    scale = _add(graph, "LooseVariable", "scale", config, [left], (CHANNELS,), VARIABLES[7:8], names)
    x = apply(graph, "scaled", "Mul", [x, scale])
    x = apply(graph, "halved", "Mul", [x], operands=(None, constant(0.5, "float32")))
    x = _add(graph, "Dense", "head", {"units": CLASSES}, [x], (CLASSES,), VARIABLES[8:])
    graph.outputs = [apply(graph, "output", output_op, [x])]
    return GraphNetwork("towers", graph, num_classes=CLASSES, origin=ORIGIN)


def apply(
    graph: LayerGraph,
    name: str,
    op: str,
    inputs: list[Tensor],
    *,
    operands: tuple[Any, ...] | None = None,
    attributes: dict[str, Any] | None = None,
) -> Tensor:
    config = {"op": op, "attributes": attributes or {}, "operands": operands or (None,) * len(inputs), "output": 0}
    return _add(graph, "TensorFlowOp", name, config, inputs, inputs[0].shape)


def _tower(graph: LayerGraph, x: Tensor, decay: float) -> Tensor:
    names = {"kernel": "CNN1/conv_W", "bias": "CNN1/conv_b"}
    config: dict[str, Any] = {"filters": CHANNELS, "kernel_size": (3, 3), "padding": "same"}
    x = _add(graph, "Conv2D", "tower/conv", config, [x], (*SHAPE[:-1], CHANNELS), VARIABLES[:2], names)
    config = {"momentum": decay, "epsilon": 0.001}
    x = _add(graph, "BatchNormalization", "tower/bn", config, [x], x.shape, VARIABLES[2:6], {"gamma": "unet/scale_3"})
    return _add(graph, "PReLU", "tower/prelu", {"shared_axes": (1, 2)}, [x], x.shape, VARIABLES[6:7])


def _tower_again(graph: LayerGraph, x: Tensor) -> Tensor:
    for owner in ("tower/conv", "tower/bn", "tower/prelu"):
        known = graph.layers[owner]
        x = graph.add(Layer(known.kind, f"{owner}_1", known.config, (x,), call_of=owner), (*SHAPE[:-1], CHANNELS))
    return x


def _add(
    graph: LayerGraph,
    kind: str,
    name: str,
    config: dict[str, Any],
    inputs: list[Tensor],
    shape: Shape,
    variables: tuple[Variable, ...] = (),
    names: dict[str, str] | None = None,
) -> Tensor:
    return graph.add(Layer(kind, name, config, tuple(inputs), variables, variable_names=names or {}), shape)
