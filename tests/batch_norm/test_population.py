"""Statistics of a population, from those of its parts."""

from __future__ import annotations

import numpy as np

from slim2keras.batch_norm.population import Population


def test_populations_join_in_any_order() -> None:
    """The variance of the whole is that of all rows, however it was cut."""
    random = np.random.RandomState(0)
    rows = random.normal(3.0, 2.0, (100, 4))
    parts = [Population(len(part), part.mean(0), part.var(0) * len(part)) for part in np.split(rows, [1, 30, 31])]
    for order in ([0, 1, 2, 3], [3, 0, 2, 1]):
        whole = parts[order[0]]
        for number in order[1:]:
            whole = whole.joined(parts[number])
        np.testing.assert_allclose(whole.variance(unbiased=False), rows.var(0), rtol=1e-12)
