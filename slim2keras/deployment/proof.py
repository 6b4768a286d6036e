"""The outputs of a file, as its runtime computes them, against those of the model that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import ParityError
from slim2keras.files.reports import plural
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.pipelines import PIPELINES

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_DIFFERENCE = 1e-5
"""Of a file that computes in float32, relative to the largest value of an output, or to 1 if that is larger."""

_LARGEST_OF_ROUNDING = 1e-4
"""Networks that amplify rounding are that far from themselves in float64: beyond it a file computes something else."""

Runs = Callable[["NDArray[Any]"], Sequence["NDArray[Any]"]]
"""Images, (batch, height, width, channels), to every output, in the order of the model."""


@dataclass(frozen=True)
class Proof:
    """How near a file's outputs, computed by its own runtime, are to the model's.

    Attributes:
        runtime: That read the file and computed, with its version: ``"onnxruntime 1.32.0"``.
        images: How many.
        of: What they are: noise, or where they are from.
        largest_difference: Between outputs, relative to the largest value of each, or to 1 if that is larger.
        agreement: Part of the images with the same class; ``None`` where there are no classes.
        bar: That the difference shall be within; ``None`` of a quantized file, which has none.
        remarks: What else must be known, for people.
    """

    runtime: str
    images: int
    of: str
    largest_difference: float
    agreement: float | None
    bar: float | None = LARGEST_DIFFERENCE
    remarks: Sequence[str] = field(default_factory=tuple)

    def check(self, what: str, advice: str = "") -> None:
        """Refuse a file that computes something else.

        Args:
            what: Differs, for the message.
            advice: Its last sentence.

        Raises:
            ParityError: If the difference is no number, or over the bar by more than rounding can be.
        """
        most = np.finfo("float64").max if self.bar is None else _LARGEST_OF_ROUNDING
        if not self.largest_difference <= most:
            allowed = "numbers are wanted" if self.bar is None else f"at most {most:g} is allowed"
            raise ParityError(
                f"{what} differs from the model by {self.largest_difference:.3g} when {self.runtime} runs it; "
                f"{allowed}. Nothing was written.{advice}"
            )

    @property
    def all_remarks(self) -> Sequence[str]:
        """What must be known, a difference over the bar first."""
        if self.bar is None or self.largest_difference <= self.bar:
            return self.remarks
        over = (
            f"the difference is over {self.bar:g}. The network amplifies what float32 rounds: look whether the classes "
            "of your own images are the same (data; on the command line --data)."
        )
        return over, *self.remarks

    def describe(self) -> str:
        """In a line."""
        same = "" if self.agreement is None else f", same class for {self.agreement:.1%}"
        on = f"{self.runtime}, {plural(self.images, 'image')} ({self.of})"
        return f"{on}: largest difference {self.largest_difference:.2g}{same}"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "remarks": list(self.all_remarks)}


def prove(
    ours: Runs, theirs: Runs, images: NDArray[Any], *, runtime: str, of: str, bar: float | None = LARGEST_DIFFERENCE
) -> Proof:
    """Compare a file with the model that it was made of, on images as the network takes them.

    Args:
        ours: Runs the model.
        theirs: Runs the file, by its own runtime.

    Raises:
        ParityError: If outputs are missing, or the model's own are no numbers, with which none can be compared.
    """
    given, found = ours(images), theirs(images)
    if [item.shape for item in given] != [item.shape for item in found]:
        shapes = ([tuple(item.shape) for item in outputs] for outputs in (given, found))
        raise ParityError("{1} are the outputs of the file, and {0} those of the model.".format(*shapes))
    if not all(np.isfinite(item).all() for item in given):
        raise ParityError(
            f"The model itself gives NaN or infinite values of the images ({of}), with which no file can be compared. "
            "Nothing was written."
        )
    difference = max(map(relative_difference, found, given))
    return Proof(runtime, len(images), of, difference, _agreement(given[0], found[0]), bar)


def relative_difference(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Largest difference, relative to the largest value, or to 1 if that is larger; infinite where one is NaN."""
    largest = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    difference = float(np.max(np.abs(found.astype("float64") - wanted), initial=0.0)) / largest
    return difference if np.isfinite(difference) else float("inf")


def _agreement(given: NDArray[Any], found: NDArray[Any]) -> float | None:
    classes = given.shape[-1]
    if classes < 2 or given.size != len(given) * classes:
        return None
    return float((given.reshape(-1, classes).argmax(1) == found.reshape(-1, classes).argmax(1)).mean())


def noise(network: Network, images: int = 4, seed: int = 0, sizes: Mapping[int, int] | None = None) -> NDArray[Any]:
    """Images of smooth noise with the range of values that a network wants, float32, (images, height, width, channels).

    Args:
        sizes: Of axes that are open, by their number; the usual ones if left out.
    """
    random = np.random.RandomState(seed)
    pipeline = PIPELINES.get(network.preprocessing)
    low, high = (pipeline.value_range if pipeline is not None else None) or (-1.0, 1.0)
    shape = [
        (sizes or {}).get(axis, _OPEN_SIZE) if size is None else size for axis, size in enumerate(network.usual_shape)
    ]
    coarse = random.uniform(low, high, (images, *[-(-size // _GRAIN) for size in shape[:-1]], shape[-1]))
    for axis, size in enumerate(shape[:-1], start=1):
        coarse = np.repeat(coarse, _GRAIN, axis).take(range(size), axis)
    fine = random.uniform(low, high, (images, *shape))
    return (0.75 * coarse + 0.25 * fine).astype("float32")


_GRAIN = 8
"""Pixels: noise without any structure is the same image to most networks."""
_OPEN_SIZE = 224
