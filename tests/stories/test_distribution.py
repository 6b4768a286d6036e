"""Fine-tuning on several replicas: equal to one device without BatchNorm; with it, what differs and how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stories.clusters import State, run, two_workers

WORKER = Path(__file__).with_name("distribution_worker.py")
BAR = 1e-5
"""Relative to the largest magnitude of a tensor: the sum over replicas is rounded in another order."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """Losses and state of each run in one process that has two devices."""
    runs = [f"{strategy}-{case}" for case in ("momentum", "batch_norm") for strategy in ("one", "mirrored")]
    (found,) = run(WORKER, tmp_path_factory.mktemp("states"), *runs, "halves-batch_norm")
    return found


def assert_same(found: State, wanted: State) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert_near(found[name], value, name)


def assert_near(found: np.ndarray, wanted: np.ndarray, name: str) -> None:
    assert np.max(np.abs(found - wanted)) <= BAR * np.max(np.abs(wanted)), name


def test_without_batch_norm_replicas_take_the_step_of_one_device(states: dict[str, State]) -> None:
    """Losses, weights, slots, step and shadows; clipping is of the sum over replicas, as on one device."""
    assert_same(states["mirrored-momentum"], states["one-momentum"])


@pytest.mark.slow
def test_with_another_optimizer_too(tmp_path: Path) -> None:
    """Adam's slots and the powers that it keeps."""
    (found,) = run(WORKER, tmp_path, "one-adam", "mirrored-adam")
    assert_same(found["mirrored-adam"], found["one-adam"])


@pytest.mark.slow
def test_two_workers_take_the_step_of_one_device(states: dict[str, State], tmp_path: Path) -> None:
    """Each of the processes ends in the same state."""
    for worker in run(WORKER, tmp_path, "workers-momentum", clusters=two_workers()):
        assert_same(worker["workers-momentum"], states["one-momentum"])


def test_with_batch_norm_each_replica_has_its_own_statistics(states: dict[str, State]) -> None:
    """As slim's clones: each normalises its own part of the batch.

    The moving statistics move by the mean of the replicas' statistics, where slim takes the first clone's alone; and
    the mean of the variances is less than the variance of the whole batch.
    """
    one, mirrored, halves = (states[f"{strategy}-batch_norm"] for strategy in ("one", "mirrored", "halves"))
    assert not np.allclose(mirrored["losses"], one["losses"], rtol=1e-3)
    np.testing.assert_allclose(mirrored["losses"], halves["losses"], rtol=1e-5)
    statistics = [name for name in halves if name.rpartition("/")[2].startswith("moving_")]
    assert statistics
    for name in statistics:
        assert_near(mirrored[name], halves[name], name)
