"""``slim2keras finetune``: a request from options, what is shown meanwhile, and what is refused."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from slim2keras.cli import training_display
from slim2keras.cli.training_display import HEADER, BarsOfTraining, LinesOfTraining
from slim2keras.cli.training_display import training_display as shown
from slim2keras.cli.training_options import ROWS, given_options
from slim2keras.errors import ExitStatus, UnsupportedArgumentError
from slim2keras.trainer.request import OPTIONS, training_request
from tests.cli.running import Result, fails, ok

BATCH_NORM = ("--batch-norm", "update")


def test_every_option_of_a_request_is_one_of_the_command() -> None:
    """A new one that nobody can give on the command line fails, and so does one that is gone."""
    assert sorted(row.name for row in ROWS) == sorted(OPTIONS)


def test_options_are_those_of_a_request() -> None:
    """What is not given is left to the request; words become what Python takes."""
    given = dict.fromkeys(OPTIONS)
    assert given_options(given) == {}
    given |= {"batch_norm": ["block[1-3]=frozen", ".*=update"], "decay": "0.95", "image_size": "96", "shuffle": False}
    found = given_options(given)
    assert found == {
        "batch_norm": {"block[1-3]": "frozen", ".*": "update"},
        "decay": 0.95,
        "image_size": (96, 96),
        "shuffle": False,
    }
    assert training_request("a", "b", "c", **found).images.image_size == (96, 96)
    assert given_options({"batch_norm": ["frozen"], "decay": "auto"}) == {"batch_norm": "frozen", "decay": "auto"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": "fast"}, "--decay must be a fraction, or auto"),
        ({"image_size": "96,96,3"}, "--image-size must be N, or H,W"),
        ({"batch_norm": ["frozen", ".*=update"]}, "one mode for all, or SCOPE=MODE"),
    ],
)
def test_values_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    """In the words of the command line."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        given_options(options)


