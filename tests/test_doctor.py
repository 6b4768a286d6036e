"""The doctor: each sickness gets its own verdict and no other, from the checkpoint alone and with data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.doctor import Diagnosis, Finding
from slim2keras.errors import CheckpointReadError, OutputError, UnknownNetError, UnsupportedArgumentError
from slim2keras.plots import plot_drift
from tests import sick_checkpoints as sick
from tests.reference import write_checkpoint

LAYERS = ("net/conv1/BatchNorm", "net/conv2/BatchNorm", "net/conv3/BatchNorm")
CHANNELS = 8
Values = dict[str, Any]


def values(seed: int = 0, *, step: int | None = 100_000) -> Values:
    """A network of somebody's own, in health."""
    random = np.random.RandomState(seed)
    found: Values = {} if step is None else {"global_step": np.int64(step)}
    for layer in LAYERS:
        found[f"{layer}/gamma"] = random.uniform(0.5, 1.5, CHANNELS).astype("float32")
        found[f"{layer}/beta"] = random.normal(0.0, 0.1, CHANNELS).astype("float32")
        found[f"{layer}/moving_mean"] = random.normal(0.0, 1.0, CHANNELS).astype("float32")
        found[f"{layer}/moving_variance"] = random.uniform(0.5, 2.0, CHANNELS).astype("float32")
        found[layer.replace("BatchNorm", "weights")] = random.normal(0.0, 0.1, (3, 3, 4, CHANNELS)).astype("float32")
    return found


def diagnose(tmp_path: Path, changes: Mapping[str, Any] | None = None, **options: Any) -> Diagnosis:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {**values(), **(changes or {})})
    return slim2keras.diagnose(checkpoint, **{"decay": 0.99, **options})


def findings(diagnosis: Diagnosis) -> dict[str, tuple[Finding, ...]]:
    return {layer.name: layer.findings for layer in diagnosis.layers if layer.findings}


def statistics(mean: Any, variance: Any, layer: str = LAYERS[1]) -> Values:
    full = {"moving_mean": mean, "moving_variance": variance}
    return {
        f"{layer}/{name}": np.broadcast_to(value, CHANNELS).astype("float32").copy() for name, value in full.items()
    }


VERDICTS = {
    "healthy": "healthy: the statistics of all 53 layers can be trusted",
    "pit one": "pit one: 53 of 53 layers were never updated; test results with is_training=False are meaningless",
    "pit two": "pit two: 53 of 53 layers were left behind: after 200 steps at decay 0.9997, 94% of the statistics",
    "not restored": "53 of 53 layers were given the statistics of a fresh network",
    "poisoned": "1 of 53 layers was poisoned: statistics that are NaN or infinite, first " + sick.POISONED,
}


@pytest.mark.parametrize("sickness", VERDICTS)
def test_each_sickness_gets_its_verdict_and_no_other(sick_checkpoints: dict[str, Path], sickness: str) -> None:
    diagnosis = slim2keras.diagnose(sick_checkpoints[sickness])
    verdict, *others = diagnosis.verdicts
    assert verdict.startswith(VERDICTS[sickness])
    assert not others
    assert diagnosis.is_healthy is (sickness == "healthy")
    assert len({finding for layer in diagnosis.layers for finding in layer.findings}) == (sickness != "healthy")
    assert diagnosis.decay_source == "the .meta beside the checkpoint"


@pytest.mark.parametrize("sickness", VERDICTS)
def test_data_show_the_gap_and_its_causes(sick_checkpoints: dict[str, Path], sickness: str) -> None:
    import tensorflow as tf

    images, labels, _, _ = sick.digits()
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)
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
        return
    assert not diagnosis.is_healthy
    assert gap.accuracy_lost > 0.1
    assert diagnosis.gap_repaired.accuracy_lost < 0.05
    assert off == [sick.POISONED] if sickness == "poisoned" else len(off) > 45
    assert diagnosis.layers[0].name == "resnet_v1_50/conv1/BatchNorm"
    assert json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))["gap"]["images"] == len(images)


