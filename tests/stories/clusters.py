"""Processes of a test that share work on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

State: TypeAlias = dict[str, np.ndarray]


def start(command: Sequence[str], cluster: Mapping[str, Any] | None = None) -> subprocess.Popen[str]:
    """Start a Python process of a cluster, its whole output on one pipe."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(Path(__file__).parents[2])}
    if cluster:
        environment["TF_CONFIG"] = json.dumps(cluster)
    return subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(
    worker: Path, directory: Path, *runs: str, clusters: Sequence[Mapping[str, Any] | None] = (None,), to: str = ""
) -> list[dict[str, State]]:
    """Run a program in processes of their own, one a cluster, since devices are chosen once a process.

    Args:
        worker: The program; its arguments are a directory to write to, and the runs.
        directory: Where each process gets one of its own to write to.
        runs: ``STRATEGY-CASE`` of each run.
        clusters: ``TF_CONFIG`` of each process.
        to: What names of their directories begin with.

    Returns:
        Of each process the arrays that each of its runs gives.
    """
    places = [directory / f"{to}{index}" for index in range(len(clusters))]
    processes = []
    for place, cluster in zip(places, clusters, strict=True):
        place.mkdir()
        processes.append(start([str(worker), str(place), *runs], cluster))
    for process in processes:
        text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text[-3000:]
    return [{name: dict(np.load(place / f"{name}.npz")) for name in runs} for place in places]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened at just now."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def two_workers() -> list[dict[str, Any]]:
    """``TF_CONFIG`` of each of two processes on this machine."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    return [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
