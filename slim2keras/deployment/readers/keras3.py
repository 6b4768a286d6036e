"""Runs a file with Keras 3, by the backend of ``KERAS_BACKEND``."""

from __future__ import annotations

import sys

import keras
import numpy as np


def main(file: str, given: str, found: str) -> None:
    """Load and run."""
    # Keras goes through a model by recursion, a layer a frame.
    sys.setrecursionlimit(max(10_000, sys.getrecursionlimit()))
    model = keras.models.load_model(file, compile=False)
    with np.load(given) as inputs:
        arrays = [inputs[name] for name in inputs]
    outputs = keras.tree.flatten(model(arrays[0] if len(arrays) == 1 else arrays, training=False))
    named = {f"output_{number}": keras.ops.convert_to_numpy(output) for number, output in enumerate(outputs)}
    np.savez(found, runtime=f"Keras {keras.__version__} on {keras.backend.backend()}", **named)


main(*sys.argv[1:])
