"""Loading model files at the speed of the disk; nothing in them can run code."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.outputs.connections import connections_end
from slim2keras.outputs.keras_archive import (
    is_keras_archive,
    is_plain_archive,
    open_weights,
    read_config,
    unpacked_weights,
)
from slim2keras.outputs.model_safety import check_model_file, check_weights_file
from slim2keras.outputs.outline import layer_groups
from slim2keras.outputs.size_claims import variables_fit

if TYPE_CHECKING:
    import h5py
    import tf_keras


def load_file(path: Path, *, with_optimizer: bool = False) -> tf_keras.Model:
    """Load a whole model, also one with a layer or a training step of our own.

    Loss and metrics are left out: they may be functions that only the program has which wrote the file.

    Args:
        with_optimizer: Compile a ``.keras`` that was compiled, with its optimizer and the state of that.

    Raises:
        UnsafeModelError: If the file could run code.
        ModelReadError: If the file is corrupt.
    """
    for module in ("keras_layers", "optimizers", "training.model"):
        importlib.import_module(f"slim2keras.{module}")
    check_model_file(path, with_optimizer=with_optimizer)
    with variables_fit(path), connections_end():
        return _loaded(path, with_optimizer=with_optimizer)


def _loaded(path: Path, *, with_optimizer: bool) -> tf_keras.Model:
    """A file that was checked, as a model."""
    import tf_keras

    if not is_keras_archive(path):
        return tf_keras.models.load_model(path, compile=False)
    config = read_config(path)
    compiled = config.pop("compile_config", None)
    if is_plain_archive(path, config):
        model = tf_keras.saving.deserialize_keras_object(config)
        _load_from_archive(model, path, _take_weights)
    else:
        model = tf_keras.models.load_model(path, compile=False)
    if with_optimizer and compiled:
        model.compile(tf_keras.saving.deserialize_keras_object(compiled["optimizer"]))
        # A legacy optimizer, which tf_keras takes on Apple silicon, has no state in a .keras.
        if isinstance(model.optimizer, tf_keras.optimizers.Optimizer):
            model.optimizer.build(model.trainable_variables)
            _load_from_archive(model, path, _take_optimizer_state)
    return model


def load_weights(model: tf_keras.Model, path: Path) -> None:
    """Load a ``.weights.h5`` into a model.

    Raises:
        UnsafeModelError: If the file takes values from other files.
        ModelReadError: If the file is corrupt.
    """
    import h5py

    check_weights_file(path)
    with h5py.File(path, "r") as file:
        is_done = _take_weights(model, file)
    if not is_done:
        model.load_weights(path)


def _load_from_archive(model: tf_keras.Model, path: Path, take: Callable[[tf_keras.Model, h5py.File], bool]) -> None:
    """Give a model what a ``.keras`` holds for it, by tf_keras' own reader if ``take`` does not know how."""
    with open_weights(path) as file:
        is_done = take(model, file)
    if not is_done:
        with unpacked_weights(path) as unpacked:
            model.load_weights(unpacked)


def _take_weights(model: tf_keras.Model, file: h5py.File) -> bool:
    """Give every layer its weights, unless layers lie within layers: then nothing is done.

    tf_keras' reader would find the same, and looks at every attribute of every layer for it.
    """
    groups = layer_groups(type(layer).__name__ for layer in model.layers)
    counts = {group: len(layer.weights) for layer, group in zip(model.layers, groups, strict=True)}
    wanted = {f"{group}/vars/{index}" for group, count in counts.items() for index in range(count)}
    if wanted != set(_datasets(file, "layers")):
        return False
    model.load_own_variables(file["vars"])
    for layer, group in zip(model.layers, groups, strict=True):
        if layer.weights:
            layer.load_own_variables(file[f"{group}/vars"])
    return True


def _take_optimizer_state(model: tf_keras.Model, file: h5py.File) -> bool:
    """Give the optimizer its state, unless it has another optimizer within: then nothing is done."""
    if any(not name.startswith("optimizer/vars/") for name in _datasets(file, "optimizer")):
        return False
    model.optimizer.load_own_variables(file.get("optimizer/vars", {}))
    return True


def _datasets(file: h5py.File, group: str) -> list[str]:
    """Names of the datasets below a group."""
    import h5py

    found: list[str] = []
    if group in file:
        file[group].visititems(
            lambda name, item: found.append(f"{group}/{name}") if isinstance(item, h5py.Dataset) else None
        )
    return found