def test_the_picture_is_drawn(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    images, _, _, _ = sick.digits()
    # The size of the images stands in the .meta.
    diagnosis = slim2keras.diagnose(sick_checkpoints["poisoned"], data=[images[:64]])
    for name in ("drift.png", "drift.svg"):
        plot_drift(diagnosis, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000
    with pytest.raises(OutputError, match="exists"):
        plot_drift(diagnosis, tmp_path / "drift.png")
    with pytest.raises(OutputError, match="not the name of a picture"):
        plot_drift(diagnosis, tmp_path / "drift.txt")
    with pytest.raises(UnsupportedArgumentError, match="diagnose with data"):
        plot_drift(slim2keras.diagnose(sick_checkpoints["poisoned"]), tmp_path / "other.png")


def test_a_network_of_ones_own_in_health(tmp_path: Path) -> None:
    diagnosis = diagnose(tmp_path)
    assert diagnosis.is_healthy
    assert findings(diagnosis) == {}
    assert [layer.name for layer in diagnosis.layers] == list(LAYERS)
    assert diagnosis.layers[0].old_statistics_left == pytest.approx(0.99**100_000)
    assert diagnosis.verdicts == (
        "healthy: the statistics of all 3 layers can be trusted, as far as the checkpoint tells",
    )


NAN = np.array([np.nan, *np.ones(CHANNELS - 1)])


@pytest.mark.parametrize(
    ("changes", "finding", "words"),
    [
        (statistics(0.0, 1.0), Finding.NEVER_UPDATED, "pit one: 1 of 3 layers was never updated"),
        (statistics(NAN, 1.0), Finding.NONFINITE, "1 of 3 layers was poisoned"),
        (statistics(-np.inf, np.inf), Finding.NONFINITE, "1 of 3 layers was poisoned"),
        (statistics(0.1, np.where(np.isnan(NAN), -0.1, 1.0)), Finding.NEGATIVE_VARIANCE, "a variance is negative"),
        (statistics(0.1, 1e-12), Finding.DEAD_LAYER, "1 of 3 layers was dead"),
        (statistics(0.1, 1e9), Finding.EXPLODING, "1 of 3 layers was exploding"),
    ],
)
def test_sick_layers(tmp_path: Path, changes: Values, finding: Finding, words: str) -> None:
    diagnosis = diagnose(tmp_path, changes)
    assert findings(diagnosis) == {LAYERS[1]: (finding,)}
    assert not diagnosis.is_healthy
    assert words in diagnosis.verdicts[0]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (statistics(0.1, np.where(np.isnan(NAN), 0.0, 1.0)), Finding.DEAD_CHANNELS),
        ({f"{LAYERS[1]}/gamma": np.where(np.isnan(NAN), 1e-7, 1.0).astype("float32")}, Finding.SMALL_GAMMA),
    ],
)
def test_what_healthy_networks_have_too_is_a_remark(tmp_path: Path, changes: Values, finding: Finding) -> None:
    diagnosis = diagnose(tmp_path, changes)
    assert findings(diagnosis) == {LAYERS[1]: (finding,)}
    assert diagnosis.layers[1].facts[finding] == f"1 of {CHANNELS} channels"
    assert diagnosis.is_healthy
    assert diagnosis.verdicts[1].startswith("remark: 1 of 3 layers was")


def shadows(of: Values, shift: float) -> Values:
    names = [name for name in of if name.rpartition("/")[2].startswith("moving_")]
    return {f"{name}/ExponentialMovingAverage": of[name] + np.float32(shift) for name in names}


@pytest.mark.parametrize(("shift", "is_healthy"), [(0.01, True), (3.0, False)])
def test_shadows_that_are_out_of_step(tmp_path: Path, shift: float, is_healthy: bool) -> None:
    diagnosis = diagnose(tmp_path, shadows(values(), shift))
    assert diagnosis.is_healthy is is_healthy
    assert len(diagnosis.with_finding(Finding.OUT_OF_STEP)) == (0 if is_healthy else 3)


