"""A TFLite file, run by LiteRT."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.files.native_output import stderr_captured

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 8


class LiteRT:
    """A TFLite file, as LiteRT runs it.

    Attributes:
        version: Of the runtime, with its name.
        inputs: What the runtime says of them.
        outputs: The same of these, in the order of the model.
    """

    def __init__(self, file: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with stderr_captured():
            self._interpreter = Interpreter(str(file))
            self._interpreter.allocate_tensors()
        self.version = f"ai_edge_litert {importlib.metadata.version('ai-edge-litert')}"
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()

    def __call__(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """Every output, of the first image by itself and of the others in batches."""
        found = [self._run(batch) for batch in _batches(images)]
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def _run(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        number = self.inputs[0]["index"]
        with stderr_captured():
            self._interpreter.resize_tensor_input(number, batch.shape)
            self._interpreter.allocate_tensors()
            self._interpreter.set_tensor(number, batch)
            self._interpreter.invoke()
        return [self._interpreter.get_tensor(output["index"]) for output in self.outputs]


def _batches(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """One image, as on a phone, and then more at once."""
    yield images[:1]
    for start in range(1, len(images), _BATCH):
        yield images[start : start + _BATCH]


def activations(file: Path, images: NDArray[Any]) -> Iterator[tuple[str, float, NDArray[np.float32]]]:
    """What every op of an int8 file gives, where that is int8 with one step, in float32.

    Args:
        images: As the file takes them.

    Yields:
        Name of the tensor, its step, and its values; of constants with one step too.
    """
    from ai_edge_litert.interpreter import Interpreter

    with stderr_captured(), warnings.catch_warnings():
        # It takes memory, which is why it is done with few images.
        warnings.filterwarnings("ignore", "(?s).*experimental_preserve_all_tensors", UserWarning)
        interpreter = Interpreter(str(file), experimental_preserve_all_tensors=True)
        given = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(given, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, images)
        interpreter.invoke()
    for item in interpreter.get_tensor_details():
        step, zero = item["quantization"]
        if item["dtype"] == np.int8 and step:
            values = interpreter.get_tensor(item["index"]).astype("float32")
            yield item["name"], step, (values - np.float32(zero)) * np.float32(step)
