"""A line an epoch, however many there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.trainer.history import EventFiles
from slim2keras.trainer.request import ScheduleOptions
from slim2keras.trainer.steps import Steps, learning_rate_at
from tests.faults.soak import memory


def test_event_files_have_the_numbers_of_each_epoch(tmp_path: Path) -> None:
    """As float32, which is what TensorBoard shows, at the number of the epoch."""
    events = EventFiles(tmp_path)
    for epoch in (1, 2):
        events.write({"epoch": epoch, "loss": 0.1 * epoch})
    (path,) = tmp_path.iterdir()
    found = [
        (event.step, value) for event in tf.compat.v1.train.summary_iterator(str(path)) for value in event.summary.value
    ]
    assert [(step, value.tag, tf.make_ndarray(value.tensor)) for step, value in found] == [
        (1, "loss", np.float32(0.1)),
        (2, "loss", np.float32(0.2)),
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell of memory")
def test_numbers_of_epochs_do_not_stay_in_memory(tmp_path: Path) -> None:
    """TensorFlow keeps each of Python's numbers that it makes a tensor of, for good: 5 MiB here."""
    events, random = EventFiles(tmp_path), np.random.RandomState(0)
    steps = Steps(images=3320, batch_size=32, per_epoch=104, total=10**9)

    def train(epochs: range) -> None:
        for epoch in epochs:
            rate = learning_rate_at(ScheduleOptions(), steps, 104 * epoch)
            events.write({"epoch": epoch, "learning_rate": rate, **{f"value {n}": random.rand() for n in range(12)}})

    train(range(100))
    before = memory()
    train(range(100, 600))
    assert memory() - before < 2 * 2**20