def test_pit_one_of_fine_tuning_needs_the_start(tmp_path: Path) -> None:
    start = values(1, step=None)
    tuned = {name: value if "moving" in name else value + np.float32(0.1) for name, value in start.items()}
    pretrained = write_checkpoint(tmp_path / "start.ckpt", start)
    checkpoint = write_checkpoint(tmp_path / "tuned.ckpt", {**tuned, "global_step": np.int64(5000)})
    assert slim2keras.diagnose(checkpoint, decay=0.9).is_healthy
    diagnosis = slim2keras.diagnose(checkpoint, decay=0.9, pretrained=pretrained)
    assert findings(diagnosis) == dict.fromkeys(LAYERS, (Finding.FROZEN,))
    assert "while 9 other variables moved" in diagnosis.verdicts[0]
    assert slim2keras.diagnose(pretrained, decay=0.9, steps=9, pretrained=pretrained).with_finding(Finding.FROZEN) == []


def test_a_fresh_network_is_not_pit_one(tmp_path: Path) -> None:
    changes = {name: value for layer in LAYERS for name, value in statistics(0.0, 1.0, layer).items()}
    diagnosis = diagnose(tmp_path, {**changes, "global_step": np.int64(0)})
    assert {finding for found in findings(diagnosis).values() for finding in found} == {Finding.NOT_RESTORED}


@pytest.mark.parametrize(
    ("steps", "decay", "is_healthy", "recommended"),
    [
        (None, 0.9997, True, 0.9997),
        (1000, 0.9997, False, 0.99083),
        (1000, 0.997, True, 0.99083),
        (700, 0.997, False, 0.98693),
    ],
)
def test_pit_two_by_decay_and_steps(
    tmp_path: Path, steps: int | None, decay: float, is_healthy: bool, recommended: float
) -> None:
    diagnosis = diagnose(tmp_path, decay=decay, steps=steps)
    assert diagnosis.is_healthy is is_healthy
    assert diagnosis.recommended_decay == pytest.approx(recommended, abs=1e-3)
    for layer in diagnosis.layers:
        assert layer.old_statistics_left == pytest.approx(decay ** (steps or 100_000))


def test_the_sources_of_the_decay_in_their_order(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    checkpoint = sick_checkpoints["healthy"]

    def source(**options: Any) -> tuple[float | None, str]:
        diagnosis = slim2keras.diagnose(checkpoint, **options)
        return diagnosis.decay, diagnosis.decay_source

    assert source(decay=0.5, net="resnet_v1_50") == (0.5, "given")
    assert source(net="inception_v3") == (0.9997, "the default of inception_v3")
    assert source(net="resnet_v1_50", batch_norm_decay=0.7) == (0.7, "the default of resnet_v1_50")
    assert source() == (pytest.approx(0.9), "the .meta beside the checkpoint")
    checkpoint = tmp_path / "copy.ckpt"
    for suffix in (".index", ".data-00000-of-00001"):
        original = Path(f"{sick_checkpoints['healthy']}{suffix}")
        Path(f"{checkpoint}{suffix}").write_bytes(original.read_bytes())
    assert source() == (0.997, "assumed, the default of resnet_v1_50")
    checkpoint = write_checkpoint(tmp_path / "own.ckpt", values())
    assert source() == (None, "unknown")


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values(step=None))
    remark = "remark: pit two cannot be excluded without "
    assert slim2keras.diagnose(checkpoint).verdicts[1] == f"{remark}the decay (--decay)"
    assert slim2keras.diagnose(checkpoint, decay=0.9).verdicts[1] == f"{remark}the number of steps (--steps)"
    assert len(slim2keras.diagnose(checkpoint, decay=0.9, steps=1000).verdicts) == 1


def test_no_batch_norm_at_all(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {"vgg_16/conv1/weights": np.ones((3, 3, 3, 4), "float32")})
    diagnosis = slim2keras.diagnose(checkpoint)
    assert diagnosis.is_healthy
    assert diagnosis.verdicts == ("healthy: the checkpoint has no BatchNorm layer",)


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
    with pytest.raises(error):
        diagnose(tmp_path, **options)


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
    diagnosis = diagnose(tmp_path, {"odd/moving_mean": mean, "odd/moving_variance": variance, "odd/gamma": mean})
    assert ("odd" in {layer.name for layer in diagnosis.layers}) is is_layer
