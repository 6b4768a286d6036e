"""Steps, learning rates and optimizers as slim's trainer has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.optimizers import WarmUp, cosine_decay, exponential_decay
from slim2keras.trainer.request import CONSTANTS, OPTIMIZERS, OptimizerOptions, ScheduleOptions, training_request
from slim2keras.trainer.steps import (
    Steps,
    describe_optimizer,
    describe_schedule,
    learning_rate_at,
    make_optimizer,
    make_schedule,
)

STEPS = Steps(images=3320, batch_size=32, per_epoch=104, total=1040)
"""Of slim's flowers."""


def steps(images: int, **options: Any) -> Steps:
    request = training_request("checkpoint", "images", "run", batch_norm="update", **options)
    return Steps.of(request, images)


class TestSteps:
    def test_an_epoch_is_the_nearest_number_of_steps(self) -> None:
        """And one at least; micro-batches are of one step."""
        assert steps(3320).per_epoch == 104
        assert steps(3320, accumulate=4).per_epoch == 26
        assert steps(3).per_epoch == 1

    def test_slims_number_of_steps_goes_before_epochs(self) -> None:
        """The last epoch is cut short then."""
        found = steps(3320, max_number_of_steps=250)
        assert (found.total, found.epochs_after(0)) == (250, 3)
        assert [found.of_epoch(begun) for begun in (0, 104, 208)] == [104, 104, 42]
        assert found.epochs_after(250) == 0


def slims_rate(step: int, kind: str, warmup: float) -> float:
    """In the words of slim's ``_configure_learning_rate``."""
    decay_steps = int(3320 * 2.0 / 32)
    rates = {
        "fixed": 0.01,
        "exponential": 0.01 * 0.94 ** (step // decay_steps),
        "polynomial": (0.01 - 1e-4) * (1.0 - min(step, decay_steps) / decay_steps) + 1e-4,
    }
    rate = rates[kind]
    return min(0.01 * step / (3320 / 32 * warmup), rate) if warmup else rate


@pytest.mark.parametrize("kind", ["fixed", "exponential", "polynomial"])
@pytest.mark.parametrize("warmup", [0.0, 1.5])
def test_schedules_are_slims(kind: str, warmup: float) -> None:
    """Before, in and after warm-up and decay."""
    options = ScheduleOptions(learning_rate_decay_type=kind, warmup_epochs=warmup)
    for step in (0, 1, 100, 155, 156, 206, 207, 208, 500):
        assert learning_rate_at(options, STEPS, step) == pytest.approx(slims_rate(step, kind, warmup), rel=1e-5)


def test_cosine_goes_from_top_to_end_over_all_steps() -> None:
    """After a warm-up that is linear, if there is one."""
    options = ScheduleOptions(learning_rate_decay_type="cosine", end_learning_rate=0.001, warmup_epochs=1.0)
    rates = [learning_rate_at(options, STEPS, step) for step in (0, 52, 104, 572, 1040)]
    assert rates == pytest.approx([0.0, 0.005, 0.01, 0.0055, 0.001], rel=1e-3)


def test_a_warm_up_longer_than_the_training_is_not_hurried() -> None:
    """As with slim's schedules, the rate grows as slowly as it was told to."""
    options = ScheduleOptions(learning_rate_decay_type="cosine", warmup_epochs=100.0)
    assert learning_rate_at(options, STEPS, 1040) == pytest.approx(0.001, rel=1e-2)


def test_a_decay_within_less_than_a_step_is_told_as_it_is() -> None:
    """Which is within one."""
    options = ScheduleOptions(learning_rate_decay_type="polynomial", num_epochs_per_decay=0.001)
    assert "falling to 0.0001 within 1 step," in describe_schedule(options, STEPS)
    assert float(cosine_decay(0.1, steps=10)(10)) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("schedule", [None, exponential_decay(0.1, steps=7)])
def test_a_warm_up_is_made_again_from_its_config(schedule: Any) -> None:
    """As a file of a model has it."""
    import tf_keras

    made = WarmUp(0.1, 2.5, schedule)
    again = tf_keras.saving.deserialize_keras_object(tf_keras.saving.serialize_keras_object(made))
    assert [float(again(step)) for step in range(9)] == [float(made(step)) for step in range(9)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_have_their_options(name: str) -> None:
    """Each option that the description names reaches the optimizer, and the learning rate does."""
    options = OptimizerOptions(name, 0.81, 0.82, 0.83, 0.84, 0.85, -0.6, 0.86, 0.87, 0.88, 0.89, 0.91, 0.92)
    made = make_optimizer(options, make_schedule(ScheduleOptions(learning_rate_decay_type="fixed"), STEPS))
    told = {float(text.rpartition(" ")[2]) for text in describe_optimizer(options).split(", ")[1:]}
    given = {round(value, 6) for value in made.hyperparameters.values() if not isinstance(value, bool)}
    assert told == given
    assert float(made.learning_rate) == np.float32(0.01)


@pytest.mark.parametrize("value", [-0.5, 0.0, 1.0 - 1e-9, 1.0, 1.5, 1e39])
def test_what_is_no_constant_is_refused_before_the_optimizer_is_made(value: float) -> None:
    """A request that can be made is one that can be trained, whichever constant is at the end of its range."""
    for optimizer, constants in CONSTANTS.items():
        for option in constants:
            try:
                options = OptimizerOptions(optimizer, **{option: value})
            except UnsupportedArgumentError:
                continue
            make_optimizer(options, 0.1)


def test_a_schedule_is_told_in_words() -> None:
    """With the steps of slim's decay."""
    text = describe_schedule(ScheduleOptions(warmup_epochs=2.0), STEPS)
    assert text == "exponential: 0.01, times 0.94 each 207 steps, after a warm-up of 2 epochs"
