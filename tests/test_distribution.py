"""Fine-tuning on several replicas: equal to one device without BatchNorm; with it, what differs and how."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORKER = Path(__file__).with_name("distribution_worker.py")
BAR = 1e-5
"""Relative to the largest magnitude of a tensor: the sum over replicas is rounded in another order."""


def run(*tasks: dict[str, Any], case: str, out: Path) -> list[dict[str, np.ndarray]]:
    """Train in processes of their own, since devices are chosen once a process; the state that each ends in."""
    processes = []
    for index, task in enumerate(tasks):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(WORKER.parents[1])}
        if "cluster" in task:
            environment["TF_CONFIG"] = json.dumps(task)
        command = [sys.executable, str(WORKER), task.get("strategy", "workers"), case, str(out / f"{index}.npz")]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    for process in processes:
        text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text[-3000:]
    return [dict(np.load(out / f"{index}.npz")) for index in range(len(tasks))]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def two_workers() -> list[dict[str, Any]]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    return [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert_near(found[name], value, name)


def assert_near(found: np.ndarray, wanted: np.ndarray, name: str) -> None:
    assert np.max(np.abs(found - wanted)) <= BAR * np.max(np.abs(wanted)), name


@pytest.mark.parametrize("case", ["momentum", "adam"])
def test_without_batch_norm_replicas_take_the_step_of_one_device(case: str, tmp_path: Path) -> None:
    """Losses, weights, slots, step and shadows; clipping is of the sum over replicas, as on one device."""
    (one,) = run({"strategy": "one"}, case=case, out=tmp_path)
    (mirrored,) = run({"strategy": "mirrored"}, case=case, out=tmp_path)
    assert_same(mirrored, one)
    if case == "momentum":
        for worker in run(*two_workers(), case=case, out=tmp_path):
            assert_same(worker, one)


def test_with_batch_norm_each_replica_has_its_own_statistics(tmp_path: Path) -> None:
    """As slim's clones: each normalises its own part of the batch.

    The moving statistics move by the mean of the replicas' statistics, where slim takes the first clone's alone; and
    the mean of the variances is less than the variance of the whole batch.
    """
    one, mirrored, halves = (
        run({"strategy": strategy}, case="batch_norm", out=tmp_path)[0] for strategy in ("one", "mirrored", "halves")
    )
    assert not np.allclose(mirrored["losses"], one["losses"], rtol=1e-3)
    np.testing.assert_allclose(mirrored["losses"], halves["losses"], rtol=1e-5)
    statistics = [name for name in halves if name.rpartition("/")[2].startswith("moving_")]
    assert statistics
    for name in statistics:
        assert_near(mirrored[name], halves[name], name)
