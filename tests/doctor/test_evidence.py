"""What is read out of a checkpoint: its layers, the decay and where it is from, folded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.doctor.findings import Finding
from slim2keras.errors import UnrecognisedNetError
from slim2keras.scopes import VariableKind
from tests import sick_checkpoints as sick
from tests.doctor.own_statistics import Values, diagnose, findings, statistics, values
from tests.reference import write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_the_sources_of_the_decay_in_their_order(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """What was given, the .meta, the named network's default, the recognised one's; and it says which."""
    checkpoint = sick_checkpoints["healthy"]

    def source(**options: Any) -> tuple[float | None, str]:
        diagnosis = slim2keras.diagnose(checkpoint, **options)
        return diagnosis.decay, diagnosis.decay_source

    assert source(decay=0.5, net=sick.NET) == (0.5, "given")
    assert source(net="inception_v3") == (0.9997, "the default of inception_v3")
    assert source(net=sick.NET, batch_norm_decay=0.7) == (0.7, f"the default of {sick.NET}")
    assert source() == (pytest.approx(0.9), "the .meta beside the checkpoint")
    checkpoint = tmp_path / "copy.ckpt"
    for suffix in (".index", ".data-00000-of-00001"):
        original = Path(f"{sick_checkpoints['healthy']}{suffix}")
        Path(f"{checkpoint}{suffix}").write_bytes(original.read_bytes())
    assert source() == (0.997, f"assumed, the default of {sick.NET}")
    checkpoint = write_checkpoint(tmp_path / "own.ckpt", values())
    assert source() == (None, "unknown")


@pytest.mark.parametrize(
    ("mean", "variance", "is_layer"),
    [
        (np.ones((), "float32"), np.ones((), "float32"), True),
        (np.ones((1, 1, 8), "float16"), np.ones((1, 1, 8), "float16"), True),
        (np.ones(8, "float32"), np.ones(4, "float32"), False),
        (np.ones(0, "float32"), np.ones(0, "float32"), False),
        (np.ones(8, "int64"), np.ones(8, "int64"), False),
        (np.array([b"mean"]), np.array([b"variance"]), False),
    ],
)
def test_whatever_somebody_calls_moving_mean(tmp_path: Path, mean: Any, variance: Any, is_layer: bool) -> None:
    """Odd shapes and dtypes are looked at where they are statistics, and passed over where not."""
    diagnosis = diagnose(tmp_path, {"odd/moving_mean": mean, "odd/moving_variance": variance, "odd/gamma": mean})
    assert ("odd" in {layer.name for layer in diagnosis.layers}) is is_layer


def copied(checkpoint: Path, directory: Path) -> Path:
    """Without its ``.meta``, so that the decay can only be assumed."""
    for suffix in (".index", ".data-00000-of-00001"):
        (directory / f"copy.ckpt{suffix}").write_bytes(Path(f"{checkpoint}{suffix}").read_bytes())
    return directory / "copy.ckpt"


def test_a_decay_that_is_assumed_makes_no_verdict(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """What follows from the default of the network alone is told as a condition, and nothing is called sick by it."""
    diagnosis = slim2keras.diagnose(copied(sick_checkpoints["healthy"], tmp_path))
    assert diagnosis.is_healthy
    assert {finding for found in findings(diagnosis).values() for finding in found} == {Finding.PERHAPS_UNDER_CONVERGED}
    assert diagnosis.verdicts[0].startswith("not sick: ")
    assert diagnosis.verdicts[1].startswith(
        "perhaps pit two: if it was trained with decay 0.997, 55% of the statistics"
    )
    assert f"only assumed, the default of {sick.NET}: give --decay" in diagnosis.verdicts[1]
    assert not slim2keras.diagnose(tmp_path / "copy.ckpt", decay=0.997).is_healthy


def network(layers: int = 4, channels: int = 32, *, folded: bool) -> Values:
    """Convolutions whose outputs vary as their weights are large; folded, divided by what BatchNorm divides by."""
    random = np.random.RandomState(0)
    found: Values = {"global_step": np.int64(100_000)}
    for number in range(layers):
        scope = f"net/conv{number}"
        weights = random.normal(size=(3, 3, 8, channels)) * random.lognormal(0.0, 0.7, channels)
        variance = (weights**2).sum((0, 1, 2)) * random.lognormal(0.0, 0.7, channels)
        if folded:
            weights = weights / np.sqrt(variance + 1e-3)
        for name, value in {
            "weights": weights,
            "BatchNorm/moving_variance": variance,
            "BatchNorm/moving_mean": random.normal(size=channels),
            "BatchNorm/beta": random.normal(size=channels),
        }.items():
            found[f"{scope}/{name}"] = value.astype("float32")
    return found


def test_folded_weights_with_the_old_statistics_are_seen(tmp_path: Path) -> None:
    """A script that folds BatchNorm into the weights and leaves its statistics makes a network that divides twice."""
    as_trained = write_checkpoint(tmp_path / "trained.ckpt", network(folded=False))
    folded = write_checkpoint(tmp_path / "folded.ckpt", network(folded=True))
    assert slim2keras.diagnose(as_trained, decay=0.99).is_healthy
    diagnosis = slim2keras.diagnose(folded, decay=0.99)
    assert not diagnosis.is_healthy
    assert set(findings(diagnosis).values()) == {(Finding.FOLDED,)}
    assert "take the checkpoint from before folding" in diagnosis.verdicts[0]


def test_folding_is_seen_in_a_network_that_slim_trained(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """With gammas, and convolutions of all sizes."""
    with open_checkpoint(sick_checkpoints["healthy"]) as trained:
        held = {name: trained[name] for name in trained.names(VariableKind.MODEL)}
    for name in [name for name in held if name.endswith("/moving_variance")]:
        scope = name.removesuffix("/moving_variance")
        weights = f"{scope.rpartition('/')[0]}/weights"
        held[weights] = held[weights] * held[f"{scope}/gamma"] / np.sqrt(held[name] + np.float32(1e-5))
    diagnosis = slim2keras.diagnose(write_checkpoint(tmp_path / "folded.ckpt", held), decay=0.9, steps=200)
    assert len(diagnosis.with_finding(Finding.FOLDED)) == len(diagnosis.layers)


def test_layers_come_in_the_order_that_people_count_in(tmp_path: Path) -> None:
    """``Conv2d_2`` before ``Conv2d_10``."""
    names = [f"net/Conv2d_{number}/BatchNorm" for number in (10, 2, 1)]
    changes = {name: value for layer in names for name, value in statistics(0.1, 1.5, layer).items()}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", changes)
    assert [layer.name for layer in slim2keras.diagnose(checkpoint).layers] == names[::-1]


def test_the_decay_of_a_net_that_is_named_counts_for_any_checkpoint(tmp_path: Path) -> None:
    """``net`` says whose decay it is, also of a checkpoint that is of no network of slim's."""
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", statistics(0.1, 1.5, "net/Conv2d_1/BatchNorm"))
    diagnosis = slim2keras.diagnose(checkpoint, net="resnet_v1_50", batch_norm_decay=0.9)
    assert (diagnosis.decay, diagnosis.decay_source) == (0.9, "the default of resnet_v1_50")
    with pytest.raises(UnrecognisedNetError):
        slim2keras.diagnose(checkpoint, batch_norm_decay=0.9)
