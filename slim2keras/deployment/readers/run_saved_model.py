"""Run every signature of a SavedModel with TensorFlow, without Keras: signatures and their outputs by name."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

sys.modules["keras"] = sys.modules["tf_keras"] = None  # type: ignore[assignment]

import tensorflow as tf  # noqa: E402


def main(file: str, given: str, written: str) -> None:
    """Write the outputs for batches of an ``.npz``, or for files in it, and the runtime."""
    loaded = tf.saved_model.load(file)
    with np.load(given) as arrays:
        inputs = [arrays[f"input_{place}"] for place in range(len(arrays))]
    found = [output for name in sorted(loaded.signatures) for output in _run(loaded.signatures[name], inputs)]
    outputs = {f"output_{place}": output for place, output in enumerate(found)}
    np.savez(written, runtime=f"tensorflow {tf.__version__}", **outputs)


def _run(signature: Any, inputs: list[Any]) -> list[Any]:
    ((name, spec),) = signature.structured_input_signature[1].items()
    batches = [[item.tobytes() for item in inputs]] if spec.dtype == tf.string else inputs
    results = [signature(**{name: tf.constant(batch)}) for batch in batches]
    return [np.concatenate([_array(result[output]) for result in results]) for output in sorted(results[0])]


def _array(tensor: Any) -> Any:
    values = tensor.numpy()
    return values if tensor.dtype != tf.string else np.array([item.decode() for item in values])


if __name__ == "__main__":
    main(*sys.argv[1:])
