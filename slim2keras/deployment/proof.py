"""The outputs of a file, as its runtime computes them, against those of the model that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

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

_SMALL = 1e-3
"""Of outputs that are no larger, a difference relative to 1 says little."""
_SHAKE = 2.0**-22
"""Relative to the largest of some values: a few times what float32 rounds."""
_ROUNDINGS = 32
"""Every layer rounds, and all of them together not more than so many times what changed images and weights do."""
_WEAK = 0.01

Images: TypeAlias = "NDArray[Any] | list[NDArray[Any]]"
"""(batch, height, width, channels), of every input where there are several."""
Runs = Callable[[Any], Sequence["NDArray[Any]"]]
"""Images to every output, in the order of the model."""


@dataclass(frozen=True)
class SmallOutputs:
    """An output that is nearly 0, as those of networks that were never trained are, compared by its own size.

    Attributes:
        largest: Value.
        difference: Relative to it.
        rounding: Relative to it, what float32 may do to the output: told by images and weights changed by as little.
    """

    largest: float
    difference: float
    rounding: float

    @property
    def beyond_rounding(self) -> float:
        """What float32 does not explain of the difference."""
        return max(0.0, self.difference - self.rounding)

    def describe(self) -> str:
        """In words."""
        if self.largest == 0:
            return "every value of an output is 0, so that nothing is proved of it"
        weak = ""
        if self.rounding > _WEAK:
            weak = f", of which float32 may do {self.rounding:.2g}, so that little is proved"
        largest, difference = f"{self.largest:.2g}", f"{self.difference:.2g}"
        return f"an output is nearly 0, {largest} at most; relative to that it differs by {difference}{weak}"


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
        small: The output that is nearly 0 and differs most for its size; ``None`` where none is.
    """

    runtime: str
    images: int
    of: str
    largest_difference: float
    agreement: float | None
    bar: float | None = LARGEST_DIFFERENCE
    remarks: Sequence[str] = field(default_factory=tuple)
    small: SmallOutputs | None = None

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
        if self.bar is not None and self.small is not None and self.small.beyond_rounding > _LARGEST_OF_ROUNDING:
            raise ParityError(
                f"{what} differs from the model when {self.runtime} runs it: {self.small.describe()}; at most "
                f"{_LARGEST_OF_ROUNDING:g} is allowed beyond what float32 rounds. Nothing was written.{advice}"
            )

    @property
    def all_remarks(self) -> Sequence[str]:
        """What must be known, a difference over the bar first, and then outputs that are nearly 0."""
        small = () if self.small is None else (f"{self.small.describe()}.",)
        if self.bar is None or self.largest_difference <= self.bar:
            return *small, *self.remarks
        over = (
            f"the difference is over {self.bar:g}. The network amplifies what float32 rounds: look whether the classes "
            "of your own images are the same (data; on the command line --data)."
        )
        return over, *small, *self.remarks

    def describe(self) -> str:
        """In a line."""
        same = "" if self.agreement is None else f", same class for {self.agreement:.1%}"
        on = f"{self.runtime}, {plural(self.images, 'image')} ({self.of})"
        return f"{on}: largest difference {self.largest_difference:.2g}{same}"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "remarks": list(self.all_remarks)}


def prove(  # noqa: PLR0913  what is compared, and how it is called
    ours: Runs,
    theirs: Runs,
    images: Images,
    *,
    runtime: str,
    of: str,
    bar: float | None = LARGEST_DIFFERENCE,
    shaken: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Proof:
    """Compare a file with the model that it was made of, on images as the network takes them.

    Args:
        ours: Runs the model.
        theirs: Runs the file, by its own runtime.
        images: An array; a list of arrays where there are several inputs.
        shaken: Within it the model has weights that are changed by what float32 rounds, see ``shake``.

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
    small = _small_outputs(given, found, partial(_shaken_outputs, ours, images, shaken))
    number = len(images[0] if isinstance(images, list) else images)
    return Proof(runtime, number, of, difference, _agreement(given[0], found[0]), bar, small=small)


def _small_outputs(
    given: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]], shaken_outputs: Callable[[], Sequence[NDArray[Any]]]
) -> SmallOutputs | None:
    """The output that differs most for its size, of those that are nearly 0."""
    sizes = [float(np.max(np.abs(item), initial=0.0)) for item in given]
    if min(sizes) > _SMALL:
        return None
    small = [
        SmallOutputs(size, _part(theirs, wanted, size), _rounding(moved, wanted, size))
        for size, wanted, theirs, moved in zip(sizes, given, found, shaken_outputs(), strict=True)
        if size <= _SMALL
    ]
    return max(small, key=lambda item: (item.beyond_rounding, item.difference, -item.largest))


def _shaken_outputs(
    ours: Runs, images: Images, shaken: Callable[[], AbstractContextManager[None]]
) -> Sequence[NDArray[Any]]:
    with shaken():
        return ours([*map(shake, images)] if isinstance(images, list) else shake(images))


def shake(values: NDArray[Any], *, each: bool = False) -> NDArray[Any]:
    """Values that are changed by a few times what float32 rounds; whole numbers are not rounded.

    Args:
        values: Any.
        each: Whether relative to each of them, of variances, where a small one would become negative; else to the
            largest of them.
    """
    if values.dtype.kind != "f":
        return values
    step = _SHAKE * (values if each else np.max(np.abs(values), initial=0.0))
    is_raised = np.random.RandomState(0).randint(0, 2, values.shape, dtype=bool)
    shaken: NDArray[Any] = np.where(is_raised, values + step, values - step).astype(values.dtype, copy=False)
    return shaken


def _rounding(moved: NDArray[Any], wanted: NDArray[Any], size: float) -> float:
    """What float32 may do to an output; where that is no number it excuses nothing."""
    part = _ROUNDINGS * _part(moved, wanted, size)
    return part if np.isfinite(part) else 0.0


def _part(found: NDArray[Any], wanted: NDArray[Any], size: float) -> float:
    """Largest difference, relative to a size; 0 where that is."""
    difference = float(np.max(np.abs(found.astype("float64") - wanted), initial=0.0))
    return difference / size if size else 0.0


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
