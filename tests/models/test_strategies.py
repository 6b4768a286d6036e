"""Teams: who shares what, and what cannot be shared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slim2keras.data.order import batches_of_worker
from slim2keras.doctor.recalibration import recalibrate
from slim2keras.errors import DistributionWarning, UnsupportedArgumentError
from slim2keras.models.strategies import Team, open_team
from tests.parity.training_runs import NETS, build_ours
from tests.reference import images


def team_of_devices(count: int) -> Team:
    strategy: Any = SimpleNamespace(num_replicas_in_sync=count)
    return Team(strategy)


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("count", range(9))
def test_each_batch_has_one_worker(count: int, workers: int) -> None:
    """And the last two have the same one, where a small last one can join the one before."""
    shares = [batches_of_worker(count, worker, workers) for worker in range(workers)]
    assert sorted(np.concatenate(shares)) == [*range(count)]
    if count > 1:
        assert [count - 2 in share for share in shares] == [count - 1 in share for share in shares]
    assert max(map(len, shares)) <= -(-count // workers) + 1


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can() -> None:
    """In equal parts, since each device's mean counts alike."""
    assert team_of_devices(4).share_of(32) == 8
    with pytest.raises(UnsupportedArgumentError, match=r"32 images a batch cannot be shared by 3 devices.*such as 33"):
        team_of_devices(3).share_of(32)


def test_one_device_is_remarked_upon() -> None:
    """Nothing gets faster, and everything works."""
    with pytest.warns(DistributionWarning, match="'mirrored' has one device here"):
        team = open_team("mirrored")
    assert (team.workers, team.replicas, team.is_chief) == (1, 1, True)


def test_a_moving_average_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its steps follows from the one before; exact statistics can be."""
    monkeypatch.setattr(Team, "of", lambda _: team_of_devices(2))
    net = NETS["separable"]
    with pytest.raises(UnsupportedArgumentError, match="decay takes one batch after the other"):
        recalibrate(build_ours(net), [images(0, (4, *net.shape))], decay=0.9)
