"""slim checkpoints as a read-only mapping from variable name to array.

Read are V1 (one file, as in the tarballs of 2016 and 2017), V2 (``.index`` and ``.data-*``), training directories, and
``.tar.gz``/``.tgz`` archives of either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.locating import CheckpointFiles, locate_checkpoint, locate_in_archive
from slim2keras.errors import CheckpointReadError, did_you_mean
from slim2keras.files.archives import is_archive, unpacked_archive
from slim2keras.scopes import VariableInfo, VariableKind, classify_variables, global_step_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


_OBJECT_GRAPH_KEYS = ("_CHECKPOINTABLE_OBJECT_GRAPH", "_TRACKABLE_OBJECT_GRAPH")


class Checkpoint(Mapping[str, Any]):
    """A checkpoint's variables, read when asked for.

    Attributes:
        given: The path as the user gave it.
        location: The files behind it.
        variables: Shape and dtype of every variable, sorted by name.
        kinds: What each variable is for.
    """

    def __init__(self, given: Path, location: CheckpointFiles) -> None:
        self.given = given
        self.location = location
        with _read_errors(given):
            self._reader = _open_reader(location.prefix)
            shapes = self._reader.get_variable_to_shape_map()
            dtypes = self._reader.get_variable_to_dtype_map()
        if any(key in shapes for key in _OBJECT_GRAPH_KEYS):
            raise CheckpointReadError(
                f"{given} is not a slim checkpoint: TensorFlow 2 wrote it by object "
                f"({next(key for key in _OBJECT_GRAPH_KEYS if key in shapes)}), without slim's variable names. "
                "Load it with tf.train.Checkpoint in the program that wrote it."
            )
        self.variables = {
            name: VariableInfo(tuple(shapes[name]), dtypes[name].as_numpy_dtype.__name__) for name in sorted(shapes)
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

    @property
    def model_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every variable of the network."""
        return {name: self.variables[name].shape for name in self.names(VariableKind.MODEL)}

    @property
    def global_step(self) -> int | None:
        """Number of training steps done, ``None`` if the checkpoint does not say."""
        name = global_step_name(self.kinds)
        return None if name is None else int(self[name])


@contextlib.contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """Open a checkpoint; what was unpacked of an archive is gone when the block ends.

    Args:
        path: V1 file, V2 prefix or one of its files, training directory, ``.tar``, ``.tar.gz`` or ``.tgz``.

    Raises:
        CheckpointReadError: If nothing readable is there; the message says what was found instead.
    """
    given = Path(path)
    with contextlib.ExitStack() as stack:
        if is_archive(given):
            found = locate_in_archive(stack.enter_context(unpacked_archive(given)), given)
            location = CheckpointFiles(found.prefix, found.version, (given,))
        else:
            location = locate_checkpoint(given)
        yield Checkpoint(given, location)


def _open_reader(prefix: Path) -> Any:
    import tensorflow as tf

    return tf.train.load_checkpoint(str(prefix))


@contextlib.contextmanager
def _read_errors(given: Path, variable: str | None = None) -> Iterator[None]:
    """Turn whatever TensorFlow's reader raises on a bad file into one error."""
    try:
        yield
    except Exception as error:
        # The reader raises OpError, ValueError, RuntimeError, TypeError or UnicodeDecodeError, by the place of damage.
        where = f" at {variable}" if variable else ""
        detail = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise CheckpointReadError(
            f"{given} is corrupt{where}: {detail}. Fetch or copy the checkpoint again; if it was being written, use "
            "the one before."
        ) from error
