"""A part of the images kept back: stratified, seeded, complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slim2keras.data.examples import Examples
from slim2keras.data.sources import ImageArrays
from slim2keras.data.splits import split_examples
from slim2keras.errors import DataReadError, UnsupportedArgumentError


def listed(labels: list[int] | None, count: int = 0) -> Examples:
    count = count or len(labels or [])
    source = ImageArrays(Path("data.npz"), np.zeros((count, 1, 1, 1), "uint8"), np.arange(count))
    return Examples(source, None if labels is None else np.array(labels, np.int64), tuple("abcdef"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=200),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
    st.integers(0, 99),
)
def test_each_class_gives_its_part(labels: list[int], fraction: float, seed: int, other_seed: int) -> None:
    """Every image is in one of the two; of each class round(fraction * n), at least one of two, and one stays."""
    if max(np.bincount(labels)) < 2:
        return
    training, kept_back = split_examples(listed(labels), fraction, seed)
    assert sorted([*training.source.rows, *kept_back.source.rows]) == [*range(len(labels))]
    assert [*kept_back.source.rows] == sorted(kept_back.source.rows)
    for number, count in enumerate(np.bincount(labels)):
        expected = 0 if count < 2 else min(max(round(fraction * count), 1), count - 1)
        assert kept_back.class_counts()[number] == expected
    again = split_examples(listed(labels), fraction, seed)[1]
    np.testing.assert_array_equal(again.source.rows, kept_back.source.rows)


def test_the_seed_chooses() -> None:
    """Another seed keeps others back."""
    rows = {tuple(split_examples(listed([0, 1] * 20), 0.2, seed)[1].source.rows) for seed in range(5)}
    assert len(rows) == 5


def test_images_without_labels_are_split_too() -> None:
    """As one class."""
    training, kept_back = split_examples(listed(None, 10), 0.3, 1)
    assert (len(training), len(kept_back)) == (7, 3)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_that_leaves_nothing(fraction: float) -> None:
    """No part is kept back of nothing, or nothing of all."""
    with pytest.raises(UnsupportedArgumentError, match="between 0 and 1"):
        split_examples(listed([0, 0, 1, 1]), fraction)


def test_too_few_images() -> None:
    """One of each class cannot be in both parts."""
    with pytest.raises(DataReadError, match="3 images cannot be split: no class has two"):
        split_examples(listed([0, 1, 2]), 0.5)
