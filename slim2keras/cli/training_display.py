"""What a person sees of a training: bars on a terminal, plain lines elsewhere, and a line an epoch that stays."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from slim2keras.cli.console import stderr, stdout
from slim2keras.files.reports import print_page
from slim2keras.trainer.progress import TrainingProgress

if TYPE_CHECKING:
    from slim2keras.trainer.plan import TrainingPlan

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_LOOKS = 0.2
"""To look at the numbers of a step makes a device wait for it."""


@contextlib.contextmanager
def training_display(every: int | None = None, *, is_answer: bool = True) -> Iterator[TrainingProgress]:
    """Show a training while it runs.

    Args:
        every: Steps after which a line is printed where there is no terminal; by time if left out.
        is_answer: Whether plan and epochs belong on stdout; else on stderr, where they leave it to JSON.
    """
    console = stdout if is_answer else stderr
    if not console.is_terminal:
        yield LinesOfTraining(console, every)
        return
    with _bars(console) as bars:
        yield BarsOfTraining(console, bars)


def _bars(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    return Progress(*columns, console=console, transient=True, expand=True)


class ShownTraining(TrainingProgress):
    """The plan, a line an epoch and remarks, on any console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plan: TrainingPlan | None = None
        self._best = -1.0

    def planned(self, plan: TrainingPlan) -> None:
        self._plan = plan
        print_page(plan.page(), self._console)
        self._console.print()

    def epoch_ends(self, epoch: int, row: Mapping[str, float]) -> None:
        is_best = row["val_accuracy"] > self._best
        self._best = max(self._best, row["val_accuracy"])
        self._print(f"{self._title(epoch):<12} {describe_epoch(row)}", "bold" if is_best else "")

    def remark(self, text: str) -> None:
        self._print(f"remark: {text}", "yellow")

    def _title(self, epoch: int) -> str:
        epochs = 0 if self._plan is None else self._plan.epochs
        return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"

    def _print(self, text: str, style: str = "") -> None:
        print_page([Text(text, style)], self._console)


class LinesOfTraining(ShownTraining):
    """Besides, a line every so many steps, or every half minute."""

    def __init__(self, console: Console, every: int | None = None) -> None:
        super().__init__(console)
        self._every, self._epoch, self._printed_at = every, 0, time.monotonic()

    def epoch_begins(self, epoch: int, first_step: int) -> None:  # noqa: ARG002  what is told
        self._epoch = epoch

    def step_ends(self, step: int, logs: Mapping[str, float], images_per_second: float) -> None:
        now = time.monotonic()
        is_due = step % self._every == 0 if self._every else now - self._printed_at > _SECONDS_BETWEEN_LINES
        if is_due and self._plan is not None:
            self._printed_at = now
            numbers = describe_step(logs, images_per_second)
            self._print(f"{self._title(self._epoch):<12} step {step}/{self._plan.steps_per_epoch}  {numbers}")


class BarsOfTraining(ShownTraining):
    """Besides, a bar for the epoch and one for the whole, while it runs."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self._bars = bars
        self._epoch: TaskID | None = None
        self._whole: TaskID | None = None
        self._looked_at = 0.0

    def planned(self, plan: TrainingPlan) -> None:
        super().planned(plan)
        self._epoch = self._bars.add_task("", total=plan.steps_per_epoch, numbers="")
        self._whole = self._bars.add_task("all", total=plan.total_steps, completed=plan.first_step, numbers="")

    def epoch_begins(self, epoch: int, first_step: int) -> None:
        if self._epoch is not None and self._plan is not None:
            done = (epoch - 1) * self._plan.steps_per_epoch
            total = min(self._plan.steps_per_epoch, self._plan.total_steps - done)
            self._bars.reset(self._epoch, description=self._title(epoch), total=total, completed=first_step)

    def step_ends(self, step: int, logs: Mapping[str, float], images_per_second: float) -> None:
        if self._epoch is None or self._whole is None:
            return
        self._bars.update(self._epoch, completed=step)
        self._bars.advance(self._whole)
        now = time.monotonic()
        if now - self._looked_at > _SECONDS_BETWEEN_LOOKS:
            self._looked_at = now
            self._bars.update(self._epoch, numbers=describe_step(logs, images_per_second))


def describe_step(logs: Mapping[str, float], images_per_second: float) -> str:
    """``loss 0.5312  accuracy 81.2%  123 images/s``."""
    numbers = [f"loss {logs['loss']:.4f}"] if "loss" in logs else []
    numbers += [f"accuracy {logs['accuracy']:.1%}"] if "accuracy" in logs else []
    return "  ".join([*numbers, f"{images_per_second:,.0f} images/s"])


def describe_epoch(row: Mapping[str, float]) -> str:
    """The line of an epoch: what was learnt, how good that is, and how long it took."""
    validated = f"validation loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.1%}"
    minutes, seconds = divmod(round(row["seconds"]), 60)
    return f"{describe_step(row, row['images_per_second'])}  {validated}  {minutes}:{seconds:02d}"
