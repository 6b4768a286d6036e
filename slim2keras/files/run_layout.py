"""The files of a RUN, the directory that a training writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slim2keras.errors import OutputError
from slim2keras.files.moves import moving_directory

_OWN = re.compile(r"state-000001|\.[0-9a-f]{24}|\.(state-\d{6,}|request\.json)\.([0-9a-f]{12}|moving)")
"""The first state, and what ``whole_or_not_at_all`` writes of one, or of the request."""


@dataclass(frozen=True)
class RunLayout:
    """Where each file of a RUN lies.

    Attributes:
        directory: The RUN.
    """

    directory: Path

    @property
    def request(self) -> Path:
        """What was asked, as JSON; written when the first state is there, and what makes a directory a RUN."""
        return self.directory / "request.json"

    @property
    def model(self) -> Path:
        """The model that was best on the validation images, plain Keras."""
        return self.directory / "model.keras"

    @property
    def model_report(self) -> Path:
        """What the model is, as JSON."""
        return self.directory / "model.keras.json"

    @property
    def last(self) -> Path:
        """Directory of the last state, enough to go on from."""
        return self.directory / "last"

    @property
    def history(self) -> Path:
        """A line an epoch."""
        return self.directory / "history.csv"

    @property
    def report(self) -> Path:
        """What came of it, as JSON; there when the run has ended."""
        return self.directory / "report.json"

    @property
    def labels(self) -> Path:
        """Names of the classes, slim's lines ``0:daisy``."""
        return self.directory / "labels.txt"

    @property
    def curves(self) -> Path:
        """Picture of loss, accuracy and learning rate."""
        return self.directory / "curves.png"

    @property
    def confusion(self) -> Path:
        """Picture of the confusion matrix."""
        return self.directory / "confusion.png"

    @property
    def tensorboard(self) -> Path:
        """Directory of event files."""
        return self.directory / "tensorboard"

    @property
    def slim(self) -> Path:
        """Directory of the slim checkpoint of the last state, if that was asked for."""
        return self.directory / "slim"


def is_run(path: Path) -> bool:
    """Whether a path is the directory of a RUN."""
    return RunLayout(path).request.is_file()


def model_of_run_told(path: Path) -> str:
    """Which file to give where a RUN is given and only its model can be taken; empty of anything else."""
    if not is_run(path):
        return ""
    run = RunLayout(path)
    return f"It is a RUN of finetune: give its model, {run.model}." if run.model.is_file() else lack_of_model_told(run)


def lack_of_model_told(run: RunLayout) -> str:
    """What is said of a RUN without a model, and what makes one."""
    return (
        f"{run.directory} has no {run.model.name}: it stopped before its first validation. Go on with it: "
        f"`slim2keras finetune --resume {run.directory}`."
    )


def check_is_not_of_run(path: Path) -> None:
    """Refuse to write what a RUN is made of, by which it is judged and goes on.

    Raises:
        OutputError: If the path is that of such a file.
    """
    run = RunLayout(path.parent)
    parts = run.request, run.model, run.model_report, run.last, run.history, run.report, run.labels
    if is_run(run.directory) and path in parts:
        raise OutputError(
            f"{path} is a part of the run {run.directory}, which would no longer be what it was, and is left as it is. "
            "Give another name."
        )


def holds_a_beginning(directory: Path) -> bool:
    """Whether a directory has nothing but what a training leaves there that was killed before its first step."""
    run = RunLayout(directory)
    found = {path for path in directory.iterdir() if not _OWN.fullmatch(path.name)}
    if moving_directory(run.request).is_dir():
        found.discard(run.labels)  # which get their name just before the request
    states = run.last.iterdir() if run.last.is_dir() else ()
    return found <= {run.last} and all(_OWN.fullmatch(path.name) for path in states)


def check_run_is_free(directory: Path) -> None:
    """Refuse a directory that holds something else than the beginning of a training that was killed.

    Raises:
        OutputError: If it does, or there is no directory to make it in.
    """
    if is_run(directory):
        raise OutputError(
            f"{directory} exists already and is left as it is. Choose another name, or go on with the run that lies "
            f"there: resumed_request (command line: --resume {directory})."
        )
    if directory.is_dir() and any(directory.iterdir()) and not holds_a_beginning(directory):
        raise OutputError(
            f"{directory} exists already and is left as it is; it is no run that was begun. Choose another name, or "
            "remove it."
        )
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file, and a RUN is a directory. Choose another name.")
    if not directory.absolute().parent.is_dir():
        raise OutputError(f"{directory} cannot be written: there is no directory {directory.parent}. Create it first.")
