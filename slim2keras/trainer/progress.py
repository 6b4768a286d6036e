"""What is called while a training runs; the trainer itself prints nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slim2keras.trainer.plan import TrainingPlan


class TrainingProgress:
    """Told what happens, in this order; does nothing, so override what is wanted."""

    def planned(self, plan: TrainingPlan) -> None:
        """Everything that decides the result, before the first step."""

    def epoch_begins(self, epoch: int, first_step: int) -> None:
        """An epoch begins.

        Args:
            epoch: From 1; the last one is ``plan.epochs``.
            first_step: Within the epoch, 0 unless a run goes on in its middle; it has ``plan.steps_per_epoch``.
        """

    def step_ends(self, step: int, logs: Mapping[str, float], images_per_second: float) -> None:
        """A step is done.

        Args:
            step: Within the epoch, from 1.
            logs: ``loss`` and ``accuracy``, means over the epoch so far.
            images_per_second: Of the last steps.
        """

    def epoch_ends(self, epoch: int, row: Mapping[str, float], *, is_best: bool) -> None:
        """An epoch is done and validated.

        Args:
            epoch: From 1.
            row: The line of history.csv.
            is_best: Whether the network is better than after any epoch before, those of a run that goes on included.
        """

    def judging(self) -> None:
        """All steps are done; the best network is evaluated, and report and pictures are written."""
