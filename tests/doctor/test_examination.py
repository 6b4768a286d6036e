"""Each layer gets the finding that it has, and no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.doctor.findings import Finding
from tests.doctor.own_statistics import CHANNELS, LAYERS, Values, diagnose, findings, statistics, values
from tests.reference import write_checkpoint


def test_a_network_of_ones_own_in_health(tmp_path: Path) -> None:
    """Nothing is found in it, and what only images could tell is said."""
    diagnosis = diagnose(tmp_path)
    assert diagnosis.is_healthy
    assert findings(diagnosis) == {}
    assert [layer.name for layer in diagnosis.layers] == list(LAYERS)
    assert diagnosis.layers[0].old_statistics_left == pytest.approx(0.99**100_000)
    assert len(diagnosis.verdicts) == 1
    assert diagnosis.verdicts[0].startswith("healthy: nothing wrong is seen in the statistics of all 3 layers")
    assert diagnosis.verdicts[0].endswith("whether they fit the images, --data tells")


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
    """The one sick layer among three has the one finding that fits."""
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
    """A dead channel or a small gamma makes nobody sick."""
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
    """Averages near the raw statistics are healthy, far ones are not."""
    diagnosis = diagnose(tmp_path, shadows(values(), shift))
    assert diagnosis.is_healthy is is_healthy
    assert len(diagnosis.with_finding(Finding.OUT_OF_STEP)) == (0 if is_healthy else 3)


def test_pit_one_of_fine_tuning_needs_the_start(tmp_path: Path) -> None:
    """Pre-trained statistics look healthy until they are compared with where they came from."""
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
    """At step 0 nothing has been forgotten."""
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
    """How much is old follows from both, and so does the decay that is recommended."""
    diagnosis = diagnose(tmp_path, decay=decay, steps=steps)
    assert diagnosis.is_healthy is is_healthy
    assert diagnosis.recommended_decay == pytest.approx(recommended, abs=1e-3)
    for layer in diagnosis.layers:
        assert layer.old_statistics_left == pytest.approx(decay ** (steps or 100_000))
