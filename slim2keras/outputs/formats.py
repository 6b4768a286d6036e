"""Formats of model files, by their names."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

from slim2keras.errors import ModelReadError, OutputError
from slim2keras.files.moves import check_no_mixture
from slim2keras.files.output_files import RUNTIMES, check_free, check_no_format, report_path
from slim2keras.files.run_layout import model_of_run_told
from slim2keras.importing.graph_files import is_saved_model_of_objects, saved_model_file


class OutputFormat(Enum):
    """Formats by suffix; the longest suffix decides."""

    WEIGHTS = ".weights.h5"
    KERAS = ".keras"
    H5 = ".h5"
    TFLITE = ".tflite"
    ONNX = ".onnx"
    SAVED_MODEL = ""

    @property
    def is_of_keras(self) -> bool:
        """Whether tf_keras writes and loads it."""
        return self not in (OutputFormat.TFLITE, OutputFormat.ONNX)


def output_format(path: Path) -> OutputFormat:
    """Tell the format from the name.

    Raises:
        OutputError: If the suffix is that of another format.
    """
    for its_format in OutputFormat:
        if its_format.value and path.name.endswith(its_format.value):
            return its_format
    wanted = (
        "a name that ends in .keras, .h5 or .weights.h5, in .tflite (pip install 'slim2keras[tflite]') or .onnx (pip "
        "install 'slim2keras[onnx]'), or a directory without suffix for a SavedModel"
    )
    if path.suffix == ".ckpt":
        raise OutputError(f"{path} is the name of a checkpoint. Give {wanted}.")
    check_no_format(path, wanted)
    return OutputFormat.SAVED_MODEL


def is_model_file(path: Path) -> bool:
    """Whether a path is a file of Keras, by its name, or the directory of a SavedModel that is no graph."""
    return path.suffix in (".keras", ".h5") or is_saved_model_of_objects(path)


def check_model_path(path: Path) -> None:
    """Refuse a path where no model is, before anything else is done.

    Raises:
        ModelReadError: If there is no such file, a directory is no SavedModel, or it was replaced half way.
    """
    check_no_mixture(path, ModelReadError)
    if not path.exists():
        raise ModelReadError(f"There is no model {path}. `slim2keras convert CHECKPOINT -o model.keras` writes one.")
    if path.is_dir() and saved_model_file(path) is None:
        hint = model_of_run_told(path) or f"Of a checkpoint `slim2keras convert {path} -o model.keras` makes a model."
        raise ModelReadError(
            f"{path} is no model: a directory is one as a SavedModel, and has a saved_model.pb. {hint}"
        )


def check_is_read_again(path: Path) -> None:
    """The same, and of one that only a runtime reads.

    Raises:
        ModelReadError: If there is no such file or directory, or no model can be made of it again.
    """
    check_model_path(path)
    if runtime := RUNTIMES.get(path.suffix):
        raise ModelReadError(
            f"{path} is a file for {runtime}, of which no model can be made again. Its outputs were compared with the "
            f"model's when it was written, and {report_path(path).name} beside it says how near they are; `slim2keras "
            f"verify {path}` tells whether it still is that file. Else give the checkpoint that it was made of."
        )


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
    if target.is_file() and its_format is OutputFormat.SAVED_MODEL:
        raise OutputError(
            f"{target} is a file, and a SavedModel is a directory: it is left as it is. Give another name."
        )
    return target, its_format


def _is_replaceable(directory: Path) -> bool:
    return (directory / "saved_model.pb").is_file() or not any(directory.iterdir())
