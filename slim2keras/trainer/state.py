"""The last state of a RUN: all that it takes to go on, there whole or not at all.

A state is a directory of its own, ``last/state-000012``, which gets its name when everything in it is written; then the
one before is removed. So a process that is killed between any two steps leaves one that is whole, the newest.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.conversion.reading import load_model
from slim2keras.errors import CheckpointReadError, Slim2KerasError
from slim2keras.files.json_values import check_fields, read_json
from slim2keras.files.locks import directory_locked
from slim2keras.files.moves import finish_moves_of_the_dead
from slim2keras.files.output_files import whole_or_not_at_all
from slim2keras.files.run_layout import RunLayout

if TYPE_CHECKING:
    from slim2keras.training.model import FineTunedModel

_STATE = re.compile(r"state-(\d{6,})")
_DRAFT, _MOVING = re.compile(r"\..+\.[0-9a-f]{12}"), re.compile(r"\.(.+)\.moving")
"""Where ``whole_or_not_at_all`` writes, and what it has begun to move."""
_MODEL, _FACTS = "model.keras", "state.json"

Row = Mapping[str, float]
"""A line of history.csv."""


@dataclass(frozen=True)
class Best:
    """The best validation so far.

    Attributes:
        epoch: After which it was, from 1; 0 before the first.
        accuracy: On the validation images.
        loss: Likewise.
    """

    epoch: int = 0
    accuracy: float = -1.0
    loss: float = float("inf")

    def is_beaten_by(self, accuracy: float, loss: float) -> bool:
        """Whether that is better: more accurate, or as accurate at a smaller loss."""
        return accuracy > self.accuracy or (accuracy == self.accuracy and loss < self.loss)


@dataclass(frozen=True)
class RunState:
    """How far a run is, beside its model.

    Attributes:
        step: Steps done.
        begun_at: Of these, before the epoch that has begun.
        rows: A line of history.csv for each epoch that is done and validated.
        best: Validation.
        metrics: Accumulators of the epoch that has begun, by metric; empty at its begin.
        seconds: Of the epoch that has begun.
    """

    step: int = 0
    begun_at: int = 0
    rows: tuple[Row, ...] = ()
    best: Best = field(default_factory=Best)
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """The epoch that has begun, from 0."""
        return len(self.rows)

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best.epoch

    def after_epoch(self, row: Row) -> RunState:
        """The state at the begin of the next epoch."""
        best, accuracy, loss = self.best, row["val_accuracy"], row["val_loss"]
        if best.is_beaten_by(accuracy, loss):
            best = Best(self.epoch + 1, accuracy, loss)
        return replace(self, begun_at=self.step, rows=(*self.rows, row), best=best, metrics={}, seconds=0.0)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RunState:
        """The reverse.

        Raises:
            KeyError, TypeError: If it is no such state.
        """
        check_fields(Best, stored["best"])
        values = {**stored, "rows": tuple(stored["rows"]), "best": Best(**stored["best"])}
        check_fields(cls, values)
        return cls(**values)


def write_state(layout: RunLayout, model: FineTunedModel, state: RunState) -> None:
    """Write the last state, and remove the one before.

    Raises:
        NoSpaceError: If the disk is full; the one before stays.
        OutputError: If it cannot be written.
    """
    before = _states(layout)
    number = 1 + max(before, default=0)
    target = layout.last / f"state-{number:06d}"
    with whole_or_not_at_all(target) as (draft,):
        draft.mkdir()
        model.save(draft / _MODEL)
        (draft / _FACTS).write_text(json.dumps(state.to_json()), encoding="utf-8")
    for path in before.values():
        shutil.rmtree(path, ignore_errors=True)


def read_state(layout: RunLayout) -> tuple[FineTunedModel, RunState]:
    """Model, with its optimizer, and state of a RUN.

    Raises:
        CheckpointReadError: If there is none, or it cannot be read.
    """
    states = _states(layout)
    if not states:
        raise CheckpointReadError(
            f"{layout.directory} was stopped before its first state was written, so there is nothing to go on from. "
            "Remove it, and train anew."
        )
    path = states[max(states)]
    try:
        state = RunState.from_json(read_json(path / _FACTS))
        return _trained(path / _MODEL), state
    except (OSError, ValueError, KeyError, TypeError, AttributeError, Slim2KerasError) as error:
        raise CheckpointReadError(
            f"The last state of {layout.directory} cannot be read: {path.name}: {type(error).__name__}: {error}"
        ) from error


def _trained(path: Path) -> FineTunedModel:
    """The model of a state.

    Raises:
        ModelReadError: If it is corrupt.
        TypeError: If it is a model that no run writes.
    """
    from slim2keras.training.model import FineTunedModel

    model = load_model(path, with_optimizer=True)
    if not isinstance(model, FineTunedModel) or model.slim_network is None or model.optimizer is None:
        raise TypeError(f"{path.name} holds no network that is being trained")
    return model


def clear_drafts(layout: RunLayout) -> None:
    """Remove what runs left that were killed while they wrote, and states that are not the last.

    What they had begun to move is moved to its end. What another command writes there by now stays.
    """
    for directory in (layout.directory, layout.last, layout.slim):
        for path in directory.glob(".*"):
            moving = _MOVING.fullmatch(path.name)
            if moving:
                finish_moves_of_the_dead(path.with_name(moving[1]))
            elif _DRAFT.fullmatch(path.name) and path.is_dir():
                with contextlib.suppress(OSError), directory_locked(path) as is_free:
                    # Where there are no locks, the one who trains here takes all for dead.
                    if is_free is not False:
                        shutil.rmtree(path, ignore_errors=True)
    states = _states(layout)
    for number, path in states.items():
        if number < max(states):
            shutil.rmtree(path, ignore_errors=True)


def _states(layout: RunLayout) -> dict[int, Path]:
    if not layout.last.is_dir():
        return {}
    named = ((path, _STATE.fullmatch(path.name)) for path in layout.last.iterdir())
    return {int(match[1]): path for path, match in named if match}
