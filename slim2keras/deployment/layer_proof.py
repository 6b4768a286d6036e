"""An int8 file, layer by layer: what its runtime makes of what goes into each layer, against TensorFlow's arithmetic.

Kernels round a tie, or what is next to one, the other way now and then, and what a deep network makes of that is its
own affair. From the same inputs no layer may be off by more than one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.deployment.fake_quantized import FakeQuantized
from slim2keras.errors import ParityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR = 1.01
"""Steps: one, and what float32 adds to it."""
_SAME = 0.5


@dataclass(frozen=True)
class LayerProof:
    """How far the layers of an int8 file are from TensorFlow's arithmetic, each of what the file gave it.

    Attributes:
        layers: That were compared.
        rounded: That round what leaves them.
        largest: Difference, in steps of the layer's output.
        worst: The layer that has it.
        same: Part of the numbers that are the same.
    """

    layers: int
    rounded: int
    largest: float
    worst: str
    same: float

    def check(self) -> None:
        """Refuse a file of which a layer computes something else.

        Raises:
            ParityError: If one is off by more than a step or by no number, or hardly any could be looked at.
        """
        if not self.largest <= NEAR or self.layers * 2 < self.rounded:
            raise ParityError(f"The int8 file is not what was to be written: {self.describe()}. Nothing was kept.")

    def describe(self) -> str:
        """In words."""
        return (
            f"{self.layers} of {self.rounded} layers looked at, each of what the file gave it: {self.same:.2%} of the "
            f"numbers are the same, the largest difference is {self.largest:.3g} steps ({self.worst})"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def prove_layers(
    network: FakeQuantized, images: NDArray[Any], tensors: Iterable[tuple[str, float, NDArray[np.float32]]]
) -> LayerProof:
    """Compare every layer that rounds.

    Args:
        network: As int8 computes it.
        images: Few.
        tensors: Of the file, of these images, see ``tflite_runtime.activations``.
    """
    seen = _by_layer(network, images, tensors)
    off = {
        name: np.abs(np.asarray(computed) - seen[name]) / network.rounded[name].step
        for name, computed in network.activations(images, seen)
        if name in seen
    }
    worst = max(off, key=lambda name: float(off[name].max()), default="")
    same = sum(int((steps < _SAME).sum()) for steps in off.values()) / max(1, sum(map(np.size, off.values())))
    largest = float(off[worst].max()) if off else 0.0
    return LayerProof(len(off), len(network.rounded), largest, worst, same)


def _by_layer(
    network: FakeQuantized, images: NDArray[Any], tensors: Iterable[tuple[str, float, NDArray[np.float32]]]
) -> Mapping[str, NDArray[np.float32]]:
    """What leaves layers in a file: the tensor that is named after one, and has its shape and its step."""
    shapes = {name: tuple(computed.shape) for name, computed in network.activations(images)}
    found = {}
    for tensor, step, values in tensors:
        scopes = _scopes(tensor)
        name = next((scope for scope in scopes if scope in network.rounded), None)
        if name and values.shape == shapes[name] and np.isclose(step, network.rounded[name].step, rtol=1e-5):
            found[name] = values
    return found


def _scopes(tensor: str) -> list[str]:
    """The scopes that the first op of a tensor's name lies in, from the innermost."""
    parts = tensor.partition(";")[0].split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
