"""The last state of a run, and signals that wait for one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from slim2keras.errors import CheckpointReadError
from slim2keras.files.output_files import whole_or_not_at_all
from slim2keras.files.run_layout import RunLayout
from slim2keras.trainer.interruption import Interruption
from slim2keras.trainer.metrics import Accumulators
from slim2keras.trainer.request import training_request
from slim2keras.trainer.resuming import _stored_plan, read_request
from slim2keras.trainer.state import Best, RunState, clear_drafts, read_state
from tests.trainer.runs import write_network


def row(accuracy: float, loss: float) -> dict[str, float]:
    return {"epoch": 1, "val_accuracy": accuracy, "val_loss": loss}


def test_the_best_epoch_is_the_most_accurate() -> None:
    """Of two as accurate the one with the smaller loss, of two alike the first."""
    state = RunState()
    for accuracy, loss in [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.4, 0.1)]:
        state = state.after_epoch(row(accuracy, loss))
    assert state.best == Best(2, 0.5, 0.9)
    assert state.waited == 2


def test_an_epoch_without_a_single_hit_may_be_the_best() -> None:
    """There is always a model to go by."""
    assert RunState().after_epoch(row(0.0, 2.0)).best.epoch == 1


def test_a_state_is_read_as_it_was_written() -> None:
    """Floats keep their bits in JSON."""
    state = RunState(7, 6, (row(1 / 3, 2 / 3),), Best(1, 1 / 3, 2 / 3), {"loss": [0.1, 3.0]}, 1.5)
    assert RunState.from_json(state.to_json()) == state


def test_drafts_of_dead_runs_are_cleared(tmp_path: Path) -> None:
    """And states before the last; nothing else is touched."""
    run = RunLayout(tmp_path)
    for name in (".model.keras.0123456789ab", "last/.state-000003.0123456789ab", "last/state-000001", ".git.backup"):
        (tmp_path / name).mkdir(parents=True)
    (run.last / "state-000002").mkdir()
    (run.slim / ".model.ckpt-9.index.0123456789ab").mkdir(parents=True)
    clear_drafts(run)
    assert {path.name for path in tmp_path.iterdir()} == {"last", "slim", ".git.backup"}
    assert [*run.slim.iterdir()] == []
    assert [path.name for path in run.last.iterdir()] == ["state-000002"]


def test_drafts_of_living_commands_stay(tmp_path: Path) -> None:
    """Such as a picture of what was evaluated, which another process writes into the RUN."""
    pytest.importorskip("fcntl", reason="without it there are no locks")
    with whole_or_not_at_all(tmp_path / "confusion.png") as (draft,):
        draft.touch()
        clear_drafts(RunLayout(tmp_path))
        assert draft.is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_it_is_asked_for(number: int) -> None:
    """Once; the second one is as it was before."""
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is before
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        interruption.check()
    assert signal.getsignal(number) is before


def test_results_are_means_over_the_epoch() -> None:
    """Whatever Keras calls the accuracy of an output."""
    sums = {"loss": [6.0, 4.0], "Logits_accuracy": [1.0, 4.0]}
    assert Accumulators.results(sums) == {"loss": 1.5, "accuracy": 0.25}


WRONG: dict[str, Any] = {
    "step": "7",
    "begun_at": None,
    "rows": [1],
    "best": {"epoch": 1, "accuracy": "high", "loss": 0.1},
    "metrics": [],
    "seconds": {},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_state_of_other_values_is_refused(name: str) -> None:
    """Of each its type is checked when it is read, and not where it is first used."""
    stored = RunState(7, 6, (row(0.5, 1.0),), Best(1, 0.5, 1.0), {"loss": [0.1, 3.0]}, 1.5).to_json()
    assert RunState.from_json(stored).step == 7
    with pytest.raises((TypeError, AttributeError)):
        RunState.from_json({**stored, name: WRONG[name]})


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '{"plan": 3}', '{"plan": {"classes": 3}}', "nonsense"])
def test_a_request_that_is_none_is_an_error(tmp_path: Path, content: str) -> None:
    """Nested without end, of another form, or no JSON: the file is named."""
    (tmp_path / "request.json").write_text(content)
    for read in (read_request, lambda run: _stored_plan(RunLayout(run))):
        with pytest.raises(CheckpointReadError, match=r"request\.json cannot be read"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("shuffle", "no"), ("split", 3), ("trainable_scopes", [3]), ("decay", [])]
)
def test_a_request_of_other_values_is_an_error(tmp_path: Path, option: str, value: object) -> None:
    """Options are checked as what they are, whatever the file says."""
    asked = training_request("net.ckpt", "images", tmp_path, batch_norm="update").to_json()
    (tmp_path / "request.json").write_text(json.dumps(asked))
    assert read_request(tmp_path).images.shuffle
    asked["options"][option] = value
    (tmp_path / "request.json").write_text(json.dumps(asked))
    with pytest.raises(CheckpointReadError, match=rf"request\.json cannot be read.*{option} is"):
        read_request(tmp_path)


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    """A plain one has no modes, no record and no optimizer to go on with."""
    state = tmp_path / "last/state-000001"
    state.mkdir(parents=True)
    write_network(state / "model.keras")
    (state / "state.json").write_text(json.dumps(RunState().to_json()))
    with pytest.raises(CheckpointReadError, match="holds no network that is being trained"):
        read_state(RunLayout(tmp_path))
