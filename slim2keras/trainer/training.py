"""A whole training: ``slim2keras.train``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from slim2keras.data.broken import broken_images_named
from slim2keras.errors import MovingStatisticsWarning, UnsupportedArgumentError
from slim2keras.files.output_files import whole_or_not_at_all
from slim2keras.files.run_layout import RunLayout, check_run_is_free, is_run
from slim2keras.files.run_lock import run_locked
from slim2keras.models.strategies import MULTI_WORKER, Team, open_team
from slim2keras.trainer.datasets import check_images_fit, training_dataset
from slim2keras.trainer.epochs import EpochWork
from slim2keras.trainer.finishing import finish
from slim2keras.trainer.interruption import Interruption, StoppedBetweenSteps
from slim2keras.trainer.plan import TrainingPlan
from slim2keras.trainer.preparing import Training, prepare
from slim2keras.trainer.progress import TrainingProgress
from slim2keras.trainer.request import TrainingRequest
from slim2keras.trainer.result import TrainingResult
from slim2keras.trainer.resuming import prepare_resumed
from slim2keras.trainer.state import RunState, clear_drafts
from slim2keras.trainer.workplace import settings_of


def plan_training(request: TrainingRequest) -> TrainingPlan:
    """Everything that decides the result of a training; nothing is written.

    Args:
        request: Of ``training_request``, or of ``resumed_request``.

    Raises:
        Slim2KerasError: As ``train`` would before its first step.

    Examples:
        >>> request = slim2keras.training_request("tiny.keras", "flowers/", "new_run/", batch_norm="update", epochs=5)
        >>> print(slim2keras.plan_training(request))
        network        tiny, from tiny.keras
        ...
        steps          5 epochs of 1 step, 5 in all; 32 images a step
        ...
    """
    # Several workers would all have to be there, and have the same plan.
    team = Team() if request.strategy == MULTI_WORKER else open_team(request.strategy)
    with settings_of(request):
        return _prepared(request, team)[0].plan


def train(request: TrainingRequest, *, progress: TrainingProgress | None = None) -> TrainingResult | None:
    """Train a network from a checkpoint on images, validate it each epoch, and write a RUN.

    The RUN has ``model.keras``, the network that was best on the validation images; ``last/``, enough to go on, written
    at each epoch's end and when the process is told to stop; ``history.csv``, ``report.json``, ``labels.txt``,
    ``curves.png``, ``confusion.png`` and ``tensorboard/``. A process that is killed at any moment leaves a RUN that
    ``resumed_request`` goes on with, to the same losses.

    Args:
        request: Of ``training_request``, or of ``resumed_request``.
        progress: Told what happens; the plan first, so that nothing of it needs a warning.

    Returns:
        What came of it, also written as ``report.json``; ``None`` on a worker that is not the chief, who alone has a
        RUN.

    Raises:
        OutputError: If the RUN is there already, or cannot be written.
        NoSpaceError: If the disk fills up; the last state stays.
        DataReadError: If images cannot be read, or are other ones than those of the run that goes on.
        UnsupportedArgumentError: If an option cannot be.
        WorkerLostError: If another worker died, or never came; the last state stays.
        NonFiniteLossError: If a loss, a gradient or what a step makes is NaN or infinite; the last state stays.
        KeyboardInterrupt: If Ctrl-C or SIGTERM came; the last state is that of then.

    Warns:
        MovingStatisticsWarning: When the moving statistics of BatchNorm will not keep up, or do not.

    Examples:
        >>> request = slim2keras.training_request(
        ...     "tiny.keras", "flowers/", "new_run/", batch_norm="update", decay="auto", epochs=2
        ... )
        >>> result = slim2keras.train(request)
        >>> 0.0 <= result.accuracy <= 1.0
        True
    """
    layout = RunLayout(request.output)
    team = open_team(request.strategy)
    if team.is_chief and not request.is_resumed:
        check_run_is_free(layout.directory)
    locked = run_locked(layout.directory) if team.is_chief else contextlib.nullcontext()
    with locked, settings_of(request), team.losses_told(lambda: _how_to_go_on(layout)):
        training, state = _prepared(request, team)
        _check_same_work(training)
        told = progress if progress is not None and team.is_chief else TrainingProgress()
        told.planned(training.plan)
        if progress is None and training.plan.lags:
            warnings.warn(training.plan.describe_lag(), MovingStatisticsWarning, stacklevel=2)
        with _broken_images_named(training):
            with Interruption() as interruption, _plan_says_what_will_be_left():
                work = EpochWork(training, layout, state, told, interruption)
                _open_run(layout, training, work)
                _run(training, work)
                interruption.check()
            # Every step is in the last state by now: a signal stops what follows at once, and nothing is lost.
            told.judging()
            result = finish(training, layout, work) if team.is_chief else None
        team.wait()
        return result


def _how_to_go_on(layout: RunLayout) -> str:
    if not is_run(layout.directory):
        return "No state was written yet: start all workers again."
    return (
        f"The last state stays. When all workers are there again, or with fewer, go on with it: slim2keras finetune "
        f"--resume {layout.directory}"
    )


def _check_same_work(training: Training) -> None:
    """Refuse workers that were asked for other things, or see other images.

    Raises:
        UnsupportedArgumentError: If there are such; on every worker.
    """
    plan = json.dumps(training.plan.to_json(), sort_keys=True)
    found = training.team.gathered(np.frombuffer(hashlib.sha256(plan.encode()).digest(), np.int64)[np.newaxis])
    others = [number for number, row in enumerate(found) if not np.array_equal(row, found[0])]
    if others:
        raise UnsupportedArgumentError(
            f"Workers {', '.join(map(str, others))} have another plan than worker 0: other options, another checkpoint "
            "or other images. Start all with the same command on the same files; --dry-run shows the plan of each."
        )


def _prepared(request: TrainingRequest, team: Team) -> tuple[Training, RunState]:
    """What trains, and how far it is."""
    layout = RunLayout(request.output)
    team.share_of(request.images.batch_size)
    if request.is_resumed:
        training, state = prepare_resumed(request, layout, team)
    else:
        if team.is_chief:
            check_run_is_free(layout.directory)
        training, state = prepare(request, team), RunState()
        check_images_fit(training)
    return replace(training, plan=replace(training.plan, devices=team.replicas, workers=team.workers)), state


def _open_run(layout: RunLayout, training: Training, work: EpochWork) -> None:
    """Write what is there from the start; the request last, for what has one can be gone on with."""
    if training.request.is_resumed:
        if training.team.is_chief:
            clear_drafts(layout)
            _write_request(layout, training)
        return
    try:
        if training.team.is_chief:
            clear_drafts(layout)
            shutil.rmtree(layout.last, ignore_errors=True)
        work.save()
        if training.team.is_chief:
            _write_request(layout, training)
    except BaseException:
        if training.team.is_chief:
            shutil.rmtree(layout.last, ignore_errors=True)
        raise


def _write_request(layout: RunLayout, training: Training) -> None:
    with whole_or_not_at_all(layout.request, layout.labels) as (draft, draft_labels):
        names = enumerate(training.images.class_names)
        draft_labels.write_text("".join(f"{number}:{name}\n" for number, name in names), encoding="utf-8")
        asked = {**training.request.to_json(), "plan": training.plan.to_json()}
        draft.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")


def _run(training: Training, work: EpochWork) -> None:
    """Train what is left: the rest of the epoch that was begun, and all epochs after it."""
    try:
        while not work.is_done:
            if work.steps_to_come == 0:
                work.end_epoch()
                continue
            of_rest = {"epochs": work.state.epoch + 1, "steps_per_epoch": work.steps_to_come}
            of_whole = {"epochs": work.epochs, "steps_per_epoch": training.steps.per_epoch}
            training.model.fit(
                training_dataset(training, work.state.step),
                initial_epoch=work.state.epoch,
                verbose=0,
                callbacks=[work],
                **(of_rest if work.steps_done else of_whole),
            )
    except StoppedBetweenSteps:
        # Several workers are asked one by one, and none has the whole state alone.
        if training.team.workers == 1:
            work.save()
        raise


@contextlib.contextmanager
def _broken_images_named(training: Training) -> Iterator[None]:
    """Within it TensorFlow's errors about an image become one that names the image."""
    channels = training.network.input_shape[-1]
    images = training.images
    with broken_images_named(images.training, channels), broken_images_named(images.validation, channels):
        yield


@contextlib.contextmanager
def _plan_says_what_will_be_left() -> Iterator[None]:
    """Within it ``fit`` does not say what will be left of the old statistics: it counts the steps of a part only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="BatchNorm: .* layers? move", category=MovingStatisticsWarning)
        yield
