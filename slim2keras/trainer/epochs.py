"""What is done between steps and after epochs: validation, the best model, the history, the last state."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import tf_keras

from slim2keras.batch_norm.probe import Gap
from slim2keras.errors import NonFiniteLossError
from slim2keras.evaluation.scores import Scores
from slim2keras.files.reports import plural
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.finite import nonfinite_variables
from slim2keras.models.precision import precision_of
from slim2keras.trainer.best_model import BestModel, averages_taken
from slim2keras.trainer.datasets import evaluation_images
from slim2keras.trainer.history import EventFiles, write_history
from slim2keras.trainer.interruption import Interruption
from slim2keras.trainer.metrics import Accumulators, LazyLogs
from slim2keras.trainer.monitoring import monitor_of, old_statistics_left
from slim2keras.trainer.preparing import Training
from slim2keras.trainer.progress import TrainingProgress
from slim2keras.trainer.state import RunState, write_state
from slim2keras.trainer.steps import learning_rate_at
from slim2keras.trainer.validation import Validated, Validation

_SPEED_WINDOW = 20
"""Steps over which images a second are told."""


@dataclass(frozen=True)
class BestSeen:
    """What was seen of a network after an epoch.

    Attributes:
        scores: Of the validation images.
        gap: Between batch and moving statistics; ``None`` where no layer normalises with the batch.
    """

    scores: Scores
    gap: Gap | None


class EpochWork(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Follows ``fit``; everything that a RUN has of an epoch is written here.

    Args:
        training: That runs.
        layout: Where it writes.
        state: How far the run is.
        progress: To tell.
        interruption: To be looked for between steps.

    Attributes:
        state: How far the run is now.
        validation: Batches of the validation images.
        best: What was seen of ``model.keras`` when it was written; ``None`` if it was by another process.
    """

    _supports_tf_logs = True

    def __init__(
        self,
        training: Training,
        layout: RunLayout,
        state: RunState,
        progress: TrainingProgress,
        interruption: Interruption,
    ) -> None:
        super().__init__()
        self._training, self._layout, self._progress, self._interruption = training, layout, progress, interruption
        self.state = state
        self.validation = evaluation_images(training, training.images.validation)
        self._validation = Validation(training, self.validation)
        self.best: BestSeen | None = None
        self._best_model = BestModel(training.model, layout.model)
        self._events = EventFiles(layout.tensorboard)
        self._accumulated = Accumulators(training.model, state.metrics)
        self._monitor = monitor_of(training, self.epochs)
        self._ends: deque[float] = deque(maxlen=_SPEED_WINDOW)
        self._began = time.perf_counter()
        self._seconds_before = state.seconds
        self.set_model(training.model)

    @property
    def is_done(self) -> bool:
        """Whether no epoch is to come."""
        return self.is_impatient or self._training.steps.epochs_after(self.state.begun_at) == 0

    @property
    def is_impatient(self) -> bool:
        """Whether it was long since validation was best."""
        patience = self._training.request.loop.patience
        return patience is not None and self.state.epoch > 0 and self.state.waited >= patience

    @property
    def epochs(self) -> int:
        """Epochs in all, those done included."""
        return self.state.epoch + self._training.steps.epochs_after(self.state.begun_at)

    @property
    def steps_done(self) -> int:
        """Of the epoch that has begun."""
        return self.state.step - self.state.begun_at

    @property
    def steps_to_come(self) -> int:
        """Of the epoch that has begun."""
        return self._training.steps.of_epoch(self.state.begun_at) - self.steps_done

    def save(self) -> None:
        """Write the last state as of now.

        Raises:
            NonFiniteLossError: If the last step made values of the network NaN or infinite; the state before stays.
        """
        self._check_values()
        # Of several workers each has a part of these, so that all must be here.
        metrics = self._accumulated.values() if self.steps_done else {}
        if self._training.team.is_chief:
            now = replace(self.state, metrics=metrics, seconds=self._seconds)
            self._training.team.alone(self.model, lambda: write_state(self._layout, self.model, now))

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._began

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Tell where it begins."""
        self._began = time.perf_counter()
        self._ends.clear()
        self._ends.append(self._began)
        self._progress.epoch_begins(epoch + 1, self.steps_done)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, tell of it, and write the state if that is due or somebody wants to stop."""
        self.state = replace(self.state, step=self.state.step + 1)
        self._accumulated.go_on()
        self._ends.append(time.perf_counter())
        self._progress.step_ends(self.steps_done, LazyLogs(logs or {}), self._images_per_second)
        if self._monitor is not None:
            self._monitor.on_train_batch_end(batch)
        every = self._training.request.loop.save_steps
        self._interruption.check()
        if self.steps_to_come == 0:
            self.model.stop_training = self.state.step >= self._training.steps.total
        elif every and self.state.step % every == 0:
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Validate, and write all that follows."""
        self.end_epoch()
        self.model.stop_training = self.is_done

    def end_epoch(self) -> None:
        """Validate the epoch whose steps are done, and write best model, history and state."""
        self._check_values()
        accumulated = self._accumulated.values()
        learned = Accumulators.results(accumulated)
        seconds = max(self._seconds, 1e-9)
        with averages_taken(self._training.model):
            validated = self._validation.measure(lambda _: self._interruption.check())
        row = self._row(learned, validated, seconds)
        after = self.state.after_epoch(row)
        if after.best.epoch == after.epoch:
            self.best = self._seen(validated)
        if self._training.team.is_chief:
            self._training.team.alone(self.model, lambda: self._write(after, row, validated))
        self.state, self._seconds_before, self._began = after, 0.0, time.perf_counter()
        self._accumulated = Accumulators(self._training.model, {})
        self.save()
        self._progress.epoch_ends(after.epoch, row, is_best=after.best.epoch == after.epoch)

    def _check_values(self) -> None:
        """Each step has finite gradients; times the learning rate they may not be."""
        if broken := nonfinite_variables(self._training.model):
            raise NonFiniteLossError(
                f"Step {self.state.step} made {plural(len(broken), 'variable')} NaN or infinite, first {broken[0]}: "
                f"the learning rate is too large. The last state before it stays in {self._layout.last}; train anew "
                "with a smaller one."
            )

    def _write(self, after: RunState, row: Mapping[str, float], validated: Validated) -> None:
        if after.best.epoch == after.epoch:
            found = {"loss": validated.loss, "accuracy": validated.accuracy}
            self._best_model.write({"validation": found, "epoch": after.epoch, "step": after.step})
        write_history(self._layout.history, after.rows)
        self._events.write(row)

    def _row(self, learned: Mapping[str, float], validated: Validated, seconds: float) -> dict[str, float]:
        """A line of history.csv."""
        steps = self._training.steps
        images = self.steps_done * steps.batch_size
        return {
            "epoch": self.state.epoch + 1,
            **learned,
            "val_loss": validated.loss,
            "val_accuracy": validated.accuracy,
            "learning_rate": learning_rate_at(self._training.request.schedule, steps, self.state.step - 1),
            **self._watched(),
            "images_per_second": images / seconds,
            "seconds": self._seconds,
        }

    def _seen(self, validated: Validated) -> BestSeen | None:
        """Of the model of now, if it will be ``model.keras``, and not one in half precision, or with other values."""
        model = self._training.model
        if precision_of(model) != "float32" or model.shadows or not validated.is_finite:
            return None
        measured = None if self._monitor is None else self._monitor.measured
        return BestSeen(validated.scores, None if measured is None else measured.gap)

    def _watched(self) -> dict[str, float]:
        """What the monitor sees; of the old statistics what is left of those of the checkpoint, whoever trained."""
        if self._monitor is None:
            return {}
        logs: dict[str, float] = {}
        self._monitor.on_epoch_end(self.state.epoch, logs)
        return {**logs, "bn_old_statistics_left": old_statistics_left(self._training.model, self.state.step)}

    @property
    def _images_per_second(self) -> float:
        seconds = self._ends[-1] - self._ends[0]
        return self._training.steps.batch_size * (len(self._ends) - 1) / max(seconds, 1e-9)
