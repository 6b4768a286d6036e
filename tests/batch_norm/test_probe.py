"""What a sweep measures is what NumPy computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slim2keras.batch_norm.probe import BatchNormProbe
from slim2keras.doctor.recalibration import recalibrate


def one_layer(*, fused: bool = True, offset: float = 0.0) -> tuple[Any, np.ndarray]:
    """A model whose BatchNorm gets the images as they are."""
    import tf_keras

    inputs = tf_keras.Input((5, 7, 3))
    norm = tf_keras.layers.BatchNormalization(name="norm", fused=fused)
    model = tf_keras.Model(inputs, tf_keras.layers.GlobalAveragePooling2D()(norm(inputs)))
    random = np.random.RandomState(3)
    return model, (random.normal(offset, random.uniform(0.1, 5.0, 3), (50, 5, 7, 3))).astype("float32")


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("batch", [1, 7, 50])
@pytest.mark.parametrize("fused", [True, False])
def test_population_statistics_are_those_of_numpy(fused: bool, batch: int, offset: float) -> None:
    """Uneven batches and means far off the origin included."""
    model, data = one_layer(fused=fused, offset=offset)
    cut = [data[start : start + batch] for start in range(0, len(data), batch)]
    population = BatchNormProbe(model).measure(cut).populations["norm"]
    rows = data.reshape(-1, 3).astype("float64")
    assert population.count == len(rows)
    np.testing.assert_allclose(population.mean, rows.mean(0), rtol=1e-6, atol=1e-9)
    for unbiased in (True, False):
        np.testing.assert_allclose(population.variance(unbiased=unbiased), rows.var(0, ddof=int(unbiased)), rtol=1e-6)
    recalibrate(model, cut)
    norm = model.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean, rows.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, rows.var(0, ddof=int(fused)), rtol=1e-6)
