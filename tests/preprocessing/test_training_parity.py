"""slim's own training pipelines: with the same draws ours give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from slim2keras.preprocessing import PIPELINES, PreprocessingOptions
from tests.parity.cases import SLIM_SOURCE
from tests.preprocessing.slims_draws import SlimPipeline

pytestmark = pytest.mark.skipif(SLIM_SOURCE is None, reason="needs the source of research/slim")

RANDOM = np.random.RandomState(2)
PHOTO, UPRIGHT, SMALL, SAME = (
    RANDOM.randint(0, 256, (*size, 3)).astype("uint8") for size in ((75, 100), (197, 131), (36, 33), (32, 28))
)

# Of lenet a square: slim takes its height for the width.
CASES: dict[str, tuple[str, tuple[int, int], PreprocessingOptions]] = {
    "inception": ("inception", (64, 57), PreprocessingOptions()),
    "inception, slow": ("inception", (64, 57), PreprocessingOptions(fast_mode=False)),
    "inception, whole": ("inception", (64, 57), PreprocessingOptions(crop_image=False)),
    "inception, grey": ("inception", (64, 57), PreprocessingOptions(use_grayscale=True)),
    "inception, slow, whole, grey": ("inception", (64, 57), PreprocessingOptions(False, False, True)),
    "vgg": ("vgg", (224, 200), PreprocessingOptions()),
    "vgg, small sides": ("vgg", (32, 28), PreprocessingOptions(resize_side_min=40, resize_side_max=50)),
    "cifarnet": ("cifarnet", (32, 28), PreprocessingOptions()),
    "lenet": ("lenet", (28, 28), PreprocessingOptions()),
    "lenet, grey": ("lenet", (28, 28), PreprocessingOptions(use_grayscale=True)),
}

Applied = Callable[[np.ndarray, dict[str, Any]], np.ndarray]


def case_of(monkeypatch: pytest.MonkeyPatch, case: str) -> tuple[SlimPipeline, Applied]:
    """slim's pipeline, and ours as a function of an image and the draws."""
    monkeypatch.syspath_prepend(str(SLIM_SOURCE))
    name, size, options = CASES[case]
    theirs = SlimPipeline(name, size, options)

    import tensorflow as tf

    apply = tf.function(
        partial(PIPELINES[name].apply, height=size[0], width=size[1], options=options), reduce_retracing=True
    )

    def applied(image: np.ndarray, draws: dict[str, Any]) -> np.ndarray:
        ours: np.ndarray = apply(tf.constant(image), {key: tf.constant(value) for key, value in draws.items()}).numpy()
        return ours

    return theirs, applied


def assert_same(theirs: SlimPipeline, applied: Applied, image: np.ndarray) -> dict[str, Any]:
    expected, draws = theirs.run(image)
    np.testing.assert_array_equal(applied(image, draws), expected)
    return draws


@pytest.mark.parametrize("case", CASES)
def test_the_draws_of_slim_give_the_image_of_slim(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """Bit for bit, whatever was drawn."""
    theirs, applied = case_of(monkeypatch, case)
    for image in (PHOTO, UPRIGHT, SMALL):
        assert_same(theirs, applied, image)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("image", [PHOTO, UPRIGHT, SMALL, SAME], ids=["photo", "upright", "small", "same"])
def test_fifty_draws(monkeypatch: pytest.MonkeyPatch, case: str, image: np.ndarray) -> None:
    """Of each pipeline and several sizes of images."""
    theirs, applied = case_of(monkeypatch, case)
    drawn = [assert_same(theirs, applied, image) for _ in range(50)]
    for key in random_ones(drawn[0]):
        assert len({np.asarray(draws[key]).tobytes() for draws in drawn}) > 1, key


@pytest.mark.parametrize("case", ["inception", "inception, slow", "vgg", "cifarnet"])
def test_other_draws_give_another_image(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """The mutants: any one draw of slim's changed, and the image is no longer slim's."""
    theirs, applied = case_of(monkeypatch, case)
    expected, draws = theirs.run(UPRIGHT)
    changed: dict[str, Any] = {key: 2 * value + np.float32(0.125) for key, value in draws.items() if is_float(value)}
    changed |= {key: (draws[key] + 1) % 4 for key in ("order", "method") if key in draws}
    changed |= {key: ~value for key, value in draws.items() if np.asarray(value).dtype == bool}
    changed |= {key: value + np.int32(1) for key, value in draws.items() if key in ("side", "top", "left")}
    changed |= {key: draws[key] // 2 for key in ("window", "corner") if key in random_ones(draws)}
    assert set(changed) == random_ones(draws)
    for key, value in changed.items():
        assert not np.array_equal(applied(UPRIGHT, {**draws, key: value}), expected), key


def random_ones(draws: dict[str, Any]) -> set[str]:
    """Names of the draws, without what follows from the image alone where its size is among them."""
    return set(draws) - ({"size", "window"} if "size" in draws else set())


def is_float(value: Any) -> bool:
    return bool(np.asarray(value).dtype == np.float32)
