"""Model files: formats, writing whole or not at all, reading back."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import NoSpaceError, OutputError, Slim2KerasError
from slim2keras.loading import slim_variables

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    # A version number ("resnet_v1.5") is no suffix, and neither is a checkpoint's "model.ckpt-5000".
    if path.suffix.lower() in (".pb", ".hdf5", ".json", ".ckpt", ".tflite", ".onnx", ".npz", ".pt", ".pth", ".zip"):
        raise OutputError(
            f"{path} has an unknown format: {path.suffix}. Give a name that ends in .keras, .h5 or .weights.h5, "
            "or a directory without suffix for a SavedModel."
        )
    return OutputFormat.SAVED_MODEL


def report_path(target: Path) -> Path:
    """Where the report of a model file lies: beside it, ``.json`` appended."""
    return target.with_name(f"{target.name}.json")


def check_target(target: Path, *, overwrite: bool) -> tuple[Path, OutputFormat]:
    """Check before any work is done that a model can be written there.

    Raises:
        OutputError: If the format is unknown, the directory is missing, or a file exists and ``overwrite`` is false.
    """
    its_format = output_format(target)
    target = Path(os.path.abspath(target))
    if not target.parent.is_dir():
        raise OutputError(f"{target} cannot be written: there is no directory {target.parent}. Create it first.")
    for path in (target, report_path(target)):
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already and is left as it is. Choose another name, or replace it with overwrite=True "
                "(command line: --overwrite)."
            )
    if target.is_dir() and (its_format is not OutputFormat.SAVED_MODEL or not _is_replaceable(target)):
        raise OutputError(
            f"{target} is a directory that holds no SavedModel, and is left as it is. Give another name."
        )
    return target, its_format


def _is_replaceable(directory: Path) -> bool:
    return (directory / "saved_model.pb").is_file() or not any(directory.iterdir())


@contextlib.contextmanager
def whole_or_not_at_all(*targets: Path) -> Iterator[list[Path]]:
    """Give drafts to write to, and move them to their targets when the block has ended well.

    The drafts lie in a hidden directory beside the first target, so that a move is one step of the file system; killed
    at any moment, a target is there whole or not at all. An error or Ctrl-C removes the drafts.

    Raises:
        OutputError: If the drafts cannot be written.
        NoSpaceError: If the disk is full.
    """
    with _write_errors(targets[0]):
        drafts_directory = Path(tempfile.mkdtemp(prefix=f".{targets[0].name}.", dir=targets[0].parent))
        try:
            drafts = [drafts_directory / target.name for target in targets]
            yield drafts
            for draft, target in zip(drafts, targets, strict=True):
                if target.is_dir():
                    target.replace(drafts_directory / f"{target.name}.replaced")
                draft.replace(target)
        finally:
            shutil.rmtree(drafts_directory, ignore_errors=True)


@contextlib.contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except Slim2KerasError:
        raise
    except Exception as error:
        # HDF5 and TensorFlow pack the reason into the message, and only sometimes into errno.
        message = str(error)
        if getattr(error, "errno", None) in _FULL_DISK or "No space left" in message or "errno = 28" in message:
            raise NoSpaceError(
                f"{target} cannot be written: no space is left on the device. Nothing of it remains; free some space, "
                "or write elsewhere."
            ) from error
        if isinstance(error, OSError):
            raise OutputError(f"{target} cannot be written: {error.strerror or error}. Nothing of it remains.") from error
        raise


def write_model(model: tf_keras.Model, path: Path, its_format: OutputFormat) -> None:
    """Write a model with tf_keras' own writers, so that it loads wherever tf_keras is."""
    with warnings.catch_warnings():
        # The user asked for HDF5 by name; that it is the older format is no news.
        warnings.filterwarnings("ignore", message=".*saving your model as an HDF5 file.*", category=UserWarning)
        if its_format is OutputFormat.WEIGHTS:
            model.save_weights(path)
        else:
            names = {OutputFormat.KERAS: "keras", OutputFormat.H5: "h5", OutputFormat.SAVED_MODEL: "tf"}
            model.save(path, save_format=names[its_format])


def largest_read_back_difference(model: tf_keras.Model, path: Path, its_format: OutputFormat) -> float:
    """Read a file that was just written, and compare every tensor bit for bit.

    Returns:
        0.0, the largest difference.

    Raises:
        Slim2KerasError: If a tensor is missing or differs.
    """
    written = {name: variable.numpy() for name, variable in slim_variables(model).items()}
    read = _read_weights(model, path) if its_format is OutputFormat.WEIGHTS else _read_model(path)
    differing = [name for name, value in written.items() if not _same_bits(value, read.get(name))]
    if differing or len(read) != len(written):
        raise Slim2KerasError(
            f"{path.name} did not survive writing: {len(differing)} of {len(written)} tensors differ when read back, "
            f"the first {differing[:1]}. The disk or tf_keras' writer is at fault; nothing was kept."
        )
    return max((float(np.max(np.abs(written[name] - read[name]), initial=0.0)) for name in written), default=0.0)


def _read_weights(model: tf_keras.Model, path: Path) -> dict[str, NDArray[Any]]:
    """Load weights into the model they came from, emptied before, so that nothing but the file can fill it."""
    variables = slim_variables(model)
    for variable in variables.values():
        variable.assign(np.full(variable.shape, np.nan, "float32"))
    model.load_weights(path)
    return {name: variable.numpy() for name, variable in variables.items()}


def _read_model(path: Path) -> dict[str, NDArray[Any]]:
    import tf_keras

    loaded = tf_keras.models.load_model(path, compile=False)
    return {name: variable.numpy() for name, variable in slim_variables(loaded).items()}


def _same_bits(written: NDArray[Any], read: NDArray[Any] | None) -> bool:
    return read is not None and np.array_equal(written.view("uint32"), np.asarray(read).view("uint32"))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
