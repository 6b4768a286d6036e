"""TensorFlow 1's optimizers in Keras 3: twenty steps, with those of ``slim2keras.optimizers`` as the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.keras3 import steps

BAR = 1e-6
"""Of rounding; the judge has the bits of TensorFlow 1."""


def tf_keras_steps(name: str, rates: Any) -> dict[str, np.ndarray]:
    """The same steps as ``steps.optimizer_steps``."""
    import tensorflow as tf

    from slim2keras import optimizers

    kind, arguments = steps.OPTIMIZERS[name]
    rate = optimizers.exponential_decay(steps.RATE, steps=7, decay_factor=0.5) if rates == "schedule" else rates
    optimizer = getattr(optimizers, kind)(rate, **arguments)
    variables = [tf.Variable(value) for value in steps.gradients(0)]
    for step in range(1, steps.STEPS + 1):
        optimizer.apply_gradients(zip(map(tf.constant, steps.gradients(step)), variables, strict=True))
    found = {f"v{index}": item.numpy() for index, item in enumerate(variables)}
    for index, item in enumerate(variables):
        found |= {f"v{index}/{slot}": optimizer.slot(item, slot).numpy() for slot in optimizer.initial_slots()}
    return found


@pytest.mark.parametrize(("name", "rates"), steps.OPTIMIZER_RUNS)
def test_twenty_steps_are_those_of_tensorflow_1(found_steps: dict[str, np.ndarray], name: str, rates: Any) -> None:
    """Variables and slots, at a fixed rate and under a schedule of Keras 3."""
    for key, wanted in tf_keras_steps(name, rates).items():
        found = found_steps[f"{name} {rates}: {key}"]
        assert np.max(np.abs(found - wanted)) <= BAR * max(1.0, np.max(np.abs(wanted))), key


@pytest.mark.parametrize(
    ("kind", "arguments", "name", "rates"),
    [
        ("SGD", {"momentum": 0.9}, "Momentum", "schedule"),
        ("RMSprop", {"rho": 0.9, "momentum": 0.9, "epsilon": 1.0}, "RMSProp", steps.RATE),
    ],
)
def test_optimizers_of_keras_3_by_the_same_names_are_not_those(
    kind: str, arguments: dict[str, float], name: str, rates: Any
) -> None:
    """The mutants: what these classes are for."""
    import keras

    optimizer = getattr(keras.optimizers, kind)(steps.schedule() if rates == "schedule" else rates, **arguments)
    variables = [keras.Variable(value) for value in steps.gradients(0)]
    for step in range(1, steps.STEPS + 1):
        optimizer.apply([keras.ops.convert_to_tensor(item) for item in steps.gradients(step)], variables)
    wanted = tf_keras_steps(name, rates)["v0"]
    assert np.max(np.abs(keras.ops.convert_to_numpy(variables[0]) - wanted)) > 1e-3 * np.max(np.abs(wanted))


@pytest.mark.parametrize(
    ("theirs", "kind", "arguments"),
    [("GradientDescent", "SGD", {}), ("Adam", "Adam", {"epsilon": 1e-8})],
)
def test_two_of_keras_3_have_tensorflow_1s_numbers(theirs: str, kind: str, arguments: dict[str, float]) -> None:
    """Which is why they are not written once more; Adam to 1e-5, since it takes powers of the betas in float32."""
    import keras
    import tensorflow as tf

    from slim2keras import optimizers

    judge, optimizer = getattr(optimizers, theirs)(steps.RATE), getattr(keras.optimizers, kind)(steps.RATE, **arguments)
    wanted, found = [[make(value) for value in steps.gradients(0)] for make in (tf.Variable, keras.Variable)]
    for step in range(1, steps.STEPS + 1):
        gradients = [tf.constant(item) for item in steps.gradients(step)]
        judge.apply_gradients(zip(gradients, wanted, strict=True))
        optimizer.apply(gradients, found)
    for one, two in zip(wanted, found, strict=True):
        np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["Nesterov", "centred RMSProp"])
def test_a_model_is_saved_and_goes_on_with_its_slots(name: str, tmp_path: Path) -> None:
    """Hyperparameters, schedule and slots are in the file."""
    import keras

    from slim2keras import keras3

    kind, arguments = steps.OPTIMIZERS[name]
    x, y = np.random.RandomState(0).standard_normal((8, 4)).astype("float32"), np.arange(8) % 3
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(getattr(keras3, kind)(steps.schedule(), **arguments), loss, run_eagerly=True)
    model.fit(x, y, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    histories = [item.fit(x, y, epochs=3, verbose=0).history["loss"] for item in (model, loaded)]
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)
    assert histories[0][-1] < histories[0][0]
