"""How much of the old statistics a decay leaves."""

from __future__ import annotations

import pytest

from slim2keras.batch_norm.decay import decay_for, share_left, steps_for


def test_how_much_of_the_old_statistics_is_left() -> None:
    """Shares, steps and decays agree with each other, within the decays that are allowed."""
    assert share_left(0.9997, 500) == pytest.approx(0.86, abs=0.001)
    assert share_left(0.9, steps_for(0.9)) <= 0.1 < share_left(0.9, steps_for(0.9) - 1)
    assert share_left(decay_for(500, slowest=0.9997), 500) == pytest.approx(1e-4)
    assert decay_for(5, slowest=0.9997) == 0.9
    assert decay_for(100_000, slowest=0.997) == 0.997
