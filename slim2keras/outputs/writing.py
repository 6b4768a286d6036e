"""Writing model files, and reading back what was written."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.checkpoints.loading import apply_load
from slim2keras.errors import Slim2KerasError
from slim2keras.files.output_files import report_path, whole_or_not_at_all
from slim2keras.models.variables import share_stored_variables, slim_variables
from slim2keras.outputs.checksums import checksums
from slim2keras.outputs.formats import OutputFormat
from slim2keras.outputs.keras_archive import (
    archive_for_writing,
    open_weights,
)
from slim2keras.outputs.loading import load_file
from slim2keras.outputs.outline import Outline, outline_of_model

if TYPE_CHECKING:
    import h5py
    import tf_keras
    from numpy.typing import NDArray


Values = Iterable[tuple[str, "NDArray[np.float32]"]]
"""Slim name and array of every variable of a model."""

_INDEXED = ("v108", "v108")
"""The format of HDF5 1.8: the groups of the format before are searched in steps to and fro."""


class _PatientFile(io.FileIO):
    """A file whose writes never fail, and which keeps the first error for later; or what lies behind ``start`` in one.

    HDF5 cannot close a file that it cannot write: it takes the process down. Given this, it closes in peace.
    """

    error: OSError | None = None

    def __init__(self, path: Path, start: int = 0) -> None:
        super().__init__(path, "r+" if start else "w+")
        self.start = start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(offset + self.start if whence == io.SEEK_SET else offset, whence) - self.start

    def tell(self) -> int:
        return super().tell() - self.start

    def truncate(self, size: int | None = None) -> int:
        return super().truncate(None if size is None else size + self.start) - self.start

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
def _hdf5_for_writing(path: Path, start: int = 0, libver: Any = None) -> Iterator[h5py.File]:
    """A new HDF5 file, at the end of another one if that is where it starts; a full disk is an ``OSError``."""
    import h5py

    with _PatientFile(path, start) as raw:
        try:
            with h5py.File(raw, "w", libver=libver) as file:
                yield file
        finally:
            if raw.error is not None:
                raise raw.error


def write_model(outline: Outline, values: Values, path: Path, its_format: OutputFormat) -> None:
    """Write a whole model, so that it loads wherever tf_keras is.

    Args:
        values: Of every variable; a model that is written as HDF5 or SavedModel gets them first.
    """
    if its_format is OutputFormat.KERAS:
        with archive_for_writing(path, outline.config()) as start, _hdf5_for_writing(path, start, _INDEXED) as file:
            _write_tensors(outline, values, file)
        return
    model = outline.model()
    apply_load(model, values)
    with warnings.catch_warnings():
        # The user asked for HDF5 by name; that it is the older format is no news.
        warnings.filterwarnings("ignore", message=".*saving your model as an HDF5 file.*", category=UserWarning)
        if its_format is OutputFormat.H5:
            with _hdf5_for_writing(path) as file:
                model.save(file, save_format="h5")
        else:
            model.save(path, save_format="tf")


def write_weights(outline: Outline, values: Values, path: Path) -> None:
    """Write a ``.weights.h5`` for ``model.load_weights``, from values that need not be in a model."""
    with _hdf5_for_writing(path, libver=_INDEXED) as file:
        _write_tensors(outline, values, file)


def write_and_read_back(outline: Outline, values: Values, path: Path, its_format: OutputFormat) -> float:
    """Write a model, or its weights alone where the format has no more, and compare every tensor of the file.

    Args:
        values: Of every variable; gone through twice.

    Returns:
        The largest difference: 0.0.

    Raises:
        Slim2KerasError: If a tensor is missing or differs.
    """
    if its_format is OutputFormat.WEIGHTS:
        write_weights(outline, values, path)
    else:
        write_model(outline, values, path, its_format)
    return largest_read_back_difference(outline, values, path, its_format)


def write_with_report(
    model: tf_keras.Model,
    values: Values,
    target: Path,
    its_format: OutputFormat,
    report: Mapping[str, Any],
    *,
    overwrite: bool = True,
) -> None:
    """Write a model with other values, and its report beside it, both whole or not at all; reads back what it wrote.

    Args:
        overwrite: Replace what another process may have written meanwhile.

    Raises:
        NoSpaceError, OutputError: If they cannot be written; those before stay.
        Slim2KerasError: If a tensor is another one when it is read back; those before stay.
    """
    with whole_or_not_at_all(target, report_path(target), overwrite=overwrite) as (draft, draft_report):
        values = list(values)
        write_and_read_back(outline_of_model(model), values, draft, its_format)
        told = {**report, "tensors": checksums(values)}
        draft_report.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _write_tensors(outline: Outline, values: Values, file: h5py.File) -> None:
    """Write the datasets of ``model.save_weights``, whose own writer takes longer to look at every attribute.

    They lie in the order in which tf_keras loads them, header before values: within a ``.keras`` its reader starts
    again from the beginning for every step backwards. So the index of the layers has to be at the front too: every
    layer is entered first, in the place of something else, and made when its turn comes.
    """
    root = file.create_group("vars")  # for variables of the model itself, which tf_keras looks for
    for layer in dict.fromkeys(place.rpartition("/vars/")[0] for place in outline.places.values()):
        file[layer] = root
    file.flush()  # which is when HDF5 gives the index its place in the file
    groups: dict[str, h5py.Group] = {}
    for name, value in values:
        layer, _, index = outline.places[name].rpartition("/vars/")
        if layer not in groups:
            del file[layer]
            groups[layer] = file.create_group(f"{layer}/vars")
        _write_tensor(groups[layer], index, value)


def _write_tensor(group: h5py.Group, name: str, value: NDArray[np.float32]) -> None:
    """What ``create_dataset`` does, which takes longer to look at its options than to write most tensors."""
    import h5py

    space = h5py.h5s.create_simple(value.shape)
    dataset = h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, space)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(value))


def largest_read_back_difference(outline: Outline, values: Values, path: Path, its_format: OutputFormat) -> float:
    """Read a file that was just written, and compare every tensor bit for bit with the value it should have.

    Returns:
        The largest difference: 0.0.

    Raises:
        Slim2KerasError: If a tensor is missing or differs.
    """
    with _stored_tensors(outline, path, its_format) as read:
        differences = {name: _difference(value, read(name)) for name, value in values}
    differing = [name for name, difference in differences.items() if difference != 0.0]
    if differing:
        raise Slim2KerasError(
            f"{path.name} did not survive writing: {len(differing)} of {len(differences)} tensors differ when read "
            f"back, the first {differing[0]}. The disk or tf_keras' writer is at fault; nothing was kept."
        )
    return max(differences.values(), default=0.0)


@contextlib.contextmanager
def _stored_tensors(outline: Outline, path: Path, its_format: OutputFormat) -> Iterator[Callable[[str], NDArray[Any]]]:
    """What reads a tensor of a file, by its slim name."""
    if its_format in (OutputFormat.WEIGHTS, OutputFormat.KERAS):
        import h5py

        with h5py.File(path, "r") if its_format is OutputFormat.WEIGHTS else open_weights(path) as file:
            yield lambda name: _read_tensor(file, outline.places[name])
    else:
        loaded = load_file(path)
        share_stored_variables(outline.model(), loaded)
        stored = slim_variables(loaded)
        yield lambda name: np.asarray(stored[name])


def _read_tensor(file: h5py.File, place: str) -> NDArray[Any]:
    """What ``file[place][()]`` gives, in less time."""
    import h5py

    dataset = h5py.h5d.open(file.id, place.encode())
    value: NDArray[Any] = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    return value


def _difference(value: NDArray[Any], stored: NDArray[Any]) -> float:
    """Largest difference; 0.0 only if every bit is equal, of a NaN too."""
    if value.shape != stored.shape or value.dtype != stored.dtype:
        return float("inf")
    if np.array_equal(value.view("uint32"), stored.view("uint32")):
        return 0.0
    return float(np.max(np.abs(value - stored)))
