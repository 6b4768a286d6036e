"""What came of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from slim2keras.extras import is_installed
from slim2keras.files.reports import Report
from slim2keras.trainer.judging import Judgement
from slim2keras.trainer.plan import TrainingPlan
from slim2keras.trainer.state import RunState


@dataclass(frozen=True, repr=False)
class TrainingResult(Report):
    """What came of a training; written as ``report.json``.

    Attributes:
        run: The RUN.
        plan: What decided it.
        options: All of them.
        state: How far it went, with a line for each epoch.
        ended: Why it ended, in words.
        judgement: How good ``model.keras`` is.
        old_statistics_left: Largest part of the checkpoint's moving statistics that is left.
        slim: Prefix of the slim checkpoint, ``None`` if none was asked for.
        versions: Of everything that took part.
    """

    run: Path
    plan: TrainingPlan
    options: Mapping[str, Any]
    state: RunState
    ended: str
    judgement: Judgement
    old_statistics_left: float | None
    slim: Path | None
    versions: Mapping[str, str]

    @property
    def accuracy(self) -> float:
        """Of ``model.keras`` on the validation images."""
        return self.judgement.evaluation.accuracy

    @property
    def images_per_second(self) -> float:
        """Of training, the mean of the epochs."""
        rows = self.state.rows
        return sum(row["images_per_second"] for row in rows) / max(1, len(rows))

    @property
    def seconds(self) -> float:
        """Of all epochs, validation included."""
        return sum(row["seconds"] for row in self.state.rows)

    def summary(self) -> str:
        """In one line."""
        return f"accuracy {self.accuracy:.1%} on {self.judgement.evaluation.images} validation images, {self.run}"

    def page(self) -> Iterator[RenderableType]:
        """Accuracy, what BatchNorm cost, and what lies where."""
        yield from self.judgement.evaluation.page()
        yield Text(f"\n{self.ended}; best after epoch {self.state.best.epoch} of {self.state.epoch}")
        if self.judgement.gap is not None:
            yield Text(f"BatchNorm: {self.judgement.gap.describe()}")
        if self.judgement.recalibration:
            yield Text(self.judgement.recalibration)
        if not is_installed("matplotlib"):
            yield Text("remark: no pictures were drawn. Install what draws: pip install 'slim2keras[plots]'", "yellow")
        lost = self.judgement.accuracy_lost
        if lost is not None:
            when = " after the last epoch" if lost == self.judgement.lost_at_end else ""
            yield Text(
                f"remark: the moving statistics cost {100.0 * lost:.1f} points of accuracy{when}. Recalibrate them: "
                f"resumed_request(run, recalibrate=True) (command line: slim2keras finetune --resume {self.run} "
                "--recalibrate).",
                "yellow",
            )

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        validation = self.judgement.evaluation.to_json()
        return {
            "run": str(self.run),
            "validation": validation,
            "epochs": self.state.epoch,
            "steps": self.state.step,
            "best_epoch": self.state.best.epoch,
            "ended": self.ended,
            "decay": self.plan.decay,
            "old_statistics_left": self.old_statistics_left,
            "gap": None if self.judgement.gap is None else self.judgement.gap.to_json(),
            "recalibration": self.judgement.recalibration or None,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "slim": None if self.slim is None else str(self.slim),
            "options": dict(self.options),
            "plan": self.plan.to_json(),
            "history": [dict(row) for row in self.state.rows],
            "versions": dict(self.versions),
        }
