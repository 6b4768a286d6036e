"""Whether batches hold a mix of classes."""

from __future__ import annotations

import numpy as np
import pytest

from slim2keras.batch_norm.batches import are_mixed


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([[0, 1, 2, 0], [2, 1, 0, 1]], True),
        ([[0] * 20, [1] * 20], False),
        ([[0] * 20], True),
        ([[3] * 20, [3] * 20], True),
        ([], True),
        ([[0] * 12 + [1] * 8, [0] * 8 + [1] * 12], True),
    ],
)
def test_when_classes_are_mixed(classes: list[list[int]], expected: bool) -> None:
    """What chance gives is mixed; one class a batch is not; one batch or one class cannot be told."""
    assert are_mixed([np.array(batch) for batch in classes]) is expected


def test_shuffled_classes_are_mixed_whatever_their_number() -> None:
    """No false alarm over a hundred shuffles, of two classes and of five hundred."""
    for seed in range(100):
        random = np.random.RandomState(seed)
        for count in (2, 10, 500):
            assert are_mixed([random.randint(0, count, 32) for _ in range(2 + seed % 7)])
