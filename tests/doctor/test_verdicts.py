"""What the doctor says, and what it says that it cannot know."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import slim2keras
from tests.doctor.own_statistics import diagnose, statistics, values
from tests.reference import write_checkpoint
from tests.trainer.runs import write_network


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    """The verdict asks for what is missing, and for nothing once it is given."""
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values(step=None))
    remark = "remark: pit two cannot be excluded without "
    assert slim2keras.diagnose(checkpoint).verdicts[1] == f"{remark}the decay (--decay)"
    assert slim2keras.diagnose(checkpoint, decay=0.9).verdicts[1] == f"{remark}the number of steps (--steps)"
    assert len(slim2keras.diagnose(checkpoint, decay=0.9, steps=1000).verdicts) == 1


def test_no_batch_norm_at_all(tmp_path: Path) -> None:
    """Then there is nothing to be sick."""
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {"vgg_16/conv1/weights": np.ones((3, 3, 3, 4), "float32")})
    diagnosis = slim2keras.diagnose(checkpoint)
    assert diagnosis.is_healthy
    assert diagnosis.verdicts == ("healthy: the checkpoint has no BatchNorm layer",)


def test_pit_two_may_be_pit_one_from_pretrained_statistics(tmp_path: Path) -> None:
    """The advice helps in both, and says how to tell them apart; with the start given they are apart."""
    start = values(1, step=None)
    pretrained = write_checkpoint(tmp_path / "start.ckpt", start)
    tuned = {name: value if "moving" in name else value + np.float32(0.1) for name, value in start.items()}
    checkpoint = write_checkpoint(tmp_path / "tuned.ckpt", {**tuned, "global_step": np.int64(500)})
    verdict = slim2keras.diagnose(checkpoint, decay=0.9997).verdicts[0]
    assert "Recalibrate the statistics" in verdict
    assert "Whether they moved at all (pit one), --pretrained CHECKPOINT tells" in verdict
    assert "train on" not in verdict
    assert slim2keras.diagnose(checkpoint, decay=0.9997, pretrained=pretrained).verdicts[0].startswith("pit one: ")


def test_a_network_of_ones_own_is_told_the_way_that_exists(tmp_path: Path) -> None:
    """The command that cannot read the network is not advised; Python's way is."""
    diagnosis = diagnose(tmp_path, statistics(0.0, 1.0))
    assert not any("run `slim2keras recalibrate`" in verdict for verdict in diagnosis.verdicts)
    assert "slim2keras.load_checkpoint(model, checkpoint)" in diagnosis.verdicts[-1]


def test_of_a_model_file_whose_network_is_known_the_command_is_advised(tmp_path: Path) -> None:
    """Its report names the network, so that the command can recalibrate it."""
    diagnosis = slim2keras.diagnose(write_network(tmp_path / "tiny.keras", shift=float("nan")))
    assert "run `slim2keras recalibrate`" in diagnosis.verdicts[0]
    assert not any("is not one that slim2keras knows" in verdict for verdict in diagnosis.verdicts)
