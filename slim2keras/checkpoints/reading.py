"""slim checkpoints as a read-only mapping from variable name to array.

Read are V1 (one file, as in the tarballs of 2016 and 2017), V2 (``.index`` and ``.data-*``), training directories, and
``.tar.gz``/``.tgz`` archives of either.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slim2keras.checkpoints.claims import check_claims
from slim2keras.checkpoints.locating import CheckpointFiles, locate_checkpoint, locate_in_archive, path_errors
from slim2keras.errors import CheckpointReadError, did_you_mean, is_out_of_memory
from slim2keras.files.archives import is_archive, unpacked_archive
from slim2keras.files.unchanged import FileStamps
from slim2keras.importing.graph_files import is_graph_file, saved_model_file
from slim2keras.importing.request import GraphRequest
from slim2keras.importing.sources import read_graph
from slim2keras.scopes import VariableInfo, VariableKind, classify_variables, global_step_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slim2keras.importing.imported import ImportedGraph

_OBJECT_GRAPH_KEYS = ("_CHECKPOINTABLE_OBJECT_GRAPH", "_TRACKABLE_OBJECT_GRAPH")

_UNREAD_OF_V1 = ("Sliced checkpoints are not supported", "Data type not supported")
"""What TensorFlow says of whole V1 files that it wrote itself."""


class Reader(Protocol):
    """What reads the variables of a checkpoint, as TensorFlow's own does."""

    def get_tensor(self, name: str) -> NDArray[Any]: ...

    def get_variable_to_shape_map(self) -> Mapping[str, Any]: ...

    def get_variable_to_dtype_map(self) -> Mapping[str, Any]: ...


class ArrayReader:
    """Reads arrays, and what they do not have from another reader.

    Args:
        arrays: By variable name.
        others: Where further variables are.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], others: Reader | None = None) -> None:
        self._arrays = arrays
        self._others = others

    def get_tensor(self, name: str) -> NDArray[Any]:
        if self._others is None or name in self._arrays:
            return self._arrays[name]
        return self._others.get_tensor(name)

    def get_variable_to_shape_map(self) -> Mapping[str, Any]:
        others = self._others.get_variable_to_shape_map() if self._others else {}
        return {**others, **{name: array.shape for name, array in self._arrays.items()}}

    def get_variable_to_dtype_map(self) -> Mapping[str, Any]:
        import tensorflow as tf

        others = self._others.get_variable_to_dtype_map() if self._others else {}
        return {**others, **{name: tf.as_dtype(array.dtype) for name, array in self._arrays.items()}}


class Checkpoint(Mapping[str, Any]):
    """A checkpoint's variables, read when asked for.

    Attributes:
        given: The path as the user gave it.
        location: The files behind it.
        variables: Shape and dtype of every variable, sorted by name. Iterators of ``tf.data`` are none.
        kinds: What each variable is for.
    """

    def __init__(
        self,
        given: Path,
        location: CheckpointFiles,
        reader: Reader | None = None,
        stamps: FileStamps | None = None,
    ) -> None:
        self.given = given
        self.location = location
        self._stamps = FileStamps.of(location.files) if stamps is None else stamps
        with _read_errors(given):
            self._reader = _open_reader(location) if reader is None else reader
            shapes = self._reader.get_variable_to_shape_map()
            dtypes = self._reader.get_variable_to_dtype_map()
        if any(key in shapes for key in _OBJECT_GRAPH_KEYS):
            raise CheckpointReadError(
                f"{given} is not a slim checkpoint: TensorFlow 2 wrote it by object "
                f"({next(key for key in _OBJECT_GRAPH_KEYS if key in shapes)}), without slim's variable names. "
                "Load it with tf.train.Checkpoint in the program that wrote it."
            )
        self.variables = {
            name: VariableInfo(tuple(shapes[name]), dtypes[name].as_numpy_dtype.__name__)
            for name in sorted(shapes)
            if dtypes[name].name != "variant"
        }
        self.kinds = classify_variables(self.variables)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.variables:
            raise KeyError(f"{self.given} has no variable {name!r}.{did_you_mean(name, self.variables)}")
        with _read_errors(self.given, name):
            value: NDArray[Any] = self._reader.get_tensor(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def names(self, kind: VariableKind) -> list[str]:
        """Names of the variables of a kind, sorted."""
        return [name for name, its_kind in self.kinds.items() if its_kind is kind]

    def with_constants(self, constants: Mapping[str, NDArray[Any]]) -> Checkpoint:
        """The same with further variables, whose values a graph holds."""
        if not constants:
            return self
        return Checkpoint(self.given, self.location, ArrayReader(constants, self._reader), self._stamps)

    def check_unchanged(self) -> None:
        """Refuse files that were written or replaced since they were opened.

        Raises:
            CheckpointReadError: With the first of them.
        """
        self._stamps.check()

    @property
    def model_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every variable of the network."""
        return {name: self.variables[name].shape for name in self.names(VariableKind.MODEL)}

    @property
    def global_step(self) -> int | None:
        """Number of training steps done, ``None`` if the checkpoint does not say."""
        name = global_step_name(self.kinds)
        if name is None:
            return None
        value = self[name]
        with _read_errors(self.given, name):
            return int(value)


