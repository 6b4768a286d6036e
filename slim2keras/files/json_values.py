"""Numbers for JSON, which has no NaN and no infinity."""

from __future__ import annotations

import math


def finite_or_none(number: float | None) -> float | None:
    """The number, ``None`` in place of NaN and infinity."""
    return number if number is not None and math.isfinite(number) else None
