"""The modes of BatchNorm, a layer at a time: what normalises, what moves, whether gamma and beta get gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slim2keras.batch_norm.kernels import explicit_modes, move_statistics
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers

CHANNELS = 3
SHAPES = {2: (6, CHANNELS), 4: (4, 3, 5, CHANNELS), 5: (2, 3, 2, 3, CHANNELS)}


def model_with(rank: int, **options: Any) -> Any:
    import tf_keras

    inputs = tf_keras.Input(SHAPES[rank][1:])
    layer = tf_keras.layers.BatchNormalization(name="net/BatchNorm", momentum=0.9, **options)
    model = tf_keras.Model(inputs, layer(inputs))
    layer.moving_mean.assign([0.1, -0.2, 0.3])
    layer.moving_variance.assign([0.5, 1.5, 2.5])
    return model


def batch(rank: int) -> np.ndarray:
    return (3 * np.random.RandomState(0).standard_normal(SHAPES[rank]) + 1).astype("float32")


def normalised(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return (x - mean) / np.sqrt(variance + 1e-3)


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("mode", BatchNormMode)
def test_truth_table(rank: int, mode: BatchNormMode) -> None:
    """Each mode normalises with its statistics and moves none by itself; gamma and beta always get gradients."""
    import tensorflow as tf

    model, x = model_with(rank), batch(rank)
    (layer,) = batch_norm_layers(model)
    moving = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    axes = tuple(range(rank - 1))
    with tf.GradientTape() as tape, explicit_modes([layer], {layer.name: mode}) as seen:
        y = model(x, training=True)
    statistics = moving if mode is BatchNormMode.FROZEN else (x.mean(axes), x.var(axes))
    np.testing.assert_allclose(y.numpy(), normalised(x, *statistics), atol=2e-5)
    assert all(gradient is not None for gradient in tape.gradient(y, [layer.gamma, layer.beta]))
    assert len(seen) == (mode is BatchNormMode.UPDATE)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), moving[0])
    np.testing.assert_array_equal(layer.moving_variance.numpy(), moving[1])


@pytest.mark.parametrize("rank", SHAPES)
def test_the_batch_goes_into_the_moving_statistics_as_the_stock_layer_takes_it(rank: int) -> None:
    """Mode ``"update"`` ends in the output and the statistics of Keras' own training step."""
    ours, stock, x = model_with(rank), model_with(rank), batch(rank)
    (layer,) = batch_norm_layers(ours)
    with explicit_modes([layer], {layer.name: BatchNormMode.UPDATE}) as seen:
        y = ours(x, training=True)
    for item in seen:
        move_statistics(item.layer, item.mean, item.variance)
    np.testing.assert_array_equal(y.numpy(), stock(x, training=True).numpy())
    np.testing.assert_allclose(ours.layers[1].moving_mean.numpy(), stock.layers[1].moving_mean.numpy(), 1e-6, 1e-7)
    np.testing.assert_allclose(
        ours.layers[1].moving_variance.numpy(), stock.layers[1].moving_variance.numpy(), rtol=1e-6
    )


def test_the_unbiased_variance_is_taken_where_the_kernel_is_fused() -> None:
    """At rank 4 the moving variance gets the variance over N - 1."""
    model, x = model_with(4), batch(4)
    (layer,) = batch_norm_layers(model)
    with explicit_modes([layer], {layer.name: BatchNormMode.UPDATE}) as seen:
        model(x, training=True)
    np.testing.assert_allclose(seen[0].variance.numpy(), x.var((0, 1, 2), ddof=1), rtol=1e-5)


def test_outside_of_it_the_layer_is_the_stock_one() -> None:
    """Even after an error within, the layer trains as Keras has it."""
    model, x = model_with(4), batch(4)
    (layer,) = batch_norm_layers(model)
    with pytest.raises(ZeroDivisionError), explicit_modes([layer], {layer.name: BatchNormMode.BATCH}):
        raise ZeroDivisionError
    assert "call" not in vars(layer)
    before = layer.moving_mean.numpy()
    model(x, training=True)
    assert np.all(layer.moving_mean.numpy() != before)


@pytest.mark.parametrize("mode", BatchNormMode)
def test_at_inference_no_mode_changes_anything(mode: BatchNormMode) -> None:
    """Bit for bit the output of the stock layer, and no batch is seen."""
    model, x = model_with(4), batch(4)
    (layer,) = batch_norm_layers(model)
    stock = model(x, training=False).numpy()
    with explicit_modes([layer], {layer.name: mode}) as seen:
        np.testing.assert_array_equal(model(x, training=False).numpy(), stock)
    assert not seen


@pytest.mark.parametrize(("center", "scale"), [(True, False), (False, True), (False, False)])
def test_layers_without_gamma_or_beta(center: bool, scale: bool) -> None:
    """They normalise with the batch as the stock layer does, at every rank."""
    for rank in SHAPES:
        model, x = model_with(rank, center=center, scale=scale), batch(rank)
        (layer,) = batch_norm_layers(model)
        with explicit_modes([layer], {layer.name: BatchNormMode.BATCH}):
            y = model(x, training=True)
        np.testing.assert_array_equal(y.numpy(), model(x, training=True).numpy())
