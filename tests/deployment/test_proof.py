"""What counts as the same outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from slim2keras.deployment.proof import LARGEST_DIFFERENCE, noise, prove, relative_difference, shake
from slim2keras.errors import ParityError
from slim2keras.nets.spec import NetSpec

IMAGES = np.zeros((4, 2, 2, 3), "float32")
LOGITS = np.array([[0.5, 0.25], [0.0, 100.0], [3.0, 2.0], [-1.0, 1.0]], "float32")


def proved(*found: Any, bar: float | None = LARGEST_DIFFERENCE) -> Any:
    return prove(lambda images: [LOGITS], lambda images: [*found], IMAGES, runtime="reader 1.0", of="noise", bar=bar)


def test_a_difference_is_relative_to_the_largest_value_or_to_one() -> None:
    """Logits of a hundred have fewer digits behind the point; small ones are not blown up."""
    assert relative_difference(np.array([100.1, 0.0]), np.array([100.0, 0.0])) == pytest.approx(1e-3)
    assert relative_difference(np.array([0.011]), np.array([0.01])) == pytest.approx(1e-3)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_as_different_as_can_be(broken: float) -> None:
    """A NaN compares as neither less nor greater, and would pass any bar."""
    assert relative_difference(np.array([broken]), np.array([1.0])) == float("inf")
    with pytest.raises(ParityError, match="differs from the model by inf"):
        proved(np.where(LOGITS == 3.0, broken, LOGITS)).check("A file")
    with pytest.raises(ParityError, match="numbers are wanted"):
        proved(np.where(LOGITS == 3.0, broken, LOGITS), bar=None).check("A quantized file")


@pytest.mark.parametrize("broken", [np.nan, -np.inf])
def test_a_model_that_gives_no_numbers_is_told_as_such(broken: float) -> None:
    """The file is right then, and nobody can say so."""
    logits = np.where(LOGITS == 3.0, broken, LOGITS)
    with pytest.raises(ParityError, match=r"The model itself gives NaN or infinite values of the images \(noise\)"):
        prove(lambda images: [logits], lambda images: [logits], IMAGES, runtime="r", of="noise", bar=None)


def test_one_image_is_one_image() -> None:
    """In a line for people."""
    one = prove(lambda images: [LOGITS[:1]], lambda images: [LOGITS[:1]], IMAGES[:1], runtime="r", of="noise")
    assert one.describe() == "r, 1 image (noise): largest difference 0, same class for 100.0%"


def test_the_bar_decides_and_a_quantized_file_has_none() -> None:
    """It says what differs, by how much, and who ran it."""
    proved(LOGITS + 9e-4).check("A file")
    message = r"A file differs from the model by 0.0001 when reader 1.0 runs it; at most 0.0001 is allowed\..*tip"
    with pytest.raises(ParityError, match=message):
        proved(LOGITS + np.float32(1e-2)).check("A file", " A tip.")
    proved(LOGITS + 1.0, bar=None).check("A quantized file")


def test_agreement_is_the_part_of_the_images_with_the_same_class() -> None:
    """One of the four is told another way."""
    other = LOGITS.copy()
    other[0] = other[0, ::-1]
    found = proved(other, bar=None)
    assert found.agreement == 0.75
    assert "4 images (noise): largest difference 0.0025, same class for 75.0%" in found.describe()


def test_features_and_maps_have_no_class_to_agree_on() -> None:
    """A number of agreement would mean nothing."""
    of_map = np.zeros((4, 2, 2, 5), "float32")
    assert prove(lambda x: [of_map], lambda x: [of_map], IMAGES, runtime="r", of="noise").agreement is None


@pytest.mark.parametrize("found", [(), (LOGITS, LOGITS), (LOGITS[:, :1],)])
def test_outputs_of_another_number_or_shape_are_refused(found: tuple[Any, ...]) -> None:
    """With both, so that the one that is missing is seen."""
    with pytest.raises(ParityError, match=r"\(4, 2\)\] those of the model"):
        proved(*found)


def test_noise_has_the_range_and_size_that_the_network_wants() -> None:
    """Vgg's pixels are less a mean; open sizes are the usual ones, or those that are given."""
    inception = noise(NetSpec.make("mobilenet_v1_025", (None, 48, 3), {}))
    assert inception.shape == (4, 224, 48, 3)
    assert -1 <= inception.min() < -0.5 < 0.5 < inception.max() <= 1
    assert np.abs(noise(NetSpec.make("vgg_16", None, {}), 1)).max() > 50
    assert np.array_equal(noise(NetSpec.make("lenet", None, {})), noise(NetSpec.make("lenet", None, {})))


