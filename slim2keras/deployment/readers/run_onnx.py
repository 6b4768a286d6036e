"""Run an ONNX file with onnxruntime: the first image alone, then the others in batches."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime

BATCH = 16


def main(file: str, given: str, written: str) -> None:
    """Write the outputs for the images of an ``.npz``, and the runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (name,) = (item.name for item in session.get_inputs())
    images = np.load(given)[name]
    starts = [0, *range(1, len(images), BATCH)]
    batches = [
        session.run(None, {name: images[start:end]}) for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]
    outputs = {f"output_{place}": np.concatenate(parts) for place, parts in enumerate(zip(*batches, strict=True))}
    np.savez(written, runtime=f"onnxruntime {onnxruntime.__version__}", **outputs)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
