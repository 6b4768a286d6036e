"""From a request to a RUN, and on from any place in it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import (
    CheckpointMismatchError,
    CheckpointReadError,
    DataReadError,
    NonFiniteLossError,
    NoSpaceError,
    OutputError,
    UnsupportedArgumentError,
)
from slim2keras.files.run_layout import RunLayout
from slim2keras.files.run_lock import run_locked
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.progress import TrainingProgress
from slim2keras.trainer.request import with_options
from slim2keras.trainer.resuming import read_request, resumed_request
from slim2keras.trainer.training import plan_training, train
from slim2keras.training.model import FineTunedModel
from tests.trainer import runs
from tests.trainer.runs import (
    CLASSES,
    Stop,
    StopsAt,
    assert_same_runs,
    history,
    last_values,
    request,
    stop,
    tiny_network,
    write_network,
)

pytestmark = [
    # Few images, few steps: the pits are open, and other tests tell of them.
    pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning"),
]

AVERAGED: dict[str, Any] = {"moving_average_decay": 0.9, "learning_rate_decay_type": "cosine", "warmup_epochs": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


class Told(TrainingProgress):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def planned(self, plan: Any) -> None:
        self.events.append("plan")

    def epoch_begins(self, epoch: int, first_step: int) -> None:
        self.events.append(("epoch", epoch, first_step))

    def step_ends(self, step: int, logs: Any, images_per_second: float) -> None:
        assert {*logs} == {"loss", "accuracy"}
        assert images_per_second > 0.0
        self.events.append((step, logs["loss"], logs["accuracy"]))

    def epoch_ends(self, epoch: int, row: Any, *, is_best: bool) -> None:
        self.events.append(("row", {**row, "is_best": is_best}))

    def judging(self) -> None:
        self.events.append("judging")


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[Any, Told]:
    """A run that nothing stopped."""
    told = Told()
    return train(request(folder, "whole", export_slim=True, **AVERAGED), progress=told), told


class TestRun:
    def test_its_files_are_there(self, whole: tuple[Any, Told]) -> None:
        """Each of the layout, nothing hidden, and one state."""
        run = RunLayout(whole[0].run)
        names = {path.name for path in run.directory.iterdir()}
        assert names == {
            *("request.json", "model.keras", "model.keras.json", "last", "history.csv", "report.json", "labels.txt"),
            *("curves.png", "confusion.png", "tensorboard", "slim"),
        }
        assert len([*run.last.iterdir()]) == 1
        assert run.labels.read_text().split() == ["0:daisy", "1:rose", "2:tulip"]

    def test_progress_is_told_in_order(self, whole: tuple[Any, Told]) -> None:
        """The plan, then each epoch with its steps, losses as in the history at the end of each; the judging last."""
        events = whole[1].events
        assert events[:2] == ["plan", ("epoch", 1, 0)]
        assert [event[0] for event in events[2:6]] == [1, 2, 3, "row"]
        assert len(events) == 1 + 3 * (1 + 3 + 1) + 1
        assert events[-1] == "judging"
        assert events[4][1] == pytest.approx(events[5][1]["loss"], rel=1e-6)

    def test_its_model_is_as_good_as_it_says(self, whole: tuple[Any, Told], folder: Path) -> None:
        """The accuracy of the report is that of the file, on the images that were not trained on."""
        result = whole[0]
        report = json.loads((result.run / "report.json").read_text())
        assert report["validation"]["accuracy"] == result.accuracy
        best = max(history(result.run), key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
        assert report["best_epoch"] == int(best["epoch"])
        told = [event[1]["epoch"] for event in whole[1].events if event[0] == "row" and event[1]["is_best"]]
        assert told[-1] == int(best["epoch"])
        assert result.accuracy == pytest.approx(float(best["val_accuracy"]))
        assert [row["name"] for row in report["validation"]["per_class"]] == [*CLASSES]
        assert report["options"]["epochs"] == 3
        assert report["old_statistics_left"] == pytest.approx(0.8**9)
        model = slim2keras.load_model(result.run / "model.keras")
        assert model.output_shape == (None, 3)

    def test_its_slim_checkpoint_is_the_last_state(self, whole: tuple[Any, Told]) -> None:
        """With slots, averages and step."""
        from slim2keras.checkpoints.reading import open_checkpoint

        values, _ = last_values(whole[0].run)
        with open_checkpoint(whole[0].run / "slim") as checkpoint:
            assert checkpoint.global_step == 9
            for name in ("tiny/logits/weights", "tiny/logits/weights/ExponentialMovingAverage"):
                np.testing.assert_array_equal(checkpoint[name], values[name])
            assert "tiny/logits/weights/Momentum" in [*checkpoint]

    def test_tensorboard_can_read_its_events(self, whole: tuple[Any, Told]) -> None:
        """Scalars by name and epoch, written without the package."""
        import tensorflow as tf

        (path,) = (whole[0].run / "tensorboard").iterdir()
        values = [
            (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
            for event in tf.compat.v1.train.summary_iterator(str(path))
            for value in event.summary.value
        ]
        wanted = [(int(row["epoch"]), "loss", float(row["loss"])) for row in history(whole[0].run)]
        assert [value for value in values if value[1] == "loss"] == [pytest.approx(row) for row in wanted]

    def test_one_that_exists_is_refused(self, whole: tuple[Any, Told], folder: Path) -> None:
        """And nothing of it is touched."""
        before = (whole[0].run / "report.json").read_bytes()
        with pytest.raises(OutputError, match="--resume"):
            train(request(folder, "whole"))
        assert (whole[0].run / "report.json").read_bytes() == before


class TestGoingOn:
    def test_after_a_full_disk(self, whole: tuple[Any, Told], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was saved before is there whole, nothing of the new state is; and the run ends with the same bits."""
        save, calls = FineTunedModel.save, []

        def failing(self: Any, path: Any, *args: Any, **kwargs: Any) -> None:
            calls.append(path)
            save(self, path, *args, **kwargs)
            if len(calls) == 5:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(FineTunedModel, "save", failing)
        with pytest.raises(NoSpaceError, match="no space is left"):
            train(request(folder, "full", save_steps=2, **AVERAGED))
        assert len([*(folder / "full" / "last").iterdir()]) == 1
        assert last_values(folder / "full")[1].step == 4
        train(resumed_request(folder / "full"))
        assert_same_runs(folder / "full", whole[0].run)

    @pytest.mark.slow
    @pytest.mark.parametrize("step", [4, 8])
    def test_after_an_error(self, whole: tuple[Any, Told], folder: Path, step: int) -> None:
        """From the state of the last save, to the bits of a run that was not stopped."""
        run = f"stopped_{step}"
        with pytest.raises(Stop):
            train(request(folder, run, save_steps=2, **AVERAGED), progress=StopsAt(step, stop))
        assert last_values(folder / run)[1].step < step
        train(resumed_request(folder / run))
        assert_same_runs(folder / run, whole[0].run)

    @pytest.mark.slow
    @pytest.mark.parametrize("step", [3, 5])
    def test_after_ctrl_c(self, whole: tuple[Any, Told], folder: Path, step: int) -> None:
        """The step that is done then is the last one, in an epoch or at its end before the validation."""
        run, before = f"interrupted_{step}", signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            train(
                request(folder, run, **AVERAGED),
                progress=StopsAt(step, lambda: os.kill(os.getpid(), signal.SIGINT)),
            )
        assert signal.getsignal(signal.SIGINT) is before
        assert last_values(folder / run)[1].step == step
        train(resumed_request(folder / run))
        assert_same_runs(folder / run, whole[0].run)

    @pytest.mark.slow
    def test_with_more_epochs(self, folder: Path) -> None:
        """A run that has ended goes on; rows and steps add up."""
        short = request(folder, "short", max_number_of_steps=4)
        train(short)
        assert [row["epoch"] for row in history(short.output)] == ["1", "2"]
        train(resumed_request(short.output, max_number_of_steps=7))
        assert [row["epoch"] for row in history(short.output)] == ["1", "2", "3"]
        assert last_values(short.output)[1].step == 7

    def test_not_while_another_process_is_at_it(self, whole: tuple[Any, Told]) -> None:
        """Two would take each other's states away."""
        with run_locked(whole[0].run), pytest.raises(OutputError, match="by another training"):
            train(resumed_request(whole[0].run))

    def test_epochs_take_the_place_of_steps(
        self, whole: tuple[Any, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a run that had a number of steps, none of which is ignored then; and the RUN keeps what is changed."""
        run = shutil.copytree(whole[0].run, tmp_path / "run")
        monkeypatch.setattr("slim2keras.trainer.training.finish", lambda *_: None)
        train(resumed_request(run, max_number_of_steps=9))
        assert read_request(run).loop.max_number_of_steps == 9
        asked = resumed_request(run, epochs=5)
        assert (asked.loop.max_number_of_steps, asked.loop.epochs) == (None, 5)

    def test_on_other_images_is_refused(self, whole: tuple[Any, Told], folder: Path) -> None:
        """One file with other bytes is enough."""
        image = folder / "images" / "rose" / "03.png"
        kept = image.read_bytes()
        image.write_bytes(kept[:-1] + b"\0")
        try:
            with pytest.raises(DataReadError, match="other images"):
                train(resumed_request(whole[0].run))
        finally:
            image.write_bytes(kept)

    def test_without_a_state_is_refused(self, tmp_path: Path, whole: tuple[Any, Told]) -> None:
        """A run that was killed before its first state has nothing to go on from."""
        asked = (whole[0].run / "request.json").read_text()
        (tmp_path / "request.json").write_text(asked)
        with pytest.raises(CheckpointReadError, match="before its first state"):
            train(resumed_request(tmp_path))


def test_ctrl_c_stops_the_judging_at_once(
    whole: tuple[Any, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no steps any more that a signal had to wait for."""

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        raise AssertionError("the signal was kept for a step that does not come")

    run = shutil.copytree(whole[0].run, tmp_path / "run")
    monkeypatch.setattr("slim2keras.trainer.training.finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(resumed_request(run))


def test_what_can_be_gone_on_with_has_a_state(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is there before the request that makes a RUN of a directory; what is none is begun again."""

    asked, seen = replace(request(folder), output=tmp_path / "run"), []

    def failing(*_: object) -> None:
        seen.extend(path.name for path in asked.output.iterdir())
        raise Stop

    monkeypatch.setattr("slim2keras.trainer.training.whole_or_not_at_all", failing)
    with pytest.raises(Stop):
        train(asked)
    assert seen == ["last"]
    assert not asked.output.exists()
    seen.clear()
    (asked.output / "last" / "state-000001").mkdir(parents=True)
    with pytest.raises(Stop):
        train(asked)
    (asked.output / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"no run that was begun\. .*remove it"):
        train(asked)


def test_a_broken_image_is_named(folder: Path, tmp_path: Path) -> None:
    """Whether it is trained on or validates; left out on request, and told."""
    asked = replace(request(folder, "broken"), data=tmp_path / "images")
    shutil.copytree(folder / "images", asked.data)
    (asked.data / "rose" / "05.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    with pytest.raises(DataReadError, match=r"rose.05\.png cannot be read as an image"):
        train(asked)
    plan = plan_training(replace(with_options(asked, {"skip_broken": True}), output=tmp_path / "run"))
    assert [Path(name).name for name in plan.left_out] == ["05.png"]
    assert "1 image left out, which cannot be read" in str(plan)


def test_a_damaged_state_is_refused(whole: tuple[Any, Told], tmp_path: Path) -> None:
    """As a file that cannot be read; nothing is written."""
    run = shutil.copytree(whole[0].run, tmp_path / "run")
    (state,) = run.glob("last/*/model.keras")
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointReadError, match=r"The last state of .* cannot be read"):
        train(resumed_request(run))


def test_a_state_of_another_network_is_refused(whole: tuple[Any, Told], tmp_path: Path) -> None:
    """Files of two runs are not mixed."""
    run = shutil.copytree(whole[0].run, tmp_path / "run")
    asked = (run / "request.json").read_text()
    (run / "request.json").write_text(asked.replace('"net": "tiny"', '"net": "lenet"'))
    with pytest.raises(CheckpointMismatchError, match="the state of another network, tiny"):
        train(resumed_request(run))


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ('"split": "train"', '"split": "trai"', "no split 'trai'"),
        ('"labels_offset": 0', '"labels_offset": -1', "labels_offset=-1"),
    ],
)
def test_a_request_that_asks_for_other_images_is_named(
    whole: tuple[Any, Told], tmp_path: Path, was: str, now: str, message: str
) -> None:
    """Nobody who goes on has given the folder or the option that the error speaks of."""
    run = shutil.copytree(whole[0].run, tmp_path / "run")
    asked = (run / "request.json").read_text()
    assert was in asked
    (run / "request.json").write_text(asked.replace(was, now))
    with pytest.raises(
        (DataReadError, UnsupportedArgumentError), match=rf"(?s){message}.* as .*run.request\.json says.*--data"
    ):
        train(resumed_request(run))


def test_a_loss_that_is_not_finite_leaves_the_last_state(folder: Path) -> None:
    """The error says where it begins."""
    with pytest.raises(NonFiniteLossError):
        train(request(folder, "diverging", learning_rate=1e30, optimizer="sgd", augment=False))
    assert last_values(folder / "diverging")[1].step == 0


@pytest.fixture(scope="module")
def blind(folder: Path) -> Any:
    asked = request(folder, "blind", batch_norm="batch", decay=None, learning_rate=0.3, epochs=4)
    return train(replace(asked, checkpoint=write_network(folder / "shifted.keras", shift=20.0)))


@pytest.mark.slow
class TestPitOne:
    """A run whose update ops are not run, from statistics that are off: what slim's users fell into."""

    def test_the_gap_is_told(self, blind: Any) -> None:
        """With what to do, and nothing is repaired unasked."""
        assert blind.accuracy < 0.5
        assert blind.judgement.accuracy_lost > 0.4
        assert f"--resume {blind.run} --recalibrate" in str(blind).replace("\n", " ")
        assert json.loads((blind.run / "report.json").read_text())["old_statistics_left"] == 1.0

    def test_a_gap_of_another_epoch_is_told_as_that(self, blind: Any) -> None:
        """The line above has that of the best one."""
        judgement = replace(blind.judgement, lost_at_end=0.99)
        said = " ".join(str(replace(blind, judgement=judgement)).split())
        assert "the moving statistics cost 99.0 points of accuracy after the last epoch." in said

    def test_of_frozen_statistics_there_is_nothing_to_repair(self, folder: Path) -> None:
        """Who asks for it is told so."""
        result = train(request(folder, "frozen", batch_norm="frozen", decay=None, recalibrate=True, epochs=1))
        assert "Not recalibrated: no layer was trained on statistics of the batch." in str(result)

    def test_what_it_says_to_do_repairs_it(self, blind: Any) -> None:
        """The run goes on for no step, and its model is the better one of those repaired."""
        result = train(resumed_request(blind.run, recalibrate=True))
        assert result.accuracy > 0.8
        assert result.judgement.accuracy_lost is None
        assert result.judgement.is_recalibrated
        assert "Recalibrated the network of epoch" in str(result)
        model = slim2keras.load_model(result.run / "model.keras")
        mean = slim_variables(model)["tiny/conv/BatchNorm/moving_mean"]
        assert float(abs(mean).numpy().max()) < 10.0


class TestPlan:
    def test_nothing_is_written(self, folder: Path) -> None:
        """A plan is all that is made, and it tells what will be."""
        plan = plan_training(request(folder, "planned", decay="auto", epochs=100, accumulate=2))
        assert not (folder / "planned").exists()
        assert (plan.steps_per_epoch, plan.total_steps, plan.images_per_step) == (2, 200, 16)
        assert plan.decay == pytest.approx(1e-4 ** (1 / 400))
        page = str(plan)
        for text in ("afresh: the checkpoint has 5 classes, the data 3", "27 to train, 9 to validate", "tiny/logits"):
            assert text in page

    def test_images_that_nobody_can_preprocess_are_refused(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before anything is written or promised, with the option that helps."""
        monkeypatch.setattr(runs, "tiny_network", lambda *given: replace(tiny_network(*given), preprocessing=None))
        asked = replace(request(folder, "planned"), checkpoint=write_network(tmp_path / "own.keras"))
        with pytest.raises(UnsupportedArgumentError, match="--preprocessing-name"):
            plan_training(asked)
        assert "vgg" in plan_training(with_options(asked, {"preprocessing_name": "vgg"})).augmentation

    def test_statistics_that_will_lag_are_told(self, folder: Path) -> None:
        """With how much of the old ones will be left, and what to do."""
        assert "pit two" in str(plan_training(request(folder, "planned", decay=0.999)))


KILLED = """
import sys
from pathlib import Path

from slim2keras.files.run_layout import is_run
from slim2keras.trainer.request import with_options
from slim2keras.trainer.resuming import resumed_request
from slim2keras.trainer.training import train
from tests.trainer.runs import request
from tests.trainer.test_training import AVERAGED

folder = Path(sys.argv[1])
run = folder / "killed"
train(resumed_request(run) if is_run(run) else request(folder, "killed", save_steps=1, **AVERAGED))
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(whole: tuple[Any, Told], folder: Path) -> None:
    """SIGKILL at five moments, one after the other, and the run ends with the bits of one that was not killed."""
    run, random = folder / "killed", np.random.RandomState(0)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
        while process.poll() is None and not [*run.glob("last/state-*")]:
            time.sleep(0.05)
        time.sleep(random.uniform(0.0, 6.0))
        process.kill()
        process.wait()
    train(resumed_request(run))
    assert_same_runs(run, whole[0].run)