def test_the_help_names_the_defaults_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it knows what happens without the option."""
    monkeypatch.setenv("COLUMNS", "200")
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", ok("finetune", "--help")).split())
    request = training_request("a", "b", "c", batch_norm="update")
    for name, default in request.options().items():
        if isinstance(default, (int, float, str)) and not isinstance(default, bool) and name != "batch_norm":
            option = f"--{name.replace('_', '-')}"
            assert re.search(rf"{option}\b.*?Default: {re.escape(str(default))}\.", said), name


def test_the_mode_of_batch_norm_has_no_default(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """The error explains the three, and how each is given."""
    start = ("finetune", classifier_file, "--data", classes_folder, "-o", tmp_path / "run")
    result = Result(*start)
    assert result.status == ExitStatus.USAGE
    for text in ("--batch-norm", "  update   ", "  frozen   ", "  batch    ", "pit one", "'.*=update'"):
        assert text in result.err
    fails(ExitStatus.USAGE, "one of update, batch, frozen.*Did you mean frozen", *start, "--batch-norm", "frozn")


def test_usage_errors_come_before_anything_is_done(
    tmp_path: Path, classifier_file: Path, classes_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow is not imported for them, and nothing is written."""

    def imported() -> None:
        raise AssertionError("TensorFlow was imported for nothing")

    monkeypatch.setattr("slim2keras.cli.finetune.import_tensorflow", imported)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("precious")
    data, run = ("--data", classes_folder), ("-o", tmp_path / "new")
    for status, message, arguments in (
        (ExitStatus.USAGE, "Missing: CHECKPOINT, --data, --output", ()),
        (ExitStatus.USAGE, "exists already", (classifier_file, *data, "-o", tmp_path / "run", *BATCH_NORM)),
        (ExitStatus.USAGE, "Did you mean momentum", (classifier_file, *data, *run, *BATCH_NORM, "--optimizer=momentm")),
        (ExitStatus.USAGE, "leave CHECKPOINT, --output out", (classifier_file, *run, "--resume", tmp_path / "run")),
        (ExitStatus.USAGE, "what is asked of a checkpoint", ("--resume", tmp_path / "run", "--net", "lenet")),
        (ExitStatus.UNREADABLE, "There are no images", (classifier_file, "--data", tmp_path / "no", *run, *BATCH_NORM)),
        (ExitStatus.UNREADABLE, "There is no checkpoint", (tmp_path / "no", *data, *run, *BATCH_NORM)),
    ):
        fails(status, message, "finetune", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_from_the_command_line(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """By slim's flags: the plan, a line an epoch, the report; then evaluated, and gone on with."""
    run = tmp_path / "run"
    asked = ("--dataset_dir", classes_folder, "--batch_norm=update", "--batch_size=4", "--learning_rate", "0.01")
    start = ("finetune", "--checkpoint_path", classifier_file, "--train_dir", run, *asked)
    plan = json.loads(ok(*start, "--dry-run", "--json", "--epochs", 1))
    assert (plan["batch_size"], plan["epochs"]) == (4, 1)
    assert not run.exists()
    said = ok(*start, "--epochs", 1, "--log_every_n_steps=1")
    assert HEADER in said
    assert re.search(r"^1/1 +\d", said, re.MULTILINE)
    assert f"epoch 1/1  step 1/{plan['steps_per_epoch']}  loss " in said
    result = Result("finetune", "--resume", run, "--epochs", 2, "--json")
    report = json.loads(result.out)
    assert (report["epochs"], HEADER in result.err) == (2, True)
    evaluated = json.loads(ok("evaluate", run, "--data", classes_folder, "--json"))
    assert [row["name"] for row in evaluated["per_class"]] == ["blue", "green", "red"]
    fails(
        ExitStatus.USAGE,
        "cannot go on with other options:\n  seed: 0 in the run",
        "finetune",
        "--resume",
        run,
        "--seed=1",
    )


class Plan:
    epochs, steps_per_epoch, total_steps, first_step = 2, 3, 5, 0

    def page(self) -> list[str]:
        return ["the plan"]


ROW = {"loss": 0.5, "accuracy": 0.25, "val_loss": 0.75, "val_accuracy": 0.5, "images_per_second": 1234.0, "seconds": 61}


def show(display: Any) -> None:
    display.planned(Plan())
    for epoch, steps in ((1, 3), (2, 2)):
        display.epoch_begins(epoch, 0)
        for step in range(1, steps + 1):
            display.step_ends(step, {"loss": 1.0 / step, "accuracy": 0.5}, 100.0)
        display.epoch_ends(epoch, ROW, is_best=epoch == 1)


def test_lines_fit_where_nobody_looks() -> None:
    """No line is longer than 80 characters, the best epoch is marked, and steps come as often as asked."""
    out = io.StringIO()
    show(LinesOfTraining(Console(file=out, width=160), 2))
    lines = out.getvalue().splitlines()
    assert lines[0] == "the plan"
    assert lines[2:] == [
        HEADER,
        "epoch 1/2  step 2/3  loss 0.5000  accuracy 50.0%  100 images/s",
        "1/2       0.5000     25.0%     0.7500          50.0%     1,234    1:01  best",
        "epoch 2/2  step 2/3  loss 0.5000  accuracy 50.0%  100 images/s",
        "2/2       0.5000     25.0%     0.7500          50.0%     1,234    1:01",
    ]
    assert max(map(len, lines)) <= 80


def test_losses_of_a_network_in_a_pit_stay_in_their_column() -> None:
    """Moving statistics that are wrong make millions of a loss."""
    row = {"seconds": 61.0, "images_per_second": 12.0, "accuracy": 0.5, "val_accuracy": 0.5}
    line = training_display.describe_epoch("1/2", {**row, "loss": 123456.0, "val_loss": 1782889.9504})
    assert line.split() == ["1/2", "1.23e+05", "50.0%", "1.78e+06", "50.0%", "12", "1:01"]
    assert len(line) == len(HEADER)


def test_bars_count_epoch_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 columns, and what is waited for before and after; lines stay above the bars."""
    out = io.StringIO()
    terminal = Console(file=out, width=80, force_terminal=True, color_system=None)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(training_display, name, terminal)
    with shown() as display:
        assert isinstance(display, BarsOfTraining)
        assert [task.description for task in display._bars.tasks] == ["preparing"]
        show(display)
        epoch, whole = display._bars.tasks
        assert (epoch.completed, epoch.total, epoch.description) == (2, 2, "epoch 2/2")
        assert (whole.completed, whole.total) == (5, 5)
        display.judging()
        assert [task.description for task in display._bars.tasks] == ["judging the best network"]
    assert "1,234    1:01  best" in out.getvalue()


@pytest.mark.parametrize("has_state", [True, False])
def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, classifier_file: Path, classes_folder: Path, monkeypatch: pytest.MonkeyPatch, has_state: bool
) -> None:
    """With the command to type; exit code 130."""
    run = tmp_path / "run"

    def interrupted(*_: object, **__: object) -> None:
        if has_state:
            run.mkdir()
            (run / "request.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("slim2keras.trainer.training.train", interrupted)
    message = f"the last state is in {run}/last. Go on with it: slim2keras finetune --resume {run}"
    fails(
        ExitStatus.INTERRUPTED,
        re.escape(message) if has_state else "before the first step; nothing was written",
        *("finetune", classifier_file, "--data", classes_folder, "-o", run, *BATCH_NORM),
    )


@pytest.mark.parametrize("option", ["--learning-rate", "--epochs", "--validation-split"])
def test_a_word_is_no_number(option: str) -> None:
    """The types of a request are those of the command, so that click says what is wrong with a value."""
    result = Result("finetune", "checkpoint", option, "fast")
    assert result.status == ExitStatus.USAGE
    assert option in result.err
