"""What fine-tuning knows of the moving statistics stays with the checkpoint, and the doctor takes it at its word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import slim2keras
from slim2keras.doctor import Diagnosis, Finding
from slim2keras.recalibration import recalibrate
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels

pytestmark = pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")  # runs of a few steps

NET = NETS["separable"]
X, Y = images(0, (16, *NET.shape)), labels(1, CLASSES, 16)


def tuned_model(**options: Any) -> Any:
    tuned = slim2keras.finetune(build_ours(NET), **options)
    compile_it(tuned)
    return tuned


def compile_it(tuned: Any) -> None:
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())


def fit(tuned: Any, steps: int) -> None:
    tuned.fit(X, Y, batch_size=16, epochs=steps, verbose=0)


def exported(tuned: Any, path: Path) -> Diagnosis:
    slim2keras.export_checkpoint(tuned, path)
    return slim2keras.diagnose(path)


def shares(diagnosis: Diagnosis) -> list[float | None]:
    """Of the old statistics, each once."""
    return sorted({layer.old_statistics_left for layer in diagnosis.layers}, key=str)


def recorded(tuned: Any) -> list[float]:
    return sorted({layer.old_statistics_left for layer in tuned.statistics_record.layers().values()})


@pytest.mark.parametrize("decay", [0.5, "auto"])
def test_the_doctor_does_not_call_our_own_output_sick(tmp_path: Path, decay: Any) -> None:
    """The decay that training had counts, not the default of the network: nothing of the old statistics is left."""
    tuned = tuned_model(batch_norm="update", decay=decay)
    fit(tuned, 25)
    diagnosis = exported(tuned, tmp_path / "model.ckpt-25")
    assert diagnosis.is_healthy
    assert diagnosis.decay_source == "recorded by fine-tuning"
    assert max(shares(diagnosis)) < 0.1
    assert not diagnosis.with_finding(Finding.PERHAPS_UNDER_CONVERGED)


def test_a_slow_decay_of_our_own_is_seen(tmp_path: Path) -> None:
    """And with certainty."""
    tuned = tuned_model(batch_norm="update", decay=0.999)
    fit(tuned, 10)
    diagnosis = exported(tuned, tmp_path / "model.ckpt-10")
    assert shares(diagnosis) == [pytest.approx(0.999**10)]
    assert len(diagnosis.with_finding(Finding.UNDER_CONVERGED)) == len(diagnosis.layers)


def test_statistics_that_were_told_not_to_move_are_pit_one(tmp_path: Path) -> None:
    """Mode ``"batch"`` leaves the old ones; mode ``"frozen"`` normalised with them, so they are right."""
    tuned = tuned_model(batch_norm="batch")
    fit(tuned, 3)
    diagnosis = exported(tuned, tmp_path / "batch.ckpt-3")
    assert diagnosis.with_finding(Finding.NOT_MOVED) == diagnosis.layers
    assert "pit one" in diagnosis.verdicts[0]
    assert diagnosis.decay is None
    tuned = tuned_model(batch_norm="frozen")
    fit(tuned, 3)
    diagnosis = exported(tuned, tmp_path / "frozen.ckpt-3")
    assert diagnosis.is_healthy
    assert len(diagnosis.verdicts) == 1
    assert shares(diagnosis) == [None]


def test_what_is_recalibrated_after_training_is_not_called_old(tmp_path: Path) -> None:
    """Statistics that somebody else set are not those of training."""
    tuned = tuned_model(batch_norm="batch")
    fit(tuned, 3)
    recalibrate(tuned, [X])
    diagnosis = exported(tuned, tmp_path / "model.ckpt-3")
    assert diagnosis.is_healthy
    assert shares(diagnosis) == [None]


def test_the_record_goes_on_through_fits_and_files(tmp_path: Path) -> None:
    """Decays of several runs, saved, loaded and compiled anew, multiply."""
    tuned = tuned_model(batch_norm="update", decay="auto")
    fit(tuned, 2)
    fit(tuned, 3)
    first = recorded(tuned)
    assert first == [pytest.approx(0.9**5)]
    tuned.save(tmp_path / "tuned.keras")
    assert shares(slim2keras.diagnose(tmp_path / "tuned.keras")) == first
    import tf_keras

    loaded = tf_keras.models.load_model(tmp_path / "tuned.keras")
    fit(loaded, 2)
    assert recorded(loaded) == [pytest.approx(0.9**7)]
    compile_it(loaded)
    fit(loaded, 1)
    assert recorded(loaded) == [pytest.approx(0.9**8)]


def test_a_resumed_run_counts_its_own_steps(tmp_path: Path) -> None:
    """What came before ``resume_from`` belongs to the run of before."""
    tuned = tuned_model(batch_norm="update", decay=0.9)
    fit(tuned, 4)
    slim2keras.export_checkpoint(tuned, tmp_path / "model.ckpt-4")
    again = slim2keras.finetune(build_ours(NET), batch_norm="update", decay=0.9, resume_from=tmp_path / "model.ckpt-4")
    compile_it(again)
    assert again.statistics_record.layers() == {}
    fit(again, 3)
    assert recorded(again) == [pytest.approx(0.9**3)]


def test_a_record_is_about_the_very_bits(tmp_path: Path) -> None:
    """Beside another checkpoint, damaged or hostile, it says nothing."""
    tuned = tuned_model(batch_norm="update", decay=0.5)
    fit(tuned, 8)
    slim2keras.export_checkpoint(tuned, tmp_path / "model.ckpt-8")
    report = tmp_path / "model.ckpt-8.json"
    good = json.loads(report.read_text())
    assert slim2keras.diagnose(tmp_path).decay_source == "recorded by fine-tuning"
    for text in (
        json.dumps({**good, "sha256": "0" * 64}),
        json.dumps({**good, "batch_norm": [1, 2]}),
        json.dumps({**good, "batch_norm": {"layer": {"mode": "none"}}}),
        "[" * 100_000,
        "",
    ):
        report.write_text(text)
        assert slim2keras.diagnose(tmp_path).decay_source != "recorded by fine-tuning"


def test_without_training_there_is_no_record(tmp_path: Path) -> None:
    """A model that was only converted or only compiled knows nothing of old statistics."""
    slim2keras.export_checkpoint(tuned_model(batch_norm="update"), tmp_path / "a.ckpt")
    slim2keras.export_checkpoint(build_ours(NET), tmp_path / "b.ckpt")
    assert not list(tmp_path.glob("*.json"))
