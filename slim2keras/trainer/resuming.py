"""Going on with a RUN: its own options decide, and what may be changed is little."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slim2keras.errors import CheckpointReadError, UnsupportedArgumentError
from slim2keras.files.run_layout import RunLayout
from slim2keras.trainer.request import TrainingRequest, training_request, with_options

CHANGEABLE = frozenset({"epochs", "max_number_of_steps", "patience", "save_steps", "workers", "export_slim"})
"""Options that may differ in a run that goes on: none decides a step that is done already."""


def resumed_request(run: str | Path, data: str | Path | None = None, **changes: Any) -> TrainingRequest:
    """The request of a RUN that goes on.

    Args:
        run: The RUN.
        data: Where its images lie now, if elsewhere; they must be the same.
        changes: Options by name, see ``CHANGEABLE``; others must be as they were.

    Raises:
        CheckpointReadError: If it is no RUN.
        UnsupportedArgumentError: If an option is changed that decides what was trained already.

    Example:
        >>> train(resumed_request("run/", epochs=20))
    """
    found = read_request(Path(run))
    asked = with_options(found, changes)
    was, now = found.options(), asked.options()
    fixed = {name for name in changes if now[name] != was[name]} - CHANGEABLE
    if fixed:
        lines = "\n".join(f"  {name}: {was[name]!r} in the run, {now[name]!r} now" for name in sorted(fixed))
        raise UnsupportedArgumentError(
            f"{run} cannot go on with other options:\n{lines}\nLeave them out, or train anew into another directory. "
            f"What may change: {', '.join(sorted(CHANGEABLE))}."
        )
    return replace(asked, output=Path(run), data=found.data if data is None else Path(data), is_resumed=True)


def read_request(run: Path) -> TrainingRequest:
    """What was asked of a RUN.

    Raises:
        CheckpointReadError: If it is no RUN, or its request cannot be read.
    """
    path = RunLayout(run).request
    try:
        stored: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return training_request(stored["checkpoint"], stored["data"], run, **stored["options"])
    except FileNotFoundError:
        raise CheckpointReadError(
            f"{run} is no RUN of slim2keras: there is no {path.name} in it. Give the directory that `slim2keras "
            "finetune -o RUN` wrote."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointReadError(
            f"{path} cannot be read as what was asked of a training: {type(error).__name__}: {error}. Train anew into "
            "another directory."
        ) from error
