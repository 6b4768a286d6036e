"""Recalibration and evaluation by several devices and processes: one device's result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stories.clusters import State, run, two_workers

WORKER = Path(__file__).with_name("sharing_worker.py")
IMAGES = 21
"""In batches of four: six, of which the last has one image and joins the one before, so that five are shared by two."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images are, and where processes write."""
    found, random = tmp_path_factory.mktemp("sharing"), np.random.RandomState(3)
    pictures = random.uniform(-1.0, 1.0, (IMAGES, 32, 32, 3)).astype("float32")
    np.savez(found / "images.npz", images=pictures, labels=random.randint(0, 5, IMAGES))
    return found


@pytest.fixture(scope="module")
def alone(directory: Path) -> dict[str, State]:
    """What one device gives, and what two of one process give."""
    cases = ("recalibrate", "evaluate")
    (found,) = run(WORKER, directory, *(f"{who}-{case}" for case in cases for who in ("one", "mirrored")))
    return found


def assert_same(found: State, wanted: State) -> None:
    """Equal; what is joined in another order, as statistics are, up to the last bits of float64."""
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("case", ["recalibrate", "evaluate"])
def test_two_devices_give_what_one_gives(case: str, alone: dict[str, State]) -> None:
    """Statistics, gaps and scores; five batches are not a multiple of two."""
    assert_same(alone[f"mirrored-{case}"], alone[f"one-{case}"])


def test_the_case_can_fail(alone: dict[str, State]) -> None:
    """Recalibration changed something, and there are images of several ranks."""
    before, after = alone["one-recalibrate"]["before"], alone["one-recalibrate"]["after"]
    assert not np.allclose(before, after)
    assert len(np.unique(alone["one-evaluate"]["ranks"])) > 1


@pytest.mark.slow
def test_two_workers_give_what_one_device_gives(alone: dict[str, State], directory: Path, tmp_path: Path) -> None:
    """Each reads half of the batches, and each has the result of all; so where one of them has no batch."""
    (single,) = run(WORKER, directory, "one-sequential", "one-list", "one-few", to="single")
    wanted = {**alone, **single}
    cases = ("recalibrate", "evaluate", "sequential", "list", "few")
    for worker in run(WORKER, directory, *(f"workers-{case}" for case in cases), clusters=two_workers(), to="two"):
        for case in cases:
            assert_same(worker[f"workers-{case}"], wanted[f"one-{case}"])
