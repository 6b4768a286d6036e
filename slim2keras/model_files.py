"""Model files: formats, writing whole or not at all, reading back."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import ModelReadError, OutputError, Slim2KerasError
from slim2keras.loading import layer_variables, slim_variables
from slim2keras.model_safety import check_model_file, check_weights_file
from slim2keras.output_files import check_free, check_no_format, report_path

if TYPE_CHECKING:
    import h5py
    import tf_keras
    from numpy.typing import NDArray


class OutputFormat(Enum):
    """Formats of ``tf_keras``, by suffix; the longest suffix decides."""

    WEIGHTS = ".weights.h5"
    KERAS = ".keras"
    H5 = ".h5"
    SAVED_MODEL = ""


def output_format(path: Path) -> OutputFormat:
    """Tell the format from the name.

    Raises:
        OutputError: If the suffix is none of tf_keras' own.
    """
    for its_format in (OutputFormat.WEIGHTS, OutputFormat.KERAS, OutputFormat.H5):
        if path.name.endswith(its_format.value):
            return its_format
    wanted = "a name that ends in .keras, .h5 or .weights.h5, or a directory without suffix for a SavedModel"
    if path.suffix == ".ckpt":
        raise OutputError(f"{path} is the name of a checkpoint. Give {wanted}.")
    check_no_format(path, wanted)
    return OutputFormat.SAVED_MODEL


def is_model_file(path: Path) -> bool:
    """Whether a path is a file of Keras, by its name, or the directory of a SavedModel."""
    return path.suffix in (".keras", ".h5") or (path / "saved_model.pb").is_file()


def check_model_path(path: Path) -> None:
    """Refuse a path where no model is, before anything else is done.

    Raises:
        ModelReadError: If there is no such file or directory.
    """
    if not path.exists():
        raise ModelReadError(f"There is no model {path}. `slim2keras convert CHECKPOINT -o model.keras` writes one.")


def check_target(target: Path, *, overwrite: bool) -> tuple[Path, OutputFormat]:
    """Check before any work is done that a model can be written there.

    Raises:
        OutputError: If the format is unknown, the directory is missing, or a file exists and ``overwrite`` is false.
    """
    its_format = output_format(target)
    target = Path(os.path.abspath(target))
    check_free(target, report_path(target), overwrite=overwrite)
    if target.is_dir() and (its_format is not OutputFormat.SAVED_MODEL or not _is_replaceable(target)):
        raise OutputError(f"{target} is a directory that holds no SavedModel, and is left as it is. Give another name.")
    return target, its_format


def _is_replaceable(directory: Path) -> bool:
    return (directory / "saved_model.pb").is_file() or not any(directory.iterdir())


Values = Iterable[tuple[str, "NDArray[np.float32]"]]
"""Slim name and array of every variable of a model."""


class _PatientFile(io.FileIO):
    """A file whose writes never fail, and which keeps the first error for later.

    HDF5 cannot close a file that it cannot write: it takes the process down. Given this, it closes in peace.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while self.error is None and written < len(view):
            try:
                written += super().write(view[written:])
            except OSError as error:
                self.error = error
        return len(view)


@contextlib.contextmanager
def _hdf5_for_writing(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file; a full disk is an ``OSError``."""
    import h5py

    with _PatientFile(path, "w+") as raw:
        try:
            with h5py.File(raw, "w") as file:
                yield file
        finally:
            if raw.error is not None:
                raise raw.error


def write_model(model: tf_keras.Model, path: Path, its_format: OutputFormat) -> None:
    """Write a whole model with tf_keras' own writers, so that it loads wherever tf_keras is."""
    with warnings.catch_warnings():
        # The user asked for HDF5 by name; that it is the older format is no news.
        warnings.filterwarnings("ignore", message=".*saving your model as an HDF5 file.*", category=UserWarning)
        if its_format is OutputFormat.H5:
            with _hdf5_for_writing(path) as file:
                model.save(file, save_format="h5")
        else:
            model.save(path, save_format="keras" if its_format is OutputFormat.KERAS else "tf")


def write_weights(model: tf_keras.Model, values: Values, path: Path) -> None:
    """Write a ``.weights.h5`` for ``model.load_weights``, from values that need not be in the model.

    The datasets are those of ``model.save_weights``. tf_keras' own writer looks at every attribute of every layer,
    which takes longer than the writing: with ResNet-152 four times as long.
    """
    places = _weights_layout(model)
    with _hdf5_for_writing(path) as file:
        file.create_group("vars")  # for variables of the model itself, which tf_keras looks for
        for name, value in values:
            file.create_dataset(places[name], data=value)


def _weights_layout(model: tf_keras.Model) -> dict[str, str]:
    """Where a ``.weights.h5`` has each variable: layers are numbered by class, variables by their order in the layer.

    Source: tf_keras/src/saving/saving_lib.py, ``_save_container_state``.
    """
    places = {}
    counts: Counter[str] = Counter()
    for layer in model.layers:
        # Conv2D is conv2d and BatchNormalization batch_normalization, as tf_keras' to_snake_case has it.
        stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)).lower()
        group = f"layers/{stem}_{counts[stem]}" if counts[stem] else f"layers/{stem}"
        counts[stem] += 1
        for index, name in enumerate(layer_variables(layer)):
            places[name] = f"{group}/vars/{index}"
    return places


