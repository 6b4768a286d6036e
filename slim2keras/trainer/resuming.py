"""Going on with a RUN: its own options decide, and what may be changed is little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from slim2keras.conversion.report import format_network
from slim2keras.errors import CheckpointMismatchError, CheckpointReadError, DataReadError, UnsupportedArgumentError
from slim2keras.files.json_values import check_fields, read_json
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.strategies import Team
from slim2keras.trainer.images import TrainingImages, list_images
from slim2keras.trainer.plan import TrainingPlan
from slim2keras.trainer.preparing import Training, compile_model, fingerprint_of, replanned
from slim2keras.trainer.request import GROUPS, TrainingRequest, training_request, with_options
from slim2keras.trainer.state import RunState, read_state
from slim2keras.trainer.steps import Steps
from slim2keras.training.model import FineTunedModel

CHANGEABLE = frozenset(
    {
        *("epochs", "max_number_of_steps", "patience", "save_steps"),
        *("workers", "validation", "export_slim", "recalibrate"),
    }
)
"""Options that may differ in a run that goes on: none decides a step that is done already."""


def resumed_request(run: str | Path, data: str | Path | None = None, **changes: Any) -> TrainingRequest:
    """The request of a RUN that goes on.

    Args:
        run: The RUN.
        data: Where its images lie now, if elsewhere; they must be the same.
        changes: Options by name: ``epochs``, ``max_number_of_steps``, ``patience``, ``save_steps``, ``workers``,
            ``validation``, ``export_slim``, ``recalibrate``. Others must be as they were.

    Raises:
        CheckpointReadError: If it is no RUN.
        UnsupportedArgumentError: If an option is changed that decides what was trained already.

    Examples:
        >>> result = slim2keras.train(slim2keras.resumed_request("run/", epochs=3))
    """
    found = read_request(Path(run))
    if "epochs" in changes:
        # They were given instead of the steps that the run had.
        changes = {"max_number_of_steps": None, **changes}
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
        stored = read_json(path)
        check_fields(TrainingRequest, {name: stored[name] for name in ("checkpoint", "data")})
        for kind in GROUPS.values():
            check_fields(kind, stored["options"])
        return training_request(stored["checkpoint"], stored["data"], run, **stored["options"])
    except FileNotFoundError:
        raise CheckpointReadError(
            f"{run} is no RUN of slim2keras: there is no {path.name} in it. Give the directory that `slim2keras "
            "finetune -o RUN` wrote."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointReadError:
    return CheckpointReadError(
        f"{path} cannot be read as what was asked of a training: {type(error).__name__}: {str(error).rstrip('.')}. "
        "Train anew into another directory."
    )


def prepare_resumed(request: TrainingRequest, layout: RunLayout, team: Team) -> tuple[Training, RunState]:
    """What trains, and how far it is, from the last state of a RUN.

    Raises:
        CheckpointReadError: If there is none, or it cannot be read.
        DataReadError: If the images are not those of the run.
    """
    plan = _stored_plan(layout)
    with team.scope():
        model, state = read_state(layout)
        assert model.slim_network is not None, "a RUN trains a network of slim2keras"
        _check_network(layout, model, plan)
        with _told_of_request(layout.request):
            images = list_images(request, len(plan.classes))
        _check_same_images(request, plan, images)
        steps = Steps.of(request, len(images.training))
        saved = [variable.numpy() for variable in model.optimizer.variables]
        compile_model(model, request, steps)
        for variable, value in zip(model.optimizer.variables, saved, strict=True):
            variable.assign(value)
        # The steps that the new optimizer has taken over are not its own.
        model.statistics_record.start_optimizer()
    epochs = state.epoch + steps.epochs_after(state.begun_at)
    plan = replace(replanned(plan, request, steps), first_step=state.step, epochs=epochs)
    return Training(request, plan, images, steps, model, team), state


def _stored_plan(layout: RunLayout) -> TrainingPlan:
    try:
        return TrainingPlan.from_json(read_json(layout.request)["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(layout.request, error) from error


@contextlib.contextmanager
def _told_of_request(path: Path) -> Iterator[None]:
    """Have an error of the images that are asked for name the file that asks for them."""
    try:
        yield
    except (DataReadError, UnsupportedArgumentError) as error:
        raise type(error)(
            f"{error}\nThe run goes on as {path} says; where its images lie now, if elsewhere, is given by data= "
            "(command line: --data)."
        ) from error


def _check_network(layout: RunLayout, model: FineTunedModel, plan: TrainingPlan) -> None:
    network = model.slim_network
    assert network is not None, "a RUN trains a network of slim2keras"
    # Not by its arguments: of a saved model the decay is that of its layers, which "auto" has picked.
    if network.name != plan.net.partition(" ")[0] or network.num_classes != len(plan.classes):
        raise CheckpointMismatchError(
            f"{layout.last} is the state of another network, {format_network(network)}, and {layout.request.name} asks "
            f"for {plan.net}. The files of two runs were mixed: put back the right ones, or train anew."
        )


def _check_same_images(request: TrainingRequest, plan: TrainingPlan, images: TrainingImages) -> None:
    if fingerprint_of(images) != plan.fingerprint:
        counts = f"{len(images.training):,} to train and {len(images.validation):,} to validate"
        before = f"{plan.images['training']:,} and {plan.images['validation']:,}"
        raise DataReadError(
            f"{request.data} has other images than when {request.output} began: now {counts}, then {before}, or files "
            "were changed or renamed. A run goes on with the same data only: put it back (elsewhere is fine, --data), "
            "or train anew into another directory."
        )
