"""``TF_CONFIG``: what describes workers, and what is refused."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slim2keras.errors import UnsupportedArgumentError, WorkerLostError
from slim2keras.models.clusters import Cluster, read_cluster
from slim2keras.models.strategies import open_team
from tests.stories.clusters import free_ports

WORKERS = ["a:1000", "b:1000"]


def config(cluster: Any, kind: Any = "worker", index: Any = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_workers_are_numbered_from_the_chief_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster may name its chief, who is worker 0 then; else the first worker is."""
    monkeypatch.setenv("TF_CONFIG", config({"worker": WORKERS}, index=1))
    assert read_cluster() == Cluster((*WORKERS,), 1)
    named = {"chief": ["c:1"], "worker": WORKERS}
    for kind, index, number in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        monkeypatch.setenv("TF_CONFIG", config(named, kind, index))
        assert read_cluster() == Cluster(("c:1", *WORKERS), number)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not set"),
        ("{'cluster': 1}", "no JSON"),
        ("[]", 'no "cluster"'),
        (json.dumps({"cluster": {"worker": WORKERS}}), 'no "task"'),
        (config({"worker": WORKERS}, index=2), "index 2, and there are 2"),
        (config({"worker": WORKERS}, index=-1), "index -1"),
        (config({"worker": WORKERS}, index="0"), "index '0'"),
        (config({"worker": WORKERS}, index=True), "index True"),
        (config({"worker": WORKERS}, kind="evaluator"), "type 'evaluator'"),
        (config({"worker": WORKERS, "ps": ["p:1"]}), "no parameter servers"),
        (config({"worker": []}), "cluster is empty"),
        (config({"worker": "a:1"}), "must be a list"),
        (config({"worker": ["a"]}), "'a' is no host:port"),
        (config({"worker": ["a:70000"]}), "is no host:port"),
        (config({"worker": ["a:²"]}), "is no host:port"),
        (config({"worker": ["a..b:1"]}), "is no host:port"),
        (config({"worker": ["[]:1"]}), "is no host:port"),
        (config({"worker": ["[::1:1"]}), "is no host:port"),
        (config({"worker": ["::1:1000"]}), r"is no host:port, nor [host]:port of IPv6"),
        (config({"worker": ["a:1", "a:1"]}), "two workers have the address a:1"),
        (config({"chief": ["a:1", "b:1"]}, kind="chief"), "2 chiefs"),
    ],
)
def test_what_describes_no_workers_is_refused(text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, and an example of one that does."""
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UnsupportedArgumentError) as caught:
        read_cluster()
    assert why in str(caught.value)
    assert '"task": {"type": "worker", "index": 0}' in str(caught.value)


def test_a_port_in_use_is_told_before_tensorflow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow itself would say it in its log alone."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("TF_CONFIG", config({"worker": [f"127.0.0.1:{port}"]}))
        with pytest.raises(UnsupportedArgumentError, match=f"port {port} cannot be had"):
            open_team("multi_worker")


def test_peers_are_silent_where_nobody_listens() -> None:
    """They are named by number and address; one that listens, and oneself, are not."""
    with socket.socket() as there, socket.socket() as closed:
        for item in (there, closed):
            item.bind(("127.0.0.1", 0))
        there.listen()
        (listening, silent) = (f"127.0.0.1:{item.getsockname()[1]}" for item in (there, closed))
        assert Cluster((listening, silent, "127.0.0.1:1"), 2).silent_peers() == [f"worker 1 ({silent})"]


def test_a_worker_that_never_comes_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is named; TensorFlow would wait for an hour, and let nothing else go on meanwhile."""
    own, other = (f"127.0.0.1:{port}" for port in free_ports(2))
    monkeypatch.setenv("TF_CONFIG", config({"worker": [own, other]}))
    with pytest.raises(WorkerLostError, match=rf"worker 1 \({other}\) did not come within 0.3 seconds to worker 0"):
        open_team("multi_worker", longest_wait=0.3)


def test_workers_who_come_late_find_each_other() -> None:
    """Nobody is missed, whoever is first; nor is it found that somebody has stopped to wait, and goes on."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))

    def come(worker: int) -> list[str]:
        time.sleep(0.3 * worker)
        missing = Cluster(addresses, worker).wait_for_peers(20.0)
        with socket.create_server(("127.0.0.1", int(addresses[worker].rpartition(":")[2]))):
            everybody.wait(20.0)
        return missing

    everybody = threading.Barrier(3)
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(come, range(3))) == [[], [], []]


def test_a_worker_that_came_and_went_is_missed() -> None:
    """Also when the last one has come meanwhile."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    first, last = (("127.0.0.1", int(address.rpartition(":")[2])) for address in addresses[1:])
    with ThreadPoolExecutor(1) as threads:
        with socket.create_server(first) as there:
            waiting = threads.submit(Cluster(addresses, 0).wait_for_peers, 2.0)
            there.accept()[0].close()
        with socket.create_server(last):
            assert waiting.result() == [f"worker 1 ({addresses[1]})"]


def test_a_worker_alone_waits_for_nobody() -> None:
    """Nor is it missed by itself."""
    assert Cluster((f"127.0.0.1:{free_ports(1)[0]}",), 0).wait_for_peers(0.0) == []


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_workers_find_each_other_by_ipv6() -> None:
    """Whose addresses are in brackets."""
    own, other = free_ports(2)
    try:
        listening = socket.create_server(("::1", other), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no address of IPv6")
    with listening:
        assert Cluster((f"[::1]:{own}", f"[::1]:{other}"), 0).wait_for_peers(5.0) == []


def test_a_strategy_that_there_is_not_is_refused() -> None:
    """And the likely one is offered."""
    with pytest.raises(UnsupportedArgumentError, match=r"Received: 'mirored'\. Did you mean mirrored"):
        open_team("mirored")
