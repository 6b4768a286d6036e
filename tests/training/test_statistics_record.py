"""What fine-tuning knows of the moving statistics stays with the checkpoint, and the doctor takes it at its word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.checkpoints.training_record import recorded_input_shape
from slim2keras.doctor.findings import Diagnosis, Finding
from slim2keras.doctor.recalibration import recalibrate
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
    return sorted({layer.old_statistics_left for layer in tuned.statistics_record.read().layers.values()}, key=str)


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


def test_steps_count_with_the_decay_that_they_had() -> None:
    """What was left when it was changed is what the next one starts with."""
    tuned = tuned_model(batch_norm="update", decay=0.9)
    fit(tuned, 2)
    tuned.set_decay(0.5)
    assert recorded(tuned) == [pytest.approx(0.9**2)]
    tuned.make_train_function(force=True)
    fit(tuned, 1)
    assert recorded(tuned) == [pytest.approx(0.9**2 * 0.5)]


def test_a_resumed_run_goes_on_with_the_record(tmp_path: Path) -> None:
    """What is left after both runs is the product; of a run that nobody recorded nothing is claimed."""
    tuned = tuned_model(batch_norm="update", decay=0.9)
    fit(tuned, 20)
    slim2keras.export_checkpoint(tuned, tmp_path / "model.ckpt-20")
    again = slim2keras.finetune(build_ours(NET), batch_norm="update", decay=0.9, resume_from=tmp_path / "model.ckpt-20")
    compile_it(again)
    fit(again, 5)
    diagnosis = exported(again, tmp_path / "model.ckpt-25")
    assert shares(diagnosis) == [pytest.approx(0.9**25)]
    assert diagnosis.is_healthy
    (tmp_path / "model.ckpt-20.json").unlink()
    unknown = slim2keras.finetune(
        build_ours(NET), batch_norm="update", decay=0.9, resume_from=tmp_path / "model.ckpt-20"
    )
    compile_it(unknown)
    fit(unknown, 1)
    diagnosis = exported(unknown, tmp_path / "model.ckpt-21")
    assert shares(diagnosis) == [None]
    assert diagnosis.is_healthy


def test_what_is_recalibrated_and_saved_is_not_called_old(tmp_path: Path) -> None:
    """What was not of training stays so through a file, and through more training."""
    tuned = tuned_model(batch_norm="update", decay=0.99)
    fit(tuned, 3)
    recalibrate(tuned, [X])
    tuned.save(tmp_path / "run.keras")
    assert slim2keras.diagnose(tmp_path / "run.keras").is_healthy
    import tf_keras

    loaded = tf_keras.models.load_model(tmp_path / "run.keras")
    fit(loaded, 1)
    assert recorded(loaded) == [None]


def test_questions_of_the_user_go_before_the_record(tmp_path: Path) -> None:
    """``--decay`` and ``--steps`` are reckoned with; that statistics never moved stays known."""
    tuned = tuned_model(batch_norm="update", decay=0.5)
    fit(tuned, 10)
    checkpoint = exported(tuned, tmp_path / "model.ckpt-10").source
    assert shares(slim2keras.diagnose(checkpoint, decay=0.99)) == [pytest.approx(0.99**10)]
    assert shares(slim2keras.diagnose(checkpoint, steps=2)) == [pytest.approx(0.25)]
    tuned = tuned_model(batch_norm="batch")
    fit(tuned, 2)
    checkpoint = exported(tuned, tmp_path / "batch.ckpt-2").source
    assert slim2keras.diagnose(checkpoint, steps=1000).with_finding(Finding.NOT_MOVED)


def test_frozen_on_purpose_is_not_pit_one(tmp_path: Path) -> None:
    """The record knows that these layers normalised with their moving statistics."""
    start = tmp_path / "start.ckpt"
    slim2keras.export_checkpoint(build_ours(NET), start)
    tuned = slim2keras.finetune(build_ours(NET), batch_norm="frozen")
    slim2keras.load_checkpoint(tuned, start)
    compile_it(tuned)
    fit(tuned, 2)
    slim2keras.export_checkpoint(tuned, tmp_path / "model.ckpt-2")
    assert slim2keras.diagnose(tmp_path / "model.ckpt-2", pretrained=start).is_healthy


def test_a_record_counts_steps_where_the_file_has_none(tmp_path: Path) -> None:
    """A checkpoint that was exported without its optimizer."""
    tuned = tuned_model(batch_norm="update", decay=0.999)
    fit(tuned, 5)
    tuned.save(tmp_path / "tuned.keras")
    import tf_keras

    loaded = tf_keras.models.load_model(tmp_path / "tuned.keras", compile=False)
    diagnosis = exported(loaded, tmp_path / "model.ckpt")
    assert diagnosis.verdicts[0].startswith("pit two: ")
    assert "after 5 steps at decay 0.999" in diagnosis.verdicts[0]
    assert "plan 2302 steps or more" in diagnosis.verdicts[0] or "take decay" in diagnosis.verdicts[0]


def test_fine_tuning_under_a_strategy_keeps_a_record() -> None:
    """The step of several replicas is a variable of its own kind."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        tuned = slim2keras.finetune(build_ours(NET), batch_norm="update", decay=0.9)
        compile_it(tuned)
    fit(tuned, 2)
    assert recorded(tuned) == [pytest.approx(0.9**2)]


def test_an_exported_checkpoint_knows_its_input_size(tmp_path: Path) -> None:
    """As slim's own does by its .meta."""
    tuned = tuned_model(batch_norm="update", decay=0.5)
    fit(tuned, 1)
    slim2keras.export_checkpoint(tuned, tmp_path / "model.ckpt-1")
    with open_checkpoint(tmp_path / "model.ckpt-1") as opened:
        assert recorded_input_shape(opened) == NET.shape


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
        json.dumps({**good, "batch_norm": {"steps": 8, "layers": {"layer": {"mode": "none"}}}}),
        json.dumps({**good, "batch_norm": {"steps": None, "layers": {}}}),
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
