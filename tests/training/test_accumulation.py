"""Gradients of micro-batches, averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.batch_norm.kernels import explicit_modes, move_statistics
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.errors import NonFiniteLossError, TrainingDataError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.variables import slim_variables
from slim2keras.optimizers import Momentum
from tests.parity.training_runs import NETS, build_ours
from tests.reference import images
from tests.training.tuned import X, Y, tuned_model, values


def loss_of(tuned: Any, x: Any, y: Any) -> tf.Tensor:
    outputs = tf.nest.flatten(tuned(x, training=True))
    losses = [weight * SoftmaxCrossEntropy()(y, output) for weight, output in zip((1.0, 0.4), outputs, strict=False)]
    return tf.add_n([*losses, *tuned.losses])


def step_by_hand(tuned: Any, x: Any, y: Any, count: int) -> float:
    """What the step has to be, in plain Python; returns the loss."""
    losses, gradients, seen = [], [], []
    for part_x, part_y in zip(np.split(x, count), np.split(y, count), strict=True):
        with explicit_modes(batch_norm_layers(tuned), tuned.plan.modes) as batches, tf.GradientTape() as tape:
            loss = loss_of(tuned, part_x, part_y)
        losses.append(float(loss))
        gradients.append(tape.gradient(loss, tuned.trainable_variables))
        seen += batches
    means = [tf.add_n(parts) / count for parts in zip(*gradients, strict=True)]
    pairs = zip(means, tuned.trainable_variables, strict=True)
    tuned.optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)
    for batch in seen:
        move_statistics(batch.layer, batch.mean, batch.variance)
    return float(np.mean(losses))


@pytest.mark.parametrize("net", ["separable", pytest.param("inception_v3", marks=pytest.mark.slow)])
def test_equals_what_is_added_up_by_hand(net: str) -> None:
    """Weights, slots and moving statistics of a step of four micro-batches, auxiliary logits included."""
    ours, hand = (tuned_model(build_ours(NETS[net]), accumulate=4) for _ in range(2))
    for name, variable in slim_variables(hand).items():
        variable.assign(slim_variables(ours)[name])
    x = images(0, (16, *NETS[net].shape))
    found = np.ravel(ours.train_on_batch(x, Y))[0]
    np.testing.assert_allclose(found, step_by_hand(hand, x, Y, 4), rtol=1e-6)
    for name, value in values(ours).items():
        np.testing.assert_allclose(value, values(hand)[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for slot, wanted in zip(ours.optimizer.variables, hand.optimizer.variables, strict=True):
        np.testing.assert_allclose(slot, wanted, rtol=1e-5, atol=1e-6)
    assert int(ours.optimizer.iterations) == 1


def test_metrics_are_of_all_images() -> None:
    """Loss and accuracy are those of the whole batch, and weights of images reach every micro-batch."""
    tuned = tuned_model(accumulate=2, batch_norm="frozen")
    tuned.compile(Momentum(0.01, 0.9), SoftmaxCrossEntropy(), metrics=["accuracy"])
    weights = np.linspace(0.5, 1.5, len(Y)).astype("float32")
    losses = SoftmaxCrossEntropy().call(Y, tuned(X, training=False)).numpy()
    hits = tuned(X, training=False).numpy().argmax(-1) == Y
    regularization = float(tf.add_n(tuned.losses))
    found = tuned.train_on_batch(X, Y, sample_weight=weights, return_dict=True)
    np.testing.assert_allclose(found["loss"], (losses * weights).mean() + regularization, rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], hits.mean(), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_weights_reach_auxiliary_logits(count: int) -> None:
    """One weight an image weighs the losses of both outputs, in every micro-batch."""
    tuned = tuned_model(build_ours(NETS["inception_v3"]), batch_norm="frozen", accumulate=count)
    x = images(0, (16, *NETS["inception_v3"].shape))
    weights = np.linspace(0.5, 1.5, len(Y)).astype("float32")
    losses = [SoftmaxCrossEntropy().call(Y, output).numpy() for output in tuned(x, training=False)]
    wanted = (weights * (losses[0] + 0.4 * losses[1])).mean() + float(tf.add_n(tuned.losses))
    found = tuned.train_on_batch(x, Y, sample_weight=weights, return_dict=True)["loss"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    """With its size, and what to do."""
    tuned = tuned_model(accumulate=3, run_eagerly=True)
    with pytest.raises(TrainingDataError, match="16 images cannot be split into 3 micro-batches"):
        tuned.train_on_batch(X, Y)


def test_a_fault_of_one_micro_batch_changes_nothing() -> None:
    """NaN in the last one stops the step before the first one counts."""
    tuned = tuned_model(accumulate=2)
    before = values(tuned)
    broken = X.copy()
    broken[-1] = np.nan
    with pytest.raises(NonFiniteLossError):
        tuned.train_on_batch(broken, Y)
    assert all(np.array_equal(before[name], value) for name, value in values(tuned).items())
