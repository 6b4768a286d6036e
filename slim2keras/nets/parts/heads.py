"""Parts of a classifier's head that several families share."""

from __future__ import annotations

from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Tensor


def reduced_kernel_size(x: Tensor, window: tuple[int, ...]) -> tuple[int, ...]:
    """``window``, or the whole feature map along each axis where that is known to be smaller.

    Source: research/slim/nets/inception_v3.py, ``_reduced_kernel_size_for_small_input``; i3d_utils.py,
    ``reduced_kernel_size_3d``.
    """
    sizes = [size for size in x.shape[:-1] if size is not None]
    if len(sizes) < len(window):
        return window
    return tuple(min(size, extent) for size, extent in zip(sizes, window, strict=True))


def whole_kernel_size(x: Tensor, *, name: str) -> tuple[int, ...]:
    """Window as large as the feature map.

    Raises:
        UnsupportedArgumentError: If a size is open: the weights of the layer ``name`` would have no shape.
    """
    sizes = tuple(size for size in x.shape[:-1] if size is not None)
    if len(sizes) < len(x.shape) - 1:
        shapes.refuse_open_size(x, name)
    return sizes


def name_logits(x: Tensor, end_point: str, *, spatial_squeeze: bool = False) -> Tensor:
    """Squeeze if asked, and give the output the name of its end point, so that losses can be given by that name."""
    squeeze_or_keep = shapes.spatial_squeeze if spatial_squeeze else layers.identity
    x = x.graph.end_points[end_point] = squeeze_or_keep(x, name=end_point)
    return x
