"""Training steps in Keras 3, on whatever backend it has: of one BatchNorm layer, and of an optimizer.

As a program: ``python -m tests.keras3.steps FOUND.npz``, in a process that has the backend.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

SHAPES = {2: (6, 3), 4: (2, 3, 5, 3), 5: (2, 3, 2, 3, 3)}
"""Of the activations, by their rank."""
LAYERS = ((2, "update"), (4, "update"), (5, "update"), (4, "batch"), (4, "frozen"))
"""Ranks and modes."""
START = {"gamma": (0.8, 1.1, 1.4), "beta": (0.2, -0.1, 0.3)}
MOVING = {"moving_mean": (0.1, -0.2, 0.3), "moving_variance": (0.5, 1.5, 2.5)}
MOMENTUM, EPSILON, RATE = 0.9, 1e-6, 0.1

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Momentum": ("Momentum", {"momentum": 0.9}),
    "Nesterov": ("Momentum", {"momentum": 0.8, "use_nesterov": True}),
    "RMSProp": ("RMSProp", {"decay": 0.9, "momentum": 0.9, "epsilon": 1.0}),
    "RMSProp by default": ("RMSProp", {}),
    "centred RMSProp": ("RMSProp", {"decay": 0.9, "momentum": 0.9, "epsilon": 1.0, "centered": True}),
}
"""Class and arguments, which ``slim2keras.optimizers`` and ``slim2keras.keras3`` share."""
OPTIMIZER_RUNS = [*((name, RATE) for name in OPTIMIZERS), ("Momentum", "schedule"), ("centred RMSProp", "schedule")]
"""Optimizers and rates."""
STEPS, VARIABLES = 20, ((3, 4), (5,))


def activations(rank: int) -> np.ndarray:
    """Off zero, so that a difference of squares shows."""
    return (3 * np.random.RandomState(rank).standard_normal(SHAPES[rank]) + 5).astype("float32")


def targets(rank: int) -> np.ndarray:
    return np.random.RandomState(10 + rank).standard_normal(SHAPES[rank]).astype("float32")


def gradients(step: int) -> list[np.ndarray]:
    """Of step 0: where the variables start."""
    random = np.random.RandomState(step)
    return [random.standard_normal(shape).astype("float32") for shape in VARIABLES]


def batch_norm_step(rank: int, **options: Any) -> dict[str, np.ndarray]:
    """One step of plain ``fit`` by gradient descent, of one layer; its variables, and the loss.

    Args:
        options: Of slim's layer; without any it is Keras' own.
    """
    import keras

    from slim2keras.keras3 import BatchNormalization

    kind = BatchNormalization if options else keras.layers.BatchNormalization
    made = kind(momentum=MOMENTUM, epsilon=EPSILON, name="norm", **options)
    inputs = keras.Input(SHAPES[rank][1:])
    model = keras.Model(inputs, made(inputs))
    for name, value in {**START, **MOVING}.items():
        getattr(made, name).assign(np.asarray(value, "float32"))
    model.compile(keras.optimizers.SGD(RATE), keras.losses.MeanSquaredError())
    history = model.fit(activations(rank), targets(rank), batch_size=SHAPES[rank][0], verbose=0)
    found = {name: keras.ops.convert_to_numpy(getattr(made, name)) for name in (*START, *MOVING)}
    return {**found, "loss": np.asarray(history.history["loss"])}


def optimizer_steps(name: str, rates: Any = RATE) -> dict[str, np.ndarray]:
    """Variables and slots after ``STEPS`` steps."""
    import keras

    from slim2keras import keras3

    kind, arguments = OPTIMIZERS[name]
    optimizer = getattr(keras3, kind)(schedule() if rates == "schedule" else rates, **arguments)
    variables = [keras.Variable(value) for value in gradients(0)]
    for step in range(1, STEPS + 1):
        optimizer.apply([keras.ops.convert_to_tensor(item) for item in gradients(step)], variables)
    found = {f"v{index}": item for index, item in enumerate(variables)}
    for index, item in enumerate(variables):
        found |= {f"v{index}/{slot}": optimizer.slot(item, slot) for slot in optimizer.initial_slots()}
    return {key: keras.ops.convert_to_numpy(value) for key, value in found.items()}


def schedule() -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(RATE, 7, 0.5, staircase=True)


def everything() -> dict[str, np.ndarray]:
    """All steps, by what is stepped."""
    found: dict[str, Mapping[str, np.ndarray]] = {
        f"{rank} {mode}": batch_norm_step(rank, mode=mode) for rank, mode in LAYERS
    }
    found |= {f"{name} {rates}": optimizer_steps(name, rates) for name, rates in OPTIMIZER_RUNS}
    return {f"{what}: {key}": value for what, values in found.items() for key, value in values.items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **everything())
