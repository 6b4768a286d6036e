"""Run a file with Keras 3, by the backend of ``KERAS_BACKEND``."""

from __future__ import annotations

import sys

import keras
import numpy as np


def main(file: str, given: str, written: str) -> None:
    """Write the outputs for the inputs of an ``.npz``, in their order, and the runtime.

    They come of ``predict``, since a backend that makes one function of a model may refuse what it computes op by op.
    """
    # Keras goes through a model by recursion, a layer a frame.
    sys.setrecursionlimit(max(10_000, sys.getrecursionlimit()))
    model = keras.models.load_model(file, compile=False)
    with np.load(given) as arrays:
        inputs = [arrays[name] for name in arrays]
    found = keras.tree.flatten(model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0]))
    outputs = {f"output_{place}": keras.ops.convert_to_numpy(output) for place, output in enumerate(found)}
    np.savez(written, runtime=f"Keras {keras.__version__} on {keras.backend.backend()}", **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
