"""TensorFlow 1's own optimizers as the judge: 25 steps, variables and slots."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.optimizers import (
    Adadelta,
    Adagrad,
    Adam,
    Ftrl,
    GradientDescent,
    Momentum,
    RMSProp,
    SlimOptimizer,
    decay_steps,
    exponential_decay,
    polynomial_decay,
)

STEPS = 25
SHAPES = ((3, 4), (5,))

PAIRS: dict[str, tuple[Any, Any]] = {
    "GradientDescent": (GradientDescent, lambda v1, rate: v1.train.GradientDescentOptimizer(rate)),
    "Momentum": (lambda rate: Momentum(rate, 0.9), lambda v1, rate: v1.train.MomentumOptimizer(rate, 0.9)),
    "Nesterov": (
        lambda rate: Momentum(rate, 0.8, use_nesterov=True),
        lambda v1, rate: v1.train.MomentumOptimizer(rate, 0.8, use_nesterov=True),
    ),
    "RMSProp": (
        lambda rate: RMSProp(rate, 0.9, 0.9, 1.0),
        lambda v1, rate: v1.train.RMSPropOptimizer(rate, 0.9, 0.9, 1.0),
    ),
    "RMSProp by default": (RMSProp, lambda v1, rate: v1.train.RMSPropOptimizer(rate)),
    "RMSProp of a small epsilon": (
        lambda rate: RMSProp(rate, 0.95, 0.5, 1e-10),
        lambda v1, rate: v1.train.RMSPropOptimizer(rate, 0.95, 0.5, 1e-10),
    ),
    "centred RMSProp": (
        lambda rate: RMSProp(rate, 0.9, 0.9, 1.0, centered=True),
        lambda v1, rate: v1.train.RMSPropOptimizer(rate, 0.9, 0.9, 1.0, centered=True),
    ),
    "Adam": (Adam, lambda v1, rate: v1.train.AdamOptimizer(rate)),
    "Adagrad": (Adagrad, lambda v1, rate: v1.train.AdagradOptimizer(rate)),
    "Adadelta": (Adadelta, lambda v1, rate: v1.train.AdadeltaOptimizer(rate)),
    "Adadelta of slim's trainer": (
        lambda rate: Adadelta(rate, 0.95, 1.0),
        lambda v1, rate: v1.train.AdadeltaOptimizer(rate, 0.95, 1.0),
    ),
    "Ftrl": (
        lambda rate: Ftrl(rate, l1_regularization_strength=0.01, l2_regularization_strength=0.1),
        lambda v1, rate: v1.train.FtrlOptimizer(rate, l1_regularization_strength=0.01, l2_regularization_strength=0.1),
    ),
    "Ftrl from an accumulator of 0": (
        lambda rate: Ftrl(rate, initial_accumulator_value=0.0),
        lambda v1, rate: v1.train.FtrlOptimizer(rate, initial_accumulator_value=0.0),
    ),
}
"""Ours and theirs, each from a learning rate."""

SCHEDULES: dict[str, tuple[Any, Any]] = {
    "fixed": (lambda: 0.1, lambda v1, step: 0.1),
    "exponential": (
        lambda: exponential_decay(0.1, steps=7, decay_factor=0.5),
        lambda v1, step: v1.train.exponential_decay(0.1, step, 7, 0.5, staircase=True),
    ),
    "polynomial": (
        lambda: polynomial_decay(0.1, steps=20, end_learning_rate=0.01),
        lambda v1, step: v1.train.polynomial_decay(0.1, step, 20, 0.01, power=1.0, cycle=False),
    ),
}


def initial_values() -> list[np.ndarray]:
    random = np.random.RandomState(0)
    return [random.standard_normal(shape).astype("float32") for shape in SHAPES]


def gradients(step: int) -> list[np.ndarray]:
    random = np.random.RandomState(step + 1)
    return [random.standard_normal(shape).astype("float32") for shape in SHAPES]


def run_ours(optimizer: SlimOptimizer) -> dict[str, np.ndarray]:
    import tensorflow as tf

    variables = [tf.Variable(value) for value in initial_values()]
    for step in range(STEPS):
        optimizer.apply_gradients(zip(map(tf.constant, gradients(step)), variables, strict=True))
    found = {f"v{index}": variable.numpy() for index, variable in enumerate(variables)}
    for index, variable in enumerate(variables):
        found |= {f"v{index}/{slot}": optimizer.slot(variable, slot).numpy() for slot in optimizer.initial_slots()}
    return {**found, **{name: power.numpy() for name, power in getattr(optimizer, "powers", {}).items()}}


def run_theirs(make: Any, rate: Any) -> dict[str, np.ndarray]:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        variables = [v1.get_variable(f"v{i}", initializer=value) for i, value in enumerate(initial_values())]
        feeds = [v1.placeholder(tf.float32, shape) for shape in SHAPES]
        train = make(v1, rate(v1, step)).apply_gradients(zip(feeds, variables, strict=True), global_step=step)
        session.run(v1.global_variables_initializer())
        for index in range(STEPS):
            session.run(train, dict(zip(feeds, gradients(index), strict=True)))
        names = {variable.op.name: variable for variable in v1.global_variables() if variable is not step}
        values: dict[str, np.ndarray] = session.run(names)
        return values


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", PAIRS)
def test_variables_and_slots_have_the_bits_of_tensorflow_1(name: str, schedule: str) -> None:
    """Each optimizer under each schedule; a schedule may differ in the rate's last bit."""
    ours, theirs = PAIRS[name]
    rate, their_rate = SCHEDULES[schedule]
    found, wanted = run_ours(ours(rate())), run_theirs(theirs, their_rate)
    assert set(found) == set(wanted)
    # The schedules of tf_keras and of TensorFlow 1 may round the rate differently in its last bit.
    bar = 0.0 if schedule == "fixed" else 1e-6
    for key, value in wanted.items():
        assert np.max(np.abs(found[key] - value)) <= bar * np.max(np.abs(value)), key


