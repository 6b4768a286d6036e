"""A model file seen as a checkpoint: its variables by slim's names, slots and step included."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.checkpoints.locating import CheckpointFiles
from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.checkpoints.training_record import TrainingRecord
from slim2keras.conversion.reading import load_model
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.files.unchanged import FileStamps
from slim2keras.importing.request import GraphRequest
from slim2keras.models.variables import slim_variables, stored_shapes
from slim2keras.outputs.formats import is_model_file
from slim2keras.scopes import VariableInfo, classify_variables
from slim2keras.training.state import state_variables

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


class ModelVariables(Checkpoint):
    """Variables of a Keras model, as a checkpoint of it would have them.

    Attributes:
        model: The model.
    """

    def __init__(self, given: Path, model: tf_keras.Model) -> None:
        self.given = given
        self.model = model
        files = tuple(sorted(path for path in given.rglob("*") if path.is_file())) if given.is_dir() else (given,)
        self.location = CheckpointFiles(given, "Keras", files)
        self._stamps = FileStamps({})  # all of it was read already
        try:
            self._values: Mapping[str, Any] = state_variables(model)
        except UnsupportedArgumentError:
            # An optimizer that slim does not have: its state has no names there.
            self._values = slim_variables(model)
        self._shapes = stored_shapes(model)
        self.variables = {
            name: VariableInfo(self._shapes.of(name, value), np.dtype(value.dtype.as_numpy_dtype).name)
            for name, value in sorted(self._values.items())
        }
        self.kinds = classify_variables(self.variables)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._shapes.stored(name, self._values[name])

    @property
    def record(self) -> TrainingRecord:
        """What fine-tuning did to the moving statistics, if that is what the model comes from."""
        record = getattr(self.model, "statistics_record", None)
        return TrainingRecord() if record is None else record.read()

    @property
    def decays(self) -> dict[str, float]:
        """Momentum of every BatchNorm layer."""
        return {layer.name: float(layer.momentum) for layer in batch_norm_layers(self.model)}


@contextlib.contextmanager
def open_variables(path: str | Path, graph: GraphRequest | None = None) -> Iterator[Checkpoint]:
    """Open a checkpoint, or a model file as if it were one.

    Args:
        graph: What is said of a graph that is opened.

    Raises:
        CheckpointReadError: If it is no checkpoint that can be read.
        ModelReadError: If it is a model file, and cannot be read.
    """
    if is_model_file(Path(path)):
        yield ModelVariables(Path(path), load_model(path, with_optimizer=True))
        return
    with open_checkpoint(path, graph) as checkpoint:
        yield checkpoint
