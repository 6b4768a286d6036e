"""The head that VGG, AlexNet and OverFeat share: fully connected layers written as 1x1 convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.nets import arguments
from slim2keras.nets.registry import VariableShapes, classes_in

GlobalPool = Annotated[arguments.ShownSwitch, arguments.ChangesOnly("global_pool|.*/fc8")]


def classifier_head(
    x: Tensor,
    conv: Callable[..., Tensor],
    *,
    scope: str,
    num_classes: int | None,
    dropout_keep_prob: float,
    spatial_squeeze: bool,
    global_pool: bool,
) -> list[Tensor]:
    """Pool if asked, and classify unless ``num_classes`` is 0 or ``None``.

    Args:
        x: Output of ``fc7``.
        conv: Convolution with the network's arg scope.

    Returns:
        The logits or the features, as the one output.
    """
    ends = x.graph.end_points
    if global_pool:
        x = ends["global_pool"] = layers.global_avg_pool(x, name=f"{scope}/global_pool")
    if num_classes:
        x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/dropout7")
        x = conv(x, num_classes, 1, activation=None, name=f"{scope}/fc8")
        if spatial_squeeze:
            x = shapes.spatial_squeeze(x, name=f"{scope}/fc8/squeezed")
        ends[f"{scope}/fc8"] = x
    return [x]


def read_num_classes(variables: VariableShapes) -> Iterator[dict[str, Any]]:
    """The one argument of these networks that their variables tell."""
    yield {"num_classes": classes_in(variables, "fc8")}