@pytest.mark.parametrize(
    ("keras", "name"),
    [
        (lambda keras: keras.optimizers.SGD(exponential_decay(0.1, steps=7, decay_factor=0.5), 0.9), "Momentum"),
        (lambda keras: keras.optimizers.RMSprop(0.1, 0.9, 0.9, 1.0), "RMSProp"),
        (lambda keras: keras.optimizers.Adadelta(0.1, epsilon=1e-7), "Adadelta of slim's trainer"),
    ],
)
def test_optimizers_of_tf_keras_by_the_same_names_are_not_those(keras: Any, name: str) -> None:
    """The mutants: what these classes are for."""
    import tensorflow as tf
    import tf_keras

    schedule = "exponential" if name == "Momentum" else "fixed"
    wanted = run_theirs(PAIRS[name][1], SCHEDULES[schedule][1])["v0"]
    variables = [tf.Variable(value) for value in initial_values()]
    optimizer = keras(tf_keras)
    for step in range(STEPS):
        optimizer.apply_gradients(zip(map(tf.constant, gradients(step)), variables, strict=True))
    assert np.max(np.abs(variables[0].numpy() - wanted)) > 1e-3 * np.max(np.abs(wanted))


@pytest.mark.parametrize("name", PAIRS)
def test_an_optimizer_is_made_again_from_its_config(name: str) -> None:
    """And takes the same steps."""
    optimizer = PAIRS[name][0](exponential_decay(0.1, steps=7))
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    ours, theirs = run_ours(optimizer), run_ours(again)
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key])


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_plain_compile_and_fit_take_them(run_eagerly: bool, tmp_path: Path) -> None:
    """In a model that is not ours, and again after a file."""
    import tf_keras

    batch = np.random.RandomState(0).standard_normal((8, 4)).astype("float32")
    target = np.arange(8) % 3
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(3)])
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Adam(0.1), loss, run_eagerly=run_eagerly)
    first, *_, last = model.fit(batch, target, epochs=5, verbose=0).history["loss"]
    assert last < first
    model.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    histories = [item.fit(batch, target, epochs=3, verbose=0).history["loss"] for item in (model, loaded)]
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)


def test_decay_steps_are_counted_as_slims_trainer_counts_them() -> None:
    """Whole batches of whole epochs."""
    assert decay_steps(num_samples=1000, batch_size=32, num_epochs_per_decay=2.0) == 62


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda module: module.Momentum(0.1, 1.5), "momentum must be a number, from 0 to 1. Received: momentum=1.5"),
        (lambda module: module.Momentum(0.1, "0.9"), "momentum must be a number"),
        (lambda module: module.Momentum(0.1, 0.9, use_nesterov="no"), "use_nesterov must be True or False"),
        (lambda module: module.Momentum(-0.1, 0.9), "learning_rate must be a number, 0 or greater"),
        (lambda module: module.RMSProp(0.1, decay=-0.9), "decay must be a number, from 0 to 1"),
        (lambda module: module.RMSProp(0.1, epsilon=float("nan")), "epsilon must be a number, greater than 0"),
        (lambda module: module.RMSProp(0.1, epsilon=1e39), "epsilon must be a number"),
        (lambda module: module.Momentum(0.1, True), "momentum must be a number"),
        (lambda module: module.Momentum(10**400, 0.9), "learning_rate must be a number"),
        (lambda module: module.RMSProp("fast"), "learning_rate must be a number"),
    ],
)
@pytest.mark.parametrize("name", ["optimizers", "keras3.optimizers"])
def test_constants_that_cannot_be_are_refused(name: str, make: Any, message: str) -> None:
    """They would train, towards NaN; in Keras 3 as in tf_keras."""
    module = importlib.import_module(f"slim2keras.{name}")
    with pytest.raises(UnsupportedArgumentError, match=message):
        make(module)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ftrl(0.1, learning_rate_power=0.5), "learning_rate_power must be a number, 0 or less"),
        (lambda: Adagrad(0.1, initial_accumulator_value=0.0), "initial_accumulator_value must be a number, greater"),
        (lambda: type("Theirs", (Adagrad,), {})(0.1, 0.0), "initial_accumulator_value must be a number, greater"),
        (lambda: Adam(0.1, beta1=1.0), "beta1 must be a number, from 0 to less than 1"),
        (lambda: Adam(0.1, beta1=1.0 - 1e-9), "beta1 must be a number, from 0 to less than 1"),
        (lambda: Adam(0.1, epsilon=0.0), "epsilon must be a number, greater than 0"),
    ],
)
def test_what_a_rule_divides_by_is_not_zero(make: Any, message: str) -> None:
    """Nor the root of a number that shrinks."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        make()
