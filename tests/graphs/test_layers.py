"""Layers that Keras has otherwise than slim compute what slim's do."""

from __future__ import annotations

import numpy as np
import pytest

from slim2keras.graphs import activations, layers
from slim2keras.graphs.layers import BatchNorm
from slim2keras.models.building import model_of
from slim2keras.models.variables import slim_variables
from tests.reference import images


@pytest.mark.parametrize(
    ("shape", "fused", "unbiased"),
    [((6,), True, True), ((4, 5, 6), True, True), ((3, 4, 5, 6), True, True), ((3, 4, 5, 6), False, False)],
)
def test_the_moving_variance_takes_in_what_slims_does(shape: tuple[int, ...], fused: bool, unbiased: bool) -> None:
    """slim's fused kernel is unbiased at every rank; ``fused=False`` is biased. tf_keras decides by rank alone."""
    x = layers.inputs(shape)
    x.graph.outputs = [layers.batch_norm(x, BatchNorm(decay=0.9, fused=fused), name="scope/BatchNorm")]
    model = model_of(x.graph, "normalised")
    batch = images(0, (7, *shape))
    output = model(batch, training=True).numpy()
    values = batch.astype("float64").reshape(-1, 6)
    variance = values.var(axis=0, ddof=1 if unbiased else 0)
    moved = slim_variables(model)["scope/BatchNorm/moving_variance"].numpy()
    np.testing.assert_allclose(moved, 0.9 + 0.1 * variance, rtol=1e-6)
    assert output.shape == batch.shape
    # slim normalises with the biased variance in any case.
    normalised = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + 0.001)
    np.testing.assert_allclose(output.reshape(-1, 6), normalised, atol=1e-5)


def test_clipping_to_6_is_what_tensorflow_clips() -> None:
    """Below, within and above the bounds."""
    x = layers.inputs((4,))
    x.graph.outputs = [activations.clip_to_6(x, name="clip_by_value")]
    batch = np.float32([[-7, -6, -0.1, 0], [0.3, 5.999, 6, 1e9]])
    np.testing.assert_array_equal(model_of(x.graph, "clipped")(batch).numpy(), np.clip(batch, -6, 6))
