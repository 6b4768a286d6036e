"""Recalibration and evaluation by several devices and processes: one device's result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stories.clusters import State, run, two_workers
from tests.trainer.runs import write_images, write_network

WORKER = Path(__file__).with_name("sharing_worker.py")
IMAGES = 21
"""In batches of four: six, of which the last has one image and joins the one before, so that five are shared by two."""


QUICK = ("recalibrate", "evaluate", "train")
SLOW = ("sequential", "list", "few", "accumulate")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where images and network are, and where processes write."""
    found, random = tmp_path_factory.mktemp("sharing"), np.random.RandomState(3)
    pictures = random.uniform(-1.0, 1.0, (IMAGES, 16, 16, 3)).astype("float32")
    np.savez(found / "images.npz", images=pictures, labels=random.randint(0, 5, IMAGES))
    write_images(found / "images")
    # What is dropped is drawn on each device by itself.
    write_network(found / "tiny.keras", keep_prob=1.0)
    return found


@pytest.fixture(scope="module")
def alone(directory: Path) -> dict[str, State]:
    """What one device gives, and what two of one process give."""
    (found,) = run(WORKER, directory, *(f"{who}-{case}" for case in QUICK for who in ("one", "mirrored")))
    return found


def assert_same(found: State, wanted: State) -> None:
    """Equal, up to what is added in another order: sums of float32 in training, of float64 in statistics."""
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        scale = np.max(np.abs(value), initial=0.0)
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize("case", QUICK)
def test_two_devices_give_what_one_gives(case: str, alone: dict[str, State]) -> None:
    """Statistics, gaps, scores; losses, weights and slots of a training whose statistics are frozen.

    Five batches are not a multiple of two, nor are the nine images that validate.
    """
    assert_same(alone[f"mirrored-{case}"], alone[f"one-{case}"])


def test_the_cases_can_fail(alone: dict[str, State]) -> None:
    """Recalibration changed something, images have several ranks, and training learned."""
    before, after = alone["one-recalibrate"]["before"], alone["one-recalibrate"]["after"]
    assert not np.allclose(before, after)
    assert len(np.unique(alone["one-evaluate"]["ranks"])) > 1
    first, last = alone["one-train"]["history loss"]
    assert last < first - 0.01


@pytest.mark.slow
def test_two_workers_give_what_one_device_gives(alone: dict[str, State], directory: Path) -> None:
    """Each reads half of the batches, and has the result of all; so where one of them has no batch.

    Of a training the chief alone has files.
    """
    (single,) = run(WORKER, directory, *(f"one-{case}" for case in SLOW), to="single")
    wanted = {**alone, **single}
    cases = [f"workers-{case}" for case in (*QUICK, *SLOW)]
    chief, other = run(WORKER, directory, *cases, clusters=two_workers(), to="two")
    for case in (*QUICK, *SLOW):
        assert_same(chief[f"workers-{case}"], wanted[f"one-{case}"])
        is_training = case in ("train", "accumulate")
        assert_same(other[f"workers-{case}"], {} if is_training else wanted[f"one-{case}"])


@pytest.mark.slow
def test_workers_and_devices_share_a_step_alike(directory: Path) -> None:
    """With BatchNorm and dropout two workers are two devices of one process, whose statistics are told elsewhere."""
    (devices,) = run(WORKER, directory, "mirrored-update", "one-update", to="devices")
    chief, _ = run(WORKER, directory, "workers-update", clusters=two_workers(), to="workers")
    assert_same(chief["workers-update"], devices["mirrored-update"])
    assert not np.allclose(devices["mirrored-update"]["history loss"], devices["one-update"]["history loss"], 1e-4)
