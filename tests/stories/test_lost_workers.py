"""A worker that dies: the others say so and stop, and the run goes on with whoever is there."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.trainer.training import train
from tests.stories.clusters import start, two_workers
from tests.trainer.runs import history, last_values, request, write_images, write_network

COMMAND = Path(__file__).with_name("command_worker.py")
OPTIONS: dict[str, Any] = {"batch_norm": "frozen", "decay": None, "epochs": 8, "save_steps": 2}
LOST = 6
"""Exit code."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Images, and a network without dropout, which devices draw by themselves."""
    write_images(tmp_path / "images")
    write_network(tmp_path / "tiny.keras", keep_prob=1.0)
    return tmp_path


def finetune(files: Path, cluster: Any, *more: str) -> subprocess.Popen[str]:
    """The command with the options of ``request``, slowed down by a validation after each of 8 epochs."""
    options = ["--batch-norm", "frozen", "--batch-size", "8", "--epochs", "8", "--optimizer", "momentum"]
    options += ["--validation-split", "0.25", "--deterministic", "--save-steps", "2", "--strategy", "multi_worker"]
    paths = [str(files / "tiny.keras"), "--data", str(files / "images"), "-o", str(files / "shared")]
    return start([str(COMMAND), "1", "finetune", *paths, *options, *more], cluster)


def ended(process: subprocess.Popen[str], seconds: float = 120.0) -> str:
    """Its last words, the log of TensorFlow's start left out."""
    text, _ = process.communicate(timeout=seconds)
    return text


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 200.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, ended(process)
        assert time.monotonic() < end, f"{path.name} is not there after {seconds:g} seconds"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_is_told_and_one_worker_goes_on(victim: int, files: Path) -> None:
    """Killed after the first epoch; the other ends within a minute, and one process alone ends as if nothing was."""
    workers = [finetune(files, cluster) for cluster in two_workers()]
    wait_for(files / "shared" / "history.csv", workers[0])
    workers[victim].send_signal(signal.SIGKILL)
    told = ended(workers[1 - victim], 60.0)
    ended(workers[victim])
    assert workers[1 - victim].returncode == LOST, told
    assert f"worker {victim} (127.0.0.1:" in told
    assert f"slim2keras finetune --resume {files / 'shared'}" in told
    assert "Traceback" not in told

    left = start([str(COMMAND), "1", "finetune", "--resume", str(files / "shared")])
    text = ended(left)
    assert left.returncode == 0, text
    train(request(files, "alone", **OPTIONS))
    assert_near(files / "shared", files / "alone")


def assert_near(run: Path, other: Path) -> None:
    """Losses and weights, up to the order in which gradients are added."""
    for ours, theirs in zip(history(run), history(other), strict=True):
        for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-5), name
    (values, state), (wanted, their_state) = last_values(run), last_values(other)
    assert state.step == their_state.step
    for name, value in wanted.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-5, atol=1e-5 * np.max(np.abs(value)), err_msg=name)


@pytest.mark.slow
def test_workers_that_were_asked_for_other_things_are_refused(files: Path) -> None:
    """All of them, before anything is written."""
    first, second = two_workers()
    workers = [finetune(files, first), finetune(files, second, "--seed", "5")]
    for worker in workers:
        text = ended(worker)
        assert worker.returncode == 2, text
        assert "Workers 1 have another plan than worker 0" in text
    assert not (files / "shared").exists()
