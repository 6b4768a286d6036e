"""NaN, infinity, denormal and huge numbers, single images and pixels: the numbers of slim, or an error."""

from __future__ import annotations

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import MovingStatisticsWarning
from slim2keras.models.building import build_model
from tests.numbers import table
from tests.numbers.conditions import LEAVES
from tests.numbers.steps import DECAY, Slim, network
from tests.reference import assign_values

CASES = table.cases()
QUICK = ("images: NaN", "images: 1e38", "moving mean: NaN", "moving variance: -1", "moving variance: 1e38")


def told(name: str) -> list[str]:
    """The cells of a row of the page."""
    (row,) = [row for row in table.on_the_page() if row.startswith(f"| {name} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_page_has_every_row() -> None:
    """In the order of the conditions, a cell a mode."""
    assert [row.strip("|").split("|")[0].strip() for row in table.on_the_page()] == [*CASES]
    assert all(len(told(name)) == len(table.MODES) for name in CASES)


@pytest.mark.parametrize("mode", [pytest.param("update"), pytest.param("frozen", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", QUICK)
def test_what_the_page_says_of_a_step_happens(name: str, mode: str) -> None:
    """Bits of slim's where it says so; a refused step leaves every value as it was."""
    assert table.cell(name, mode) == told(name)[table.MODES.index(mode)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", table.MODES)
def test_what_the_page_says_happens(mode: str) -> None:
    """Every row."""
    found = {name: table.cell(name, mode) for name in CASES}
    assert found == {name: told(name)[table.MODES.index(mode)] for name in CASES}


@pytest.mark.parametrize("fused", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_one_value_a_channel_pulls_slims_moving_variance_to_zero(fused: bool) -> None:
    """Which is why such a step is refused: of one value TensorFlow's unbiased variance is 0, as the biased one is."""
    values, images, labels = CASES["maps of 1 x 1 and a batch of one"]
    with Slim("update", images.shape, fused=fused).opened() as slim:
        found = slim.run(values, images, labels)
    assert found.error is None
    variance = LEAVES["moving variance"]
    np.testing.assert_allclose(found.values[variance], np.float32(DECAY) * values[variance], rtol=1e-6)


@pytest.mark.parametrize("name", ["moving mean: NaN", "moving variance: infinite", "moving variance: 1e38"])
def test_fit_warns_of_statistics_that_no_step_mends(name: str) -> None:
    """Before it trains; those that are only huge move on."""
    values, images, labels = CASES[name]
    model = build_model(network(16))
    assign_values(model, dict(values))
    tuned = slim2keras.finetune(model, batch_norm="update", decay=0.5)
    tuned.compile(slim2keras.optimizers.GradientDescent(0.01), slim2keras.losses.SoftmaxCrossEntropy())
    options = {"epochs": 4, "batch_size": 4, "verbose": 0}
    if name == "moving variance: 1e38":
        tuned.fit(images, labels, **options)
        return
    with pytest.warns(
        MovingStatisticsWarning, match="of 1 layer have NaN or infinite values, first net/conv/BatchNorm"
    ):
        tuned.fit(images, labels, **options)


def test_a_mutant_is_no_slim(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees a decay that is off, and NaN in another place."""
    name = "images: all 0"
    monkeypatch.setattr("tests.numbers.steps.DECAY", DECAY + 0.01)
    with pytest.raises(AssertionError):
        table.cell(name, "update")
    assert not table.is_same(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    assert not table.is_same(np.array([np.inf]), np.array([-np.inf]))