def largest_read_back_difference(model: tf_keras.Model, values: Values, path: Path, its_format: OutputFormat) -> float:
    """Read a file that was just written, and compare every tensor bit for bit with the value it should have.

    Returns:
        The largest difference: 0.0.

    Raises:
        Slim2KerasError: If a tensor is missing or differs.
    """
    with _stored_tensors(model, path, its_format) as stored:
        differences = {name: _difference(value, stored[name]) for name, value in values}
    differing = [name for name, difference in differences.items() if difference != 0.0]
    if differing:
        raise Slim2KerasError(
            f"{path.name} did not survive writing: {len(differing)} of {len(differences)} tensors differ when read "
            f"back, the first {differing[0]}. The disk or tf_keras' writer is at fault; nothing was kept."
        )
    return max(differences.values(), default=0.0)


@contextlib.contextmanager
def _stored_tensors(model: tf_keras.Model, path: Path, its_format: OutputFormat) -> Iterator[Mapping[str, Any]]:
    """The tensors of a file by slim name, as datasets or variables that NumPy can read."""
    if its_format is OutputFormat.WEIGHTS:
        import h5py

        with h5py.File(path) as file:
            yield {name: file[place] for name, place in _weights_layout(model).items()}
    else:
        yield slim_variables(load_model(path))


def load_model(path: Path, *, with_optimizer: bool = False) -> tf_keras.Model:
    """Load a model file, not compiled, also one with a layer or a training step of our own.

    Args:
        with_optimizer: Look into its optimizer too, which the caller will load.

    Raises:
        UnsafeModelError: If the file could run code.
        ModelReadError: If the file is corrupt.
    """
    import tf_keras

    for module in ("keras_layers", "optimizers", "finetuning"):
        importlib.import_module(f"slim2keras.{module}")
    check_model_file(path, with_optimizer=with_optimizer)
    return tf_keras.models.load_model(path, compile=False)


def load_model_with_optimizer(path: Path) -> tf_keras.Model:
    """Load a model file with the state of its optimizer, if it is a ``.keras`` that was compiled.

    Loss and metrics are left out: they may be functions that only the program has which wrote the file.
    """
    import tf_keras

    model = load_model(path, with_optimizer=True)
    if path.suffix != OutputFormat.KERAS.value:
        return model
    with zipfile.ZipFile(path) as archive:
        compiled = json.loads(archive.read("config.json")).get("compile_config")
    if compiled:
        model.compile(tf_keras.saving.deserialize_keras_object(compiled["optimizer"]))
        model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
    return model


def load_weights(model: tf_keras.Model, path: Path) -> None:
    """Load a ``.weights.h5`` into a model.

    Raises:
        UnsafeModelError: If the file takes values from other files.
        ModelReadError: If the file is corrupt.
    """
    check_weights_file(path)
    model.load_weights(path)


def _difference(value: NDArray[Any], stored: Any) -> float:
    """Largest difference; 0.0 only if every bit is equal, of a NaN too."""
    stored = np.asarray(stored)
    if value.shape != stored.shape:
        return float("inf")
    if np.array_equal(value.view("uint32"), stored.view("uint32")):
        return 0.0
    return float(np.max(np.abs(value - stored)))
