"""Training steps in Keras 3, on whatever backend it has: of one BatchNorm layer, and of an optimizer.

As a program: ``python -m tests.keras3.steps FUNCTION FOUND.npz``, in a process that has the backend.
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
MODES = {"net/conv1": "frozen", "net/conv2": "batch", ".*": "update"}
"""Of ``small_model``."""
CLASSES = 3
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


def small_model(**options: Any) -> Any:
    """Three convolutions with Keras' own BatchNorm, and a classifier; the same values on every backend.

    Args:
        options: Of BatchNorm.
    """
    import keras

    # JAX compiles each draw of each shape, for seconds.
    zeros = {"kernel_initializer": "zeros"}
    x = inputs = keras.Input((8, 8, 3), name="inputs")
    for number, (filters, stride) in enumerate(((4, 1), (6, 2), (8, 2)), start=1):
        x = keras.layers.Conv2D(filters, 3, stride, "same", use_bias=False, name=f"net>conv{number}", **zeros)(x)
        x = keras.layers.BatchNormalization(name=f"net>conv{number}>BatchNorm", **options)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dense(CLASSES, name="net>logits", **zeros)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x, name="net")
    for number, variable in enumerate(model.weights):
        random = np.random.RandomState(number)
        deviation = np.sqrt(2 / np.prod(variable.shape[:-1]))
        is_vector = len(variable.shape) == 1
        drawn = random.uniform(0.5, 1.5, variable.shape) if is_vector else random.normal(0, deviation, variable.shape)
        variable.assign(drawn)
    return model


def batches(count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    return random.uniform(-1, 1, (count, 8, 8, 3)).astype("float32"), random.randint(0, CLASSES, count)


def compiled(model: Any, **options: Any) -> Any:
    import keras

    from slim2keras.keras3 import Momentum

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Momentum(0.01, 0.9), loss, **{"run_eagerly": True, **options})
    return model


def values(model: Any) -> dict[str, np.ndarray]:
    import keras

    weights = {f"{layer.name}>{item.name}": item for layer in model.layers for item in layer.weights}
    return {name: keras.ops.convert_to_numpy(item) for name, item in weights.items()}


def tuned_steps() -> dict[str, np.ndarray]:
    """Values and losses after steps of ``finetune`` in all three modes, at two decays."""
    import keras

    from slim2keras.keras3 import finetune

    tuned = compiled(finetune(small_model(), batch_norm=MODES, decay="auto"), run_eagerly=False)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(tuned, "stop_training", True))
    losses = []
    for epochs in (1, 50):
        history = tuned.fit(*batches(), batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=[stop])
        losses += history.history["loss"]
    return {**values(tuned), "loss": np.asarray(losses)}


def single_steps() -> dict[str, np.ndarray]:
    """Of layers and optimizers, by what is stepped."""
    found: dict[str, Mapping[str, np.ndarray]] = {
        f"{rank} {mode}": batch_norm_step(rank, mode=mode) for rank, mode in LAYERS
    }
    found |= {f"{name} {rates}": optimizer_steps(name, rates) for name, rates in OPTIMIZER_RUNS}
    return {f"{what}: {key}": value for what, values in found.items() for key, value in values.items()}


if __name__ == "__main__":
    function, path = sys.argv[1:]
    np.savez(path, **globals()[function]())
