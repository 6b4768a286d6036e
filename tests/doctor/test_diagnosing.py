"""The doctor on networks that slim trained and on files of Keras, from the checkpoint alone and with data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.batch_norm.batches import are_mixed
from slim2keras.doctor.findings import Finding
from slim2keras.errors import CheckpointReadError, MovingStatisticsWarning, UnknownNetError, UnsupportedArgumentError
from tests import sick_checkpoints as sick
from tests.doctor.own_statistics import diagnose
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels

pytestmark = pytest.mark.usefixtures("shallow_resnets")


ALL = f"{sick.LAYERS} of {sick.LAYERS} layers"

VERDICTS = {
    "healthy": "healthy: ",
    "pit one": f"pit one: {ALL} were never updated; test results with is_training=False are meaningless",
    "pit two": f"pit two: {ALL} were left behind: after 200 steps at decay 0.9997, 94% of the statistics",
    "not restored": f"{ALL} were given the statistics of a fresh network",
    "poisoned": f"1 of {sick.LAYERS} layers was poisoned: statistics that are NaN or infinite, first {sick.POISONED}",
}


@pytest.mark.parametrize("sickness", VERDICTS)
def test_each_sickness_gets_its_verdict_and_no_other(sick_checkpoints: dict[str, Path], sickness: str) -> None:
    """From the checkpoint alone, with the decay that its .meta tells."""
    diagnosis = slim2keras.diagnose(sick_checkpoints[sickness])
    verdict, *others = diagnosis.verdicts
    assert verdict.startswith(VERDICTS[sickness])
    assert not others
    assert diagnosis.is_healthy is (sickness == "healthy")
    assert len({finding for layer in diagnosis.layers for finding in layer.findings}) == (sickness != "healthy")
    assert diagnosis.decay_source == "the .meta beside the checkpoint"


@pytest.mark.parametrize("sickness", VERDICTS)
def test_data_show_the_gap_and_its_causes(sick_checkpoints: dict[str, Path], sickness: str) -> None:
    """What the statistics cost in accuracy, what repaired ones would give, and where it begins."""
    import tensorflow as tf

    images, labels, _, _ = sick.digits()
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)
    assert are_mixed([part.numpy() for _, part in data])
    diagnosis = slim2keras.diagnose(sick_checkpoints[sickness], data=data, input_shape=images.shape[1:])
    gap = diagnosis.gap
    assert gap is not None
    assert diagnosis.verdicts[0].startswith(VERDICTS[sickness])
    assert diagnosis.verdicts[1].startswith(f"on the data: {gap.describe()}; ")
    assert len(diagnosis.verdicts) == 2
    off = [layer.name for layer in diagnosis.layers if layer.drift is not None and not layer.drift.is_small]
    if sickness == "healthy":
        assert gap.accuracy_moving == pytest.approx(gap.accuracy_batch, abs=0.02)
        assert not off
        assert diagnosis.is_healthy
        assert "can be trusted, as far as the checkpoint and these images tell" in diagnosis.verdicts[0]
        return
    assert not diagnosis.is_healthy
    assert gap.accuracy_lost > 0.1
    assert diagnosis.gap_repaired.accuracy_lost < 0.05
    assert off == [sick.POISONED] if sickness == "poisoned" else len(off) > 0.85 * sick.LAYERS
    assert diagnosis.layers[0].name == f"{sick.NET}/conv1/BatchNorm"
    assert json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))["gap"]["images"] == len(images)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"decay": 1.5}, UnsupportedArgumentError),
        ({"decay": "auto"}, UnsupportedArgumentError),
        ({"steps": -1}, UnsupportedArgumentError),
        ({"net": "resnet_v9", "decay": None}, UnknownNetError),
        ({"pretrained": "nowhere.ckpt"}, CheckpointReadError),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, Any], error: type[Exception]) -> None:
    """Numbers out of range, networks and checkpoints that there are none of."""
    with pytest.raises(error):
        diagnose(tmp_path, **options)


def test_too_few_images_decide_nothing(sick_checkpoints: dict[str, Path]) -> None:
    """Three images neither make a healthy network sick nor clear one; the output says so."""
    images, labels, _, _ = sick.digits()
    few = [(images[:3], labels[:3])]
    diagnosis = slim2keras.diagnose(sick_checkpoints["healthy"], data=few, input_shape=images.shape[1:])
    assert diagnosis.is_healthy
    assert diagnosis.with_finding(Finding.PERHAPS_DRIFTED)
    assert any("3 images are too few to tell" in verdict for verdict in diagnosis.verdicts)
    assert not any("can be trusted" in verdict for verdict in diagnosis.verdicts)
    again = slim2keras.diagnose(sick_checkpoints["pit two"], data=few, input_shape=images.shape[1:])
    assert len(again.with_finding(Finding.UNDER_CONVERGED)) == len(again.layers)


def test_a_data_set_that_is_sorted_decides_nothing(sick_checkpoints: dict[str, Path]) -> None:
    """Batches of one class have statistics of their own; a healthy network is not called sick by them."""
    images, labels, _, _ = sick.digits()
    order = np.argsort(labels, kind="stable")
    batches = [(images[part], labels[part]) for part in np.array_split(order, 20)]
    diagnosis = slim2keras.diagnose(sick_checkpoints["healthy"], data=batches, input_shape=images.shape[1:])
    assert diagnosis.is_healthy
    assert any("hold some of the classes each" in verdict for verdict in diagnosis.verdicts)


def test_the_doctor_reads_keras_files(tmp_path: Path) -> None:
    """The question makes sense there too: the momentum is the decay, and a compiled file knows its steps."""
    net = NETS["separable"]
    tuned = slim2keras.finetune(build_ours(net), batch_norm="update", decay=0.999)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    with pytest.warns(MovingStatisticsWarning):
        tuned.fit(images(0, (8, *net.shape)), labels(1, CLASSES, 8), batch_size=4, epochs=5, verbose=0)
    tuned.save(tmp_path / "tuned.keras")
    diagnosis = slim2keras.diagnose(tmp_path / "tuned.keras")
    assert diagnosis.steps == 10
    assert diagnosis.decay == pytest.approx(0.999)
    assert len(diagnosis.with_finding(Finding.UNDER_CONVERGED)) == len(diagnosis.layers)
    plain = tf_keras_model_of(tuned)
    plain.save(tmp_path / "plain.keras")
    assert slim2keras.diagnose(tmp_path / "plain.keras", steps=100_000).is_healthy


def test_options_that_a_model_file_does_not_take_are_refused(tmp_path: Path) -> None:
    """It says itself which network it is; none of them is ignored."""
    build_ours(NETS["separable"]).save(tmp_path / "net.keras")
    for options in ({"net": "vgg_16"}, {"use_ema": True}, {"input_shape": (8, 8, 3)}, {"num_classes": 9}):
        with pytest.raises(UnsupportedArgumentError, match=f"leave {next(iter(options))} out"):
            slim2keras.diagnose(tmp_path / "net.keras", **options)


def test_images_of_nan_make_nothing_sick(sick_checkpoints: dict[str, Path]) -> None:
    """The images are at fault, and are named."""
    pictures, _, _, _ = sick.digits()
    broken = pictures[:128].copy()
    broken[5, 3, 3, 0] = np.nan
    diagnosis = slim2keras.diagnose(sick_checkpoints["healthy"], data=[broken], input_shape=pictures.shape[1:])
    assert diagnosis.is_healthy
    assert any("get NaN or infinity from these images" in verdict for verdict in diagnosis.verdicts)


def tf_keras_model_of(tuned: Any) -> Any:
    import tf_keras

    return tf_keras.Model(tuned.input, tuned.output)
