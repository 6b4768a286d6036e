"""The decay of the moving statistics: what it leaves of the old ones, and which one fits a number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from slim2keras.errors import UnsupportedArgumentError

AUTO = "auto"
"""A decay that is picked when the number of steps is known."""

LARGEST_SHARE_LEFT = 0.1
"""Of the statistics that training started from; with more left, ``is_training=False`` is not the trained network."""

AUTO_SHARE_LEFT = 1e-4
"""What a decay that is picked leaves of the old statistics: it averages over the last tenth of the steps.

To forget the start is not enough: while the weights move, statistics of long ago are not theirs.
"""

SMALLEST_AUTO_DECAY = 0.9
"""Below it the moving statistics are little more than those of the last few batches."""


def check_decay(decay: float | str | None, *, auto: bool = False) -> None:
    """Refuse a decay that is no fraction.

    Args:
        decay: To check; ``None`` passes.
        auto: Whether ``"auto"`` passes too.

    Raises:
        UnsupportedArgumentError: If it is not from 0 to 1.
    """
    is_fraction = isinstance(decay, (int, float)) and 0.0 <= decay <= 1.0
    if decay is not None and not is_fraction and not (auto and decay == AUTO):
        choices = "from 0 to 1" + (', or "auto"' if auto else "")
        raise UnsupportedArgumentError(f"decay must be the fraction kept, {choices}. Received: decay={decay!r}")


def share_left(decay: float, steps: int) -> float:
    """What part of the moving statistics is still the value they started from."""
    return float(decay**steps)


def steps_for(decay: float) -> int:
    """Steps after which no more than ``LARGEST_SHARE_LEFT`` of the old statistics is left, for a decay below 1."""
    return math.ceil(math.log(LARGEST_SHARE_LEFT) / math.log(decay)) if 0.0 < decay < 1.0 else 1


@dataclass(frozen=True)
class SettledDecay:
    """What a decay ``"auto"`` became.

    Attributes:
        decay: The number.
        steps: Steps that it was picked for.
        slowest: The network's own decay, which none that is picked exceeds.
    """

    decay: float
    steps: int
    slowest: float


def decay_for(steps: int, slowest: float) -> float:
    """A decay that leaves 0.01 % of the old statistics after a number of steps.

    Args:
        steps: Steps planned.
        slowest: Decay not to be exceeded, the network's own.
    """
    return float(min(max(AUTO_SHARE_LEFT ** (1.0 / steps), SMALLEST_AUTO_DECAY), slowest))


def settle(before: SettledDecay | None, steps: int, decays: Iterable[float], moves: int = 1) -> SettledDecay:
    """What a decay ``"auto"`` becomes.

    Args:
        before: What it became in an earlier ``fit``.
        steps: Planned.
        decays: Of the layers whose statistics move.
        moves: Of the statistics in a step.
    """
    slowest = max(decays) if before is None else before.slowest
    return SettledDecay(decay_for(steps * moves, slowest), steps, slowest)
