"""Model files: formats, writing whole or not at all, reading back."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import ModelReadError, OutputError, Slim2KerasError
from slim2keras.keras_archive import (
    archive_for_writing,
    is_archive,
    is_plain_archive,
    open_weights,
    read_config,
    unpacked_weights,
)
from slim2keras.keras_model import build_model, model_config
from slim2keras.loading import apply_load, layer_variables, slim_variables
from slim2keras.model_safety import check_model_file, check_weights_file
from slim2keras.network import Network
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


@dataclass(frozen=True)
class Outline:
    """What a file needs to know of a model beside its values.

    Attributes:
        places: Slim name of every variable to its place in the HDF5 of ``model.save_weights``, in the order in which
            tf_keras loads them.
        num_parameters: Of all variables.
        config: Makes the configuration as tf_keras writes it.
        model: Makes the model, or gives the one that there is.
    """

    places: Mapping[str, str]
    num_parameters: int
    config: Callable[[], dict[str, Any]]
    model: Callable[[], tf_keras.Model]


def outline_of_network(network: Network) -> Outline:
    """The outline of a network that was not built, and need not be to be written as ``.keras`` or ``.weights.h5``."""
    graph = network.graph
    layers = [(layer.kind, [variable.name for variable in layer.variables]) for layer in graph.model_layers()]
    num_parameters = sum(math.prod(variable.shape) for variable in graph.variables())
    return Outline(
        weights_layout(layers),
        num_parameters,
        lambda: model_config(graph, network.name),
        lambda: build_model(network),
    )


def outline_of_model(model: tf_keras.Model) -> Outline:
    """The outline of a model that was built."""
    import tf_keras

    return Outline(
        _layout_of_model(model),
        model.count_params(),
        lambda: tf_keras.saving.serialize_keras_object(model),
        lambda: model,
    )


def weights_layout(layers: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Where a ``.weights.h5`` has each variable: layers are numbered by class, variables by their order in the layer.

    Args:
        layers: Class of each layer and slim names of its variables, in the order of ``model.layers``.

    Source: tf_keras/src/saving/saving_lib.py, ``_save_container_state``.
    """
    layers = [(kind, list(names)) for kind, names in layers]
    groups = _layer_groups(kind for kind, _ in layers)
    return {
        name: f"{group}/vars/{index}"
        for group, (_, names) in zip(groups, layers, strict=True)
        for index, name in enumerate(names)
    }


def _layer_groups(kinds: Iterable[str]) -> list[str]:
    """Group of each layer in a file, from the classes of the layers."""
    groups = []
    counts: Counter[str] = Counter()
    for kind in kinds:
        # Conv2D is conv2d and BatchNormalization batch_normalization, as tf_keras' to_snake_case has it.
        stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        groups.append(f"layers/{stem}_{counts[stem]}" if counts[stem] else f"layers/{stem}")
        counts[stem] += 1
    return groups


def _layout_of_model(model: tf_keras.Model) -> dict[str, str]:
    return weights_layout((type(layer).__name__, layer_variables(layer)) for layer in model.layers)


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
    """Write a ``.weights.h5`` for ``model.load_weights``, from values that need not be in a model.

    The datasets are those of ``model.save_weights``, whose own writer looks at every attribute of every layer, which
    takes longer than the writing. They lie in the order in which tf_keras loads them, header before values: within a
    ``.keras`` its reader starts again from the beginning for every step backwards. So the index of the layers has to
    be at the front too: every layer is entered first, in the place of something else, and made when its turn comes.
    """
    with _hdf5_for_writing(path, libver=_INDEXED) as file:
        _write_tensors(outline, values, file)


def _write_tensors(outline: Outline, values: Values, file: h5py.File) -> None:
    import h5py

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
        # As create_dataset does, which takes longer to look at its options than to write most tensors.
        space = h5py.h5s.create_simple(value.shape)
        dataset = h5py.h5d.create(groups[layer].id, index.encode(), h5py.h5t.IEEE_F32LE, space)
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
        stored = slim_variables(load_file(path))
        yield lambda name: np.asarray(stored[name])


def _read_tensor(file: h5py.File, place: str) -> NDArray[Any]:
    """What ``file[place][()]`` gives, in less time."""
    import h5py

    dataset = h5py.h5d.open(file.id, place.encode())
    value: NDArray[Any] = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    return value


def load_file(path: Path, *, with_optimizer: bool = False) -> tf_keras.Model:
    """Load a whole model, also one with a layer or a training step of our own.

    Loss and metrics are left out: they may be functions that only the program has which wrote the file.

    Args:
        with_optimizer: Compile a ``.keras`` that was compiled, with its optimizer and the state of that.

    Raises:
        UnsafeModelError: If the file could run code.
        ModelReadError: If the file is corrupt.
    """
    import tf_keras

    for module in ("keras_layers", "optimizers", "fine_tuned_model"):
        importlib.import_module(f"slim2keras.{module}")
    check_model_file(path, with_optimizer=with_optimizer)
    if not is_archive(path):
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
    groups = _layer_groups(type(layer).__name__ for layer in model.layers)
    wanted = {f"{group}/vars/{i}" for layer, group in zip(model.layers, groups, strict=True) for i in _indices(layer)}
    if wanted != set(_datasets(file, "layers")):
        return False
    model.load_own_variables(file["vars"])
    for layer, group in zip(model.layers, groups, strict=True):
        if layer.weights:
            layer.load_own_variables(file[f"{group}/vars"])
    return True


def _indices(layer: tf_keras.layers.Layer) -> range:
    return range(len(layer.weights))


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


def _difference(value: NDArray[Any], stored: NDArray[Any]) -> float:
    """Largest difference; 0.0 only if every bit is equal, of a NaN too."""
    if value.shape != stored.shape or value.dtype != stored.dtype:
        return float("inf")
    if np.array_equal(value.view("uint32"), stored.view("uint32")):
        return 0.0
    return float(np.max(np.abs(value - stored)))
