"""What a person sees of a training: bars on a terminal, plain lines elsewhere, and a line an epoch that stays."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from slim2keras.cli.console import stderr, stdout
from slim2keras.files.reports import print_page
from slim2keras.trainer.progress import TrainingProgress

if TYPE_CHECKING:
    from slim2keras.trainer.plan import TrainingPlan

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_LOOKS = 0.2
"""To look at the numbers of a step makes a device wait for it."""

HEADER = "epoch       loss  accuracy  val. loss  val. accuracy  images/s    time"


@contextlib.contextmanager
def training_display(every: int | None = None, *, is_answer: bool = True) -> Iterator[ShownTraining]:
    """Show a training while it runs.

    Args:
        every: Steps after which a line is printed where there is no terminal; by time if left out.
        is_answer: Whether plan and epochs belong on stdout; else on stderr, where they leave it to JSON.
    """
    console = stdout if is_answer else stderr
    if not stderr.is_terminal:
        yield LinesOfTraining(console, every)
        return
    with _bars(stderr) as bars:
        # Beside bars everything goes through their console, or they would stay where they were.
        yield BarsOfTraining(stderr if console.is_terminal else console, bars)


def _bars(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), _Numbers())
    return Progress(*columns, console=console, transient=True, expand=True)


class _Numbers(ProgressColumn):
    """Loss and accuracy where a task has any, else the time left."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))
        self._time = TimeRemainingColumn()

    def render(self, task: Task) -> Text:
        """What stands behind the bar."""
        numbers = task.fields["numbers"]
        return Text(numbers) if numbers else Text.assemble(self._time.render(task), " left")


class ShownTraining(TrainingProgress):
    """The plan and a line an epoch, on any console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plan: TrainingPlan | None = None

    def planned(self, plan: TrainingPlan) -> None:
        """Show everything that decides the result."""
        self._plan = plan
        print_page(plan.page(), self._console)
        if plan.first_step < plan.total_steps:
            self._print(f"\n{HEADER}", "bold")

    def epoch_ends(self, epoch: int, row: Mapping[str, float], *, is_best: bool) -> None:
        """Show what was learnt, how good that is, and how long it took."""
        self._print(describe_epoch(self._number(epoch), row) + ("  best" if is_best else ""))

    def _number(self, epoch: int) -> str:
        epochs = 0 if self._plan is None else self._plan.epochs
        return f"{epoch:>{len(str(epochs))}}/{epochs}"

    def _print(self, text: str, style: str = "") -> None:
        print_page([Text(text, style)], self._console)


class LinesOfTraining(ShownTraining):
    """Besides, a line every so many steps, or every half minute."""

    def __init__(self, console: Console, every: int | None = None) -> None:
        super().__init__(console)
        self._every, self._epoch, self._printed_at = every, 0, time.monotonic()

    def epoch_begins(self, epoch: int, first_step: int) -> None:  # noqa: ARG002  what is told
        """Note which one it is."""
        self._epoch = epoch

    def step_ends(self, step: int, logs: Mapping[str, float], images_per_second: float) -> None:
        """Show the step if that is due."""
        now = time.monotonic()
        is_due = step % self._every == 0 if self._every else now - self._printed_at > _SECONDS_BETWEEN_LINES
        if is_due and self._plan is not None:
            self._printed_at = now
            done = f"epoch {self._number(self._epoch)}  step {step}/{self._plan.steps_per_epoch}"
            self._print(f"{done}  {describe_step(logs, images_per_second)}")


class BarsOfTraining(ShownTraining):
    """Besides, a bar for the epoch and one for the whole, while it runs."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self._bars = bars
        self._epoch: TaskID | None = None
        self._whole: TaskID | None = None
        self._looked_at = 0.0
        self._wait_for("preparing")

    def planned(self, plan: TrainingPlan) -> None:
        """Show the plan, and begin with the bars."""
        self._clear()
        super().planned(plan)
        self._epoch = self._bars.add_task("epoch", total=plan.steps_per_epoch, numbers=" ")
        self._whole = self._bars.add_task("in all", total=plan.total_steps, completed=plan.first_step, numbers="")

    def epoch_begins(self, epoch: int, first_step: int) -> None:
        """Begin with the bar of the epoch; the last one may be shorter."""
        if self._epoch is not None and self._plan is not None:
            done = (epoch - 1) * self._plan.steps_per_epoch
            total = min(self._plan.steps_per_epoch, self._plan.total_steps - done)
            title = f"epoch {self._number(epoch)}"
            self._bars.reset(self._epoch, description=title, total=total, completed=first_step)

    def step_ends(self, step: int, logs: Mapping[str, float], images_per_second: float) -> None:
        """Move both bars."""
        if self._epoch is None or self._whole is None:
            return
        self._bars.update(self._epoch, completed=step)
        self._bars.advance(self._whole)
        now = time.monotonic()
        if now - self._looked_at > _SECONDS_BETWEEN_LOOKS:
            self._looked_at = now
            self._bars.update(self._epoch, numbers=describe_step(logs, images_per_second))

    def judging(self) -> None:
        """A bar without an end in the place of both."""
        self._clear()
        self._wait_for("judging the best network")

    def _wait_for(self, what: str) -> None:
        self._bars.add_task(what, total=None, numbers=" ")

    def _clear(self) -> None:
        self._epoch = self._whole = None
        for task in self._bars.task_ids:
            self._bars.remove_task(task)


def describe_step(logs: Mapping[str, float], images_per_second: float) -> str:
    """``loss 0.5312  accuracy 81.2%  123 images/s``."""
    return f"loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.1%}  {images_per_second:,.0f} images/s"


def describe_epoch(number: str, row: Mapping[str, float]) -> str:
    """The line of an epoch, below ``HEADER``."""
    minutes, seconds = divmod(round(row["seconds"]), 60)
    return (
        f"{number:<8}{_short(row['loss']):>8}{row['accuracy']:>10.1%}{_short(row['val_loss']):>11}"
        f"{row['val_accuracy']:>15.1%}"
        f"{row['images_per_second']:>10,.0f}{f'{minutes}:{seconds:02d}':>8}"
    )


def _short(loss: float) -> str:
    """One that statistics in a pit make millions would run into the column before it."""
    return f"{loss:.4f}" if loss < 1000.0 else f"{loss:.3g}"
