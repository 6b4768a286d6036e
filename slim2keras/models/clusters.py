"""The processes that train together, as ``TF_CONFIG`` describes them; TensorFlow itself checks little of it."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slim2keras.errors import UnsupportedArgumentError

VARIABLE = "TF_CONFIG"
_CHIEF, _WORKER = "chief", "worker"
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, "task": {"type": "worker", "index": 0}}, with '
    "another index on each machine"
)
_ANSWER_SECONDS = 1.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Cluster:
    """All workers, and which of them this process is.

    Attributes:
        addresses: ``host:port`` of each worker, the chief's first.
        worker: Number of this process among them.
    """

    addresses: tuple[str, ...]
    worker: int

    def silent_peers(self) -> list[str]:
        """Other workers at whose address nobody listens, ``worker 1 (host:port)``."""
        return [self._describe(number) for number in self._silent(self._peers())]

    def wait_for_peers(self, seconds: float) -> list[str]:
        """Listen at one's own address until somebody listens at all of the others, who came first still among them.

        TensorFlow itself waits for an hour, and holds the interpreter while it does.

        Args:
            seconds: To wait at most.

        Returns:
            Those who did not come, ``worker 1 (host:port)``.

        Raises:
            UnsupportedArgumentError: If somebody else listens at the own address.
        """
        end = time.monotonic() + seconds
        with self._listening():
            missing = self._peers()
            while missing := self._silent(missing) or self._silent(self._peers()):
                if time.monotonic() > end:
                    break
                time.sleep(_PAUSE_SECONDS)
        return [self._describe(number) for number in missing]

    def _peers(self) -> list[int]:
        return [number for number in range(len(self.addresses)) if number != self.worker]

    def _silent(self, peers: Sequence[int]) -> list[int]:
        return [number for number in peers if not _is_listening(self.addresses[number])]

    def _describe(self, number: int) -> str:
        return f"worker {number} ({self.addresses[number]})"

    def _listening(self) -> socket.socket:
        address = self.addresses[self.worker]
        port = int(address.rpartition(":")[2])
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            return socket.create_server(
                ("", port), family=family, dualstack_ipv6=both, backlog=max(len(self.addresses), socket.SOMAXCONN)
            )
        except OSError as error:
            raise UnsupportedArgumentError(
                f"{VARIABLE} gives this process, worker {self.worker}, the address {address}, and port {port} "
                f"cannot be had here: {error.strerror}. Is another process with the same index running, or one "
                "that was left over? Stop it, or choose another port in every worker's TF_CONFIG."
            ) from None


def _is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS):
            return True
    except OSError:
        return False


def read_cluster() -> Cluster:
    """Read ``TF_CONFIG``.

    Raises:
        UnsupportedArgumentError: If it is not set, no JSON, or describes no such cluster or task; says which.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        raise _refused("it is not set")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _refused(f"it is no JSON: {error}") from None
    groups, task = (_part(config, name) for name in ("cluster", "task"))
    _check_groups(groups)
    _check_addresses([*groups.get(_CHIEF, ()), *groups.get(_WORKER, ())])
    _check_task(task, groups)
    return cluster_of(groups, task["type"], task["index"])


def cluster_of(groups: Mapping[str, Sequence[str]], task_type: str, index: int) -> Cluster:
    """The cluster of addresses by type, as seen from one of its tasks; the chief, if there is one, is worker 0."""
    chiefs = groups.get(_CHIEF, ())
    number = index if task_type == _CHIEF else index + len(chiefs)
    return Cluster((*chiefs, *groups.get(_WORKER, ())), number)


def _refused(what: str) -> UnsupportedArgumentError:
    return UnsupportedArgumentError(f"{VARIABLE} describes no workers: {what}. For example: {_EXAMPLE}.")


def _part(config: Any, name: str) -> Mapping[str, Any]:
    part = config.get(name) if isinstance(config, dict) else None
    if not isinstance(part, dict):
        raise _refused(f'it has no "{name}" in braces')
    return part


def _check_groups(groups: Mapping[str, Any]) -> None:
    others = sorted(set(groups) - {_CHIEF, _WORKER})
    if others:
        raise _refused(
            f"its cluster has {', '.join(others)}, and there are only {_WORKER}s here, one of whom may be the "
            f"{_CHIEF}: all of them train, and there are no parameter servers and no evaluators"
        )
    for name, places in groups.items():
        if not isinstance(places, list):
            raise _refused(f'"{name}" must be a list of host:port. Received: {places!r}')
    if len(groups.get(_CHIEF, ())) > 1:
        raise _refused(f"it has {len(groups[_CHIEF])} chiefs")


def _check_addresses(addresses: Sequence[Any]) -> None:
    if not addresses:
        raise _refused("its cluster is empty")
    for address in addresses:
        if not isinstance(address, str) or not _is_address(address):
            raise _refused(f"{address!r} is no host:port, nor [host]:port of IPv6")
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise _refused(f"two workers have the address {twice[0]}")


def _is_address(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        host.encode("idna")
    except UnicodeError:  # a label that is empty, or too long
        return False
    is_host = re.fullmatch(r"[^\[\]:]+|\[[^\[\]]+\]", host) is not None
    return is_host and port.isascii() and port.isdigit() and 0 < int(port) < 2**16


def _check_task(task: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> None:
    kind: Any = task.get("type")
    index: Any = task.get("index")
    if kind not in groups:
        raise _refused(f"its task has the type {kind!r}, and its cluster has {' and '.join(sorted(groups))}")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(groups[kind]):
        raise _refused(f"its task has the index {index!r}, and there are {len(groups[kind])} of type {kind!r}, from 0")