def shrunk(by: float, found: Any, bar: float | None = LARGEST_DIFFERENCE) -> Any:
    """A proof of a model whose outputs are small multiples of its images."""

    def run(images: Any) -> list[Any]:
        return [images.mean((1, 2))[:, :2] * np.float32(by)]

    images = np.random.RandomState(0).uniform(0.5, 1, (4, 2, 2, 3)).astype("float32")
    return prove(run, lambda x: [found(run(x)[0])], images, runtime="r", of="noise", bar=bar)


@pytest.mark.parametrize("by", [1e-4, 1e-16, 1e-30])
def test_outputs_that_are_nearly_zero_are_compared_by_their_size(by: float) -> None:
    """Relative to 1 a file that always gives 0, or twice as much, would be as good as any."""
    right = shrunk(by, lambda outputs: outputs * np.float32(1 + 2e-6))
    right.check("A file")
    assert "an output is nearly 0" in right.to_json()["remarks"][0]
    for wrong in (lambda outputs: outputs * 0, lambda outputs: outputs * np.float32(1.001)):
        assert shrunk(by, wrong).largest_difference < 1e-4
        with pytest.raises(ParityError, match="A file differs from the model when r runs it: an output is nearly 0"):
            shrunk(by, wrong).check("A file")
    quantized = shrunk(by, lambda outputs: outputs * np.float32(1.3), bar=None)
    quantized.check("A quantized file")
    assert "relative to that it differs by 0.3" in quantized.all_remarks[0]


def test_small_outputs_that_are_what_rounding_leaves_are_no_fault_of_the_file() -> None:
    """Large values that cancel out leave digits to nobody: the report says that little is proved."""

    large = np.array([1e3], "float32")

    def run(images: Any) -> list[Any]:
        sums = images.sum((1, 2))[:, :2]
        return [(sums + large) - np.float32(1e3) - sums]

    @contextlib.contextmanager
    def shaken() -> Iterator[None]:
        before = large.copy()
        large[:] = shake(large)
        yield
        large[:] = before

    images = np.random.RandomState(0).uniform(0.5, 1, (4, 2, 2, 3)).astype("float32")
    assert 0 < np.abs(run(images)[0]).max() < 1e-3
    found = prove(run, lambda x: [run(x)[0][:, ::-1]], images, runtime="r", of="noise", shaken=shaken)
    found.check("A file")
    assert any("so that little is proved" in remark for remark in found.all_remarks)


def test_rounding_that_is_no_number_excuses_nothing() -> None:
    """NaN of a shaken model would let any file pass."""
    is_shaken = False

    def run(images: Any) -> list[Any]:
        return [np.full((4, 2), np.nan if is_shaken else 1e-6, "float32")]

    @contextlib.contextmanager
    def shaken() -> Iterator[None]:
        nonlocal is_shaken
        is_shaken = True
        yield
        is_shaken = False

    found = prove(run, lambda x: [run(x)[0] * 0], IMAGES, runtime="r", of="noise", shaken=shaken)
    with pytest.raises(ParityError, match="an output is nearly 0"):
        found.check("A file")


def test_whole_numbers_are_not_shaken() -> None:
    """A pixel of uint8 is not off by one for what float32 rounds."""
    pixels = np.arange(256, dtype="uint8")
    assert np.array_equal(shake(pixels), pixels)


def test_of_zeros_nothing_is_proved() -> None:
    """As the features of a dead ReLU are."""
    zeros = np.zeros((4, 2), "float32")
    found = prove(lambda x: [zeros], lambda x: [zeros], IMAGES, runtime="r", of="noise")
    found.check("A file")
    assert "every value of an output is 0" in found.all_remarks[0]
    assert found.to_json()["small"] == {"largest": 0.0, "difference": 0.0, "rounding": 0.0}


def test_what_rounding_may_be_is_told_and_not_refused() -> None:
    """A difference over the bar, of a network that amplifies what float32 rounds, is the first remark of the report."""
    found = proved(LOGITS * (1.0 + 3e-5))
    found.check("A file")
    assert "over 1e-05" in found.to_json()["remarks"][0]
    assert proved(LOGITS).to_json()["remarks"] == []
