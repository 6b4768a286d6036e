"""How slim's networks stop striding: ``output_stride``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class OutputStride:
    """Dilate instead of striding once the feature map is ``target`` times smaller than the images.

    Attributes:
        target: ``None`` to stride on.
        current: How many times smaller it is so far.
        next_rate: Dilation of the convolutions to come once the target is reached.

    Source: research/slim/nets/resnet_utils.py, ``stack_blocks_dense``; mobilenet_v1.py, ``mobilenet_v1_base``.
    """

    target: int | None
    current: int = 1
    next_rate: int = 1

    def pass_through(self, stride: int) -> tuple[int, int]:
        """Stride and rate that a layer of nominal ``stride`` gets."""
        if self.current == self.target:
            rate = self.next_rate
            self.next_rate *= stride
            return 1, rate
        self.current *= stride
        return stride, 1