class GraphVariables(Checkpoint):
    """The variables of a graph file: those beside a SavedModel, or what a frozen graph holds as constants.

    Attributes:
        source: The graph.
    """

    def __init__(self, given: Path, request: GraphRequest) -> None:
        file = saved_model_file(given) or given
        stamps = FileStamps.of([file])
        self.source = read_graph(given)
        self._request = request
        if self.source.checkpoint is not None:
            variables = locate_checkpoint(self.source.checkpoint)
            location = CheckpointFiles(variables.prefix, variables.version, (file, *variables.files))
            super().__init__(given, location, stamps=stamps.and_of(variables.files))
            return
        constants = ArrayReader(self.imported.constants)
        super().__init__(given, CheckpointFiles(file, self.source.kind, (file,)), constants, stamps)
        lacking = [item.name for item in self.imported.network.graph.variables() if item.name not in self]
        if lacking:
            raise CheckpointReadError(
                f"{given} is a graph without the values of {len(lacking)} variables, the first {lacking[0]}. Give the "
                "checkpoint that has them, and this file as its graph: graph=PATH (command line: --graph PATH)."
            )

    @functools.cached_property
    def imported(self) -> ImportedGraph:
        """What the graph was imported as."""
        return self._request.import_source(self.source)


@contextlib.contextmanager
def open_checkpoint(path: str | Path, graph: GraphRequest | None = None) -> Iterator[Checkpoint]:
    """Open a checkpoint; what was unpacked of an archive is gone when the block ends.

    Args:
        path: V1 file, V2 prefix or one of its files, training directory, ``.tar``, ``.tar.gz`` or ``.tgz``; or a frozen
            graph or a SavedModel of TensorFlow 1.
        graph: What is said of that graph.

    Raises:
        CheckpointReadError: If nothing readable is there; the message says what was found instead.
        UnsupportedGraphError: If a graph is given that is no network of layers.
    """
    with contextlib.ExitStack() as stack:
        yield _opened(Path(path), graph or GraphRequest(), stack)


def _opened(given: Path, graph: GraphRequest, stack: contextlib.ExitStack) -> Checkpoint:
    """What ``open_checkpoint`` gives; what is unpacked for it the stack removes."""
    with path_errors(given):
        if is_graph_file(given):
            return GraphVariables(given, graph)
        if is_archive(given):
            stamps = FileStamps.of([given])
            directory = stack.enter_context(unpacked_archive(given))
            with _called_by_archive(directory, given):
                found = locate_in_archive(directory, given)
            return Checkpoint(given, CheckpointFiles(found.prefix, found.version, (given,)), stamps=stamps)
        return Checkpoint(given, locate_checkpoint(given))


@contextlib.contextmanager
def _called_by_archive(directory: Path, archive: Path) -> Iterator[None]:
    """Have errors name the archive and not where it was unpacked, which is gone when they are read."""
    try:
        yield
    except CheckpointReadError as error:
        raise CheckpointReadError(str(error).replace(str(directory), str(archive))) from error


def _open_reader(location: CheckpointFiles) -> Any:
    import tensorflow as tf

    check_claims(location)
    return tf.train.load_checkpoint(str(location.prefix))


@contextlib.contextmanager
def _read_errors(given: Path, variable: str | None = None) -> Iterator[None]:
    """Turn whatever TensorFlow's reader raises on a bad file into one error."""
    try:
        yield
    except Exception as error:
        # The reader raises OpError, ValueError, RuntimeError, TypeError or UnicodeDecodeError, by the place of damage.
        where = f" at {variable}" if variable else ""
        detail = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        if is_out_of_memory(error):
            raise CheckpointReadError(
                f"{given} cannot be read{where}: memory ran out ({detail}). Give the process more; or the file is "
                "damaged, and claims to hold more than it does."
            ) from error
        if any(text in detail for text in _UNREAD_OF_V1):
            raise CheckpointReadError(
                f"{given} cannot be read{where}: {detail}, says TensorFlow's reader of V1 checkpoints, of parts of a "
                "partitioned variable or of numbers like float16. Restore it with the program that wrote it, and save "
                "it as V2: tf.compat.v1.train.Saver(write_version=2)."
            ) from error
        raise CheckpointReadError(
            f"{given} is corrupt{where}: {detail}. Fetch or copy the checkpoint again; if it was being written, use "
            "the one before."
        ) from error
