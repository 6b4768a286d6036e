"""What is drawn in training, and what becomes of an image then, written here once more by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.preprocessing import PIPELINES, PreprocessingOptions, preprocess
from tests.preprocessing.by_hand import resized_by_hand, standardised_by_hand
from tests.preprocessing.slims_draws import whole

RANDOM = np.random.RandomState(3)
IMAGE = RANDOM.randint(0, 256, (61, 97, 3)).astype("uint8")
SIZES = {"height": 32, "width": 28}
SLOW = PreprocessingOptions(fast_mode=False)
GREY = PreprocessingOptions(use_grayscale=True)
RANDOM_ONES = [name for name in PIPELINES if name != "lenet"]


def drawn(name: str, count: int, options: PreprocessingOptions, shape: tuple[int, int] = (61, 97)) -> dict[str, Any]:
    """What a pipeline draws for many images of one shape, a row an image."""
    import tensorflow as tf

    def draw(number: Any) -> Any:
        return PIPELINES[name].draw(tf.stack([number, tf.constant(5, tf.int64)]), shape, **SIZES, options=options)

    found = next(iter(tf.data.Dataset.range(count).map(draw).batch(count)))
    return {key: value.numpy() for key, value in found.items()}


def applied(name: str, image: np.ndarray, draws: dict[str, Any], options: Any = None, **sizes: int) -> np.ndarray:
    import tensorflow as tf

    options = options or PreprocessingOptions()
    tensors = {key: tf.constant(value) for key, value in draws.items()}
    ours = PIPELINES[name].apply(tf.constant(image), tensors, **{**SIZES, **sizes}, options=options)
    found: np.ndarray = ours.numpy()
    return found


UNIFORM: dict[tuple[str, str], tuple[float, float]] = {
    ("inception", "brightness"): (-32 / 255, 32 / 255),
    ("inception", "saturation"): (0.5, 1.5),
    ("inception", "hue"): (-0.2, 0.2),
    ("inception", "contrast"): (0.5, 1.5),
    ("inception", "method"): (0, 4),
    ("inception", "order"): (0, 4),
    ("vgg", "side"): (256, 513),
    ("cifarnet", "brightness"): (-63, 63),
    ("cifarnet", "contrast"): (0.2, 1.8),
    ("cifarnet", "top"): (0, 61 + 8 - 32 + 1),
    ("cifarnet", "left"): (0, 97 + 8 - 28 + 1),
    ("facenet_fixed", "angle"): (-10, 10),
}


@pytest.mark.parametrize("name", ["inception", "vgg", "cifarnet", "facenet_fixed"])
def test_draws_are_uniform_in_slims_ranges(name: str) -> None:
    """Between the bounds, and nowhere far from uniform (a quantile off by 4 % has a chance of 1 in 10 000)."""
    options = {"inception": SLOW, "facenet_fixed": PreprocessingOptions(random_rotate=True)}.get(name)
    draws = drawn(name, 3000, options or PreprocessingOptions())
    for key in draws:
        if (name, key) in UNIFORM:
            low, high = UNIFORM[name, key]
            assert low <= draws[key].min()
            assert draws[key].max() < high
            integer = draws[key].dtype.kind == "i"
            places = (np.sort(draws[key]) - low + RANDOM.uniform(size=3000) * integer) / (high - low)
            assert np.abs(np.sort(places) - np.linspace(0, 1, 3000)).max() < 0.04, key
    assert {key for pipeline, key in UNIFORM if pipeline == name} <= set(draws)
    assert 0.45 < draws["flip"].mean() < 0.55


def test_draws_are_independent_of_each_other() -> None:
    """No two of them go together, as they would if they came from one seed."""
    draws = drawn("inception", 3000, SLOW)
    window = draws.pop("window")
    rows = np.stack([*draws.values(), window[:, 0], window[:, 2]]).astype("float64")
    correlations = np.corrcoef(rows) - np.eye(len(rows))
    # Where a window starts depends on how large it is.
    correlations[-2:, -2:] = 0.0
    assert np.abs(correlations).max() < 0.08


def test_windows_are_distributed_as_slims_boxes() -> None:
    """Area, aspect and corner as of ``sample_distorted_bounding_box`` with slim's arguments, of another generator."""
    import tensorflow as tf

    shape = (300, 400)
    ours = drawn("inception", 2000, PreprocessingOptions(), shape)["window"]
    tf.random.set_seed(1)

    def box(_: Any) -> Any:
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            (*shape, 3), [[[0.0, 0.0, 1.0, 1.0]]], 1, 0.1, (0.75, 1.33), (0.05, 1.0), 100, True
        )
        return tf.concat([begin[:2], size[:2]], 0)

    theirs = next(iter(tf.data.Dataset.range(2000).map(box).batch(2000))).numpy()
    for found, expected in zip(facts_of(ours), facts_of(theirs), strict=True):
        both = np.sort(np.concatenate([found, expected]))
        shares = [np.searchsorted(np.sort(values), both, "right") / 2000 for values in (found, expected)]
        assert np.abs(shares[0] - shares[1]).max() < 0.06
    area, aspect, *_ = facts_of(ours)
    assert area.min() / (300 * 400) > 0.049
    assert 0.74 < aspect.min() < aspect.max() < 1.345
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= shape).all()


def facts_of(windows: np.ndarray) -> tuple[np.ndarray, ...]:
    top, left, height, width = windows.T.astype("float64")
    return height * width, width / height, top, left


@pytest.mark.parametrize("name", RANDOM_ONES)
def test_the_seed_decides_and_nothing_else(name: str) -> None:
    """One seed gives one image, eagerly, in a graph that knows no size, in ``Dataset.map`` and in a batch."""
    import tensorflow as tf

    def prepare(image: Any, seed: Any) -> Any:
        return preprocess(image, name, **SIZES, training=True, seed=seed)

    image, seed = tf.constant(IMAGE), tf.constant((7, 1))
    expected = prepare(image, seed).numpy()
    in_graph = tf.function(
        prepare, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((2,), tf.int32)]
    )
    mapped = next(iter(tf.data.Dataset.from_tensors((image, seed)).map(prepare)))
    batch = prepare(tf.stack([image, image]), tf.constant([(7, 1), (7, 2)])).numpy()
    for found in (prepare(image, seed), in_graph(image, seed), mapped, batch[0]):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(batch[1], expected)


def test_each_image_of_a_batch_has_a_seed_of_its_own() -> None:
    """Of one seed for all; the n-th image gets it folded with n."""
    import tensorflow as tf

    found = preprocess(np.stack([IMAGE] * 3), "inception", **SIZES, training=True, seed=(7, 1)).numpy()
    assert len({image.tobytes() for image in found}) == 3
    alone = preprocess(IMAGE, "inception", **SIZES, training=True, seed=tf.random.fold_in((7, 1), 2)).numpy()
    np.testing.assert_array_equal(found[2], alone)


def test_inception_cuts_resizes_flips_and_colours() -> None:
    """The window alone is looked at; brightness is added, saturation pulls colours from their grey."""
    draws = {"window": (10, 20, 40, 31), "flip": True, "brightness": 0.1, "saturation": 1.0}
    found = applied("inception", IMAGE, draws)
    window = IMAGE[10:50, 20:51] / 255.0
    expected = np.clip(resized_by_hand(window, 32, 28)[:, ::-1] + 0.1, 0, 1) * 2 - 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    elsewhere = IMAGE.copy()
    elsewhere[:10] = elsewhere[50:] = elsewhere[:, :20] = elsewhere[:, 51:] = 0
    np.testing.assert_array_equal(applied("inception", elsewhere, draws), found)
    pale = applied("inception", IMAGE, {**draws, "saturation": 0.0})
    np.testing.assert_allclose(pale.min(-1), pale.max(-1), atol=1e-5)


def test_vgg_resizes_and_cuts() -> None:
    """The smaller side to what was drawn, and the crop at the corner that was drawn."""
    found = applied("vgg", IMAGE, {"side": 50, "corner": (7, 12), "flip": True, **whole(IMAGE.shape)})
    expected = resized_by_hand(IMAGE, 50, 80)[7:39, 12:40][:, ::-1] - (123.68, 116.78, 103.94)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["vgg", "densenet"])
@pytest.mark.parametrize("shape", [(61, 97), (700, 530), (33, 300)])
def test_the_window_is_as_good_as_the_image(name: str, shape: tuple[int, int]) -> None:
    """It holds every pixel that the crop is made of, and is no larger than the crop asks for."""
    image = RANDOM.randint(0, 256, (*shape, 3)).astype("uint8")
    for number in range(10):
        draws = {key: value.numpy() for key, value in PIPELINES[name].draw((number, 3), shape, 32, 28).items()}
        found = applied(name, image, draws)
        np.testing.assert_array_equal(found, applied(name, image, {**draws, **whole(shape)}))
        smaller = np.array(shape).min() / draws["side"] * np.array((32, 28)) + 3
        assert (draws["window"][2:] <= smaller).all()


def test_densenet_drops_fractions_of_pixels() -> None:
    """61 x 97 pixels, the smaller side at 50, are 50 x 79.5: vgg takes 80."""
    draws = {"side": 50, "corner": (7, 12), "flip": False, **whole(IMAGE.shape)}
    expected = (resized_by_hand(IMAGE, 50, 79)[7:39, 12:40] - (123.68, 116.78, 103.94)) * 0.017
    np.testing.assert_allclose(applied("densenet", IMAGE, draws), expected, atol=1e-4)


def test_cifarnet_pads_and_cuts() -> None:
    """Four pixels of black on each side; contrast around the mean of each channel; standardised, brightness is gone."""
    image = IMAGE[:32, :28]
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0))).astype("float64")
    draws = {"top": 1, "left": 8, "flip": True, "brightness": 20.0, "contrast": 1.5}
    cropped = padded[1:33, 8:36][:, ::-1]
    means = cropped.mean((0, 1))
    expected = standardised_by_hand((cropped - means) * 1.5 + means)
    np.testing.assert_allclose(applied("cifarnet", image, draws), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["facenet_fixed", "facenet_prewhiten"])
def test_facenet_cuts_and_standardises_what_is_cut(name: str) -> None:
    """Unlike in evaluation, where the checkpoints of 2017 want the whole image whitened."""
    cropped = IMAGE[3:35, 60:88][:, ::-1].astype("float64")
    expected = (cropped - 127.5) / 128 if name == "facenet_fixed" else standardised_by_hand(cropped)
    found = applied(name, IMAGE, {"window": (3, 60, 32, 28), "flip": True})
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_facenet_rotates_around_the_middle() -> None:
    """A quarter turn is NumPy's, counter-clockwise, and the window is of what was rotated."""
    square, rotating = IMAGE[:33, :33], PreprocessingOptions(random_rotate=True)
    draws = {"angle": np.float32(90), "flip": False, "window_of_rotated": (1, 2, 32, 28)}
    found = applied("facenet_fixed", square, draws, rotating)
    np.testing.assert_allclose(found * 128 + 127.5, np.rot90(square)[1:33, 2:30], atol=0.01)
    assert set(drawn("facenet_fixed", 1, rotating)) == set(draws)
    nothing = PreprocessingOptions(crop_image=False, random_flip=False)
    assert not PIPELINES["facenet_fixed"].draw((1, 2), (61, 97), 32, 28, nothing)


@pytest.mark.parametrize("name", RANDOM_ONES)
@pytest.mark.parametrize("size", [(5, 90), (1, 1)])
def test_images_smaller_than_the_network_wants_are_taken(name: str, size: tuple[int, int]) -> None:
    """Resized or padded, as in evaluation, where slim's own code refuses to crop."""
    image = RANDOM.randint(0, 256, (*size, 3)).astype("uint8")
    found = preprocess(image, name, **SIZES, training=True, seed=(1, 1))
    assert found.shape == (32, 28, 3)
    assert np.isfinite(found).all()


def test_sides_grow_with_networks_that_want_larger_images() -> None:
    """The crop fits into the smallest, and the largest is twice that, as 512 is of 256."""
    pipeline = PIPELINES["vgg"]
    sides = [int(pipeline.draw((number, 0), (300, 400), 299, 280)["side"]) for number in range(60)]
    assert 299 <= min(sides) < 330
    assert 560 < max(sides) <= 598
    assert "resized to 299 to 598 at random" in pipeline.describe(299, 280, training=True)
    assert "resized to 256 to 512 at random" in pipeline.describe(224, 224, training=True)
    assert preprocess(IMAGE, "vgg", height=299, width=280, training=True, seed=(1, 0)).shape == (299, 280, 3)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", ["inception", "vgg", "densenet", "lenet", "cifarnet"])
def test_grey_of_colours_is_grey_of_a_grey_image(name: str, training: bool) -> None:
    """Whether grey comes in three channels or in one; also where slim's own code fails, in vgg and cifarnet."""
    grey = IMAGE[..., :1]
    ours = {"training": training, "seed": (1, 2) if training else None, "options": GREY, **SIZES}
    found = preprocess(np.repeat(grey, 3, -1), name, **ours)
    assert found.shape == (32, 28, 1)
    scale = {"vgg": 255.0, "densenet": 4.0}.get(name, 2.0)
    np.testing.assert_allclose(found, preprocess(grey, name, **ours), atol=2e-4 * scale)


def test_vgg_subtracts_the_grey_of_the_mean_colour() -> None:
    """So that grey is what grey of the colours would be."""
    draws = {"side": 50, "corner": (7, 12), "flip": False, **whole(IMAGE.shape)}
    weights = np.array((0.2989, 0.587, 0.114))
    expected = applied("vgg", IMAGE, draws) @ weights
    np.testing.assert_allclose(applied("vgg", IMAGE, draws, GREY)[..., 0], expected, atol=1e-3)


@pytest.mark.parametrize("options", [PreprocessingOptions(), SLOW], ids=["fast", "slow"])
def test_inception_distorts_the_colours_of_the_first_three_channels(options: PreprocessingOptions) -> None:
    """A fourth one is cut, resized and flipped with them, and no more; a single one gets no saturation and no hue."""
    four = np.concatenate([IMAGE, IMAGE[..., :1]], -1)
    draws = {"window": (10, 20, 40, 31), "flip": True, "brightness": 0.1, "saturation": 0.5}
    draws |= {} if options.fast_mode else {"hue": 0.1, "contrast": 1.0, "method": 0, "order": 2}
    found = applied("inception", four, draws, options)
    np.testing.assert_array_equal(found[..., :3], applied("inception", IMAGE, draws, options))
    plain = resized_by_hand(IMAGE[10:50, 20:51, 0] / 255.0, 32, 28)[:, ::-1]
    np.testing.assert_allclose(found[..., 3], plain * 2 - 1, atol=1e-5)
    alone = applied("inception", IMAGE[..., :1], draws, options)[..., 0]
    np.testing.assert_allclose(alone, np.clip(plain + 0.1, 0, 1) * 2 - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("vgg", {"options": SLOW}, r"vgg has no fast_mode: it takes resize_side_max, resize_side_min, use_grayscale"),
        ("facenet_fixed", {"options": GREY}, "facenet_fixed has no use_grayscale: it takes crop_image, random_flip"),
        ("inception", {"seed": None}, r"needs seed=\.\.\., two integers, such as \(1, 0\).* Received: None"),
        ("inception", {"seed": 7}, "Received: 7"),
        ("inception", {"seed": [(1, 2)]}, "two integers"),
        ("inception", {"seed": (0.5, 0.5)}, "two integers"),
        ("inception", {"training": False}, "seed is for training=True"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    """An option that a pipeline does not have, training without a seed, evaluation with one."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        preprocess(IMAGE, name, **{**SIZES, "training": True, "seed": (1, 2), **arguments})


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_that_a_pipeline_does_not_take_are_refused(channels: int) -> None:
    """Of a batch too, and by the right error, which ``tf.map_fn`` would change."""
    images = np.zeros((2, 40, 40, channels), "uint8")
    with pytest.raises(UnsupportedArgumentError, match=f"three channels. Received: {channels}"):
        preprocess(images, "vgg", **SIZES, training=True, seed=(1, 2))
    if channels != 1:
        with pytest.raises(UnsupportedArgumentError, match=f"three channels, or one. Received: {channels}"):
            preprocess(images, "inception", **SIZES, options=GREY)


def test_sides_in_the_wrong_order_are_refused() -> None:
    """No side would be left to draw."""
    with pytest.raises(UnsupportedArgumentError, match=r"resize_side_max no smaller\. Received: resize_side_min=300"):
        PreprocessingOptions(resize_side_min=300, resize_side_max=256)


def test_words_say_what_training_does() -> None:
    """And change with the options."""
    told = {name: pipeline.describe(224, 192, training=True) for name, pipeline in PIPELINES.items()}
    assert told["inception"] == (
        "inception: float32 in [-1, 1], random crop of 5 to 100 % of the area, bilinear resize to 224 x 192, "
        "random flip, random brightness, saturation"
    )
    assert told["lenet"].endswith("not resized, nothing at random")
    assert all("224 x 192" in text for text in told.values())
    slow = PIPELINES["inception"].describe(224, 192, training=True, options=PreprocessingOptions(False, False, True))
    assert slow.startswith("inception: float32 in [-1, 1], in grey, resize (one of four ways) to")
    assert slow.endswith("saturation, hue, contrast")
    assert "crop" not in PIPELINES["inception"].describe(9, 9, options=PreprocessingOptions(crop_image=False))


@pytest.mark.parametrize("name", [name for name, pipeline in PIPELINES.items() if pipeline.value_range])
def test_training_keeps_the_range_of_evaluation(name: str) -> None:
    """Black and white images reach the bounds at most."""
    low, high = PIPELINES[name].value_range or (0.0, 0.0)
    for value in (0, 255):
        for number in range(8):
            image = np.full((40, 40, 3), value, "uint8")
            found = preprocess(image, name, **SIZES, training=True, seed=(number, value))
            assert low - 1e-4 <= found.numpy().min() <= found.numpy().max() <= high + 1e-4


def test_options_of_evaluation_count_there() -> None:
    """The whole image with ``crop_image=False``; another side of vgg; grey before it is cropped, as slim does."""
    uncropped = preprocess(IMAGE, "inception", **SIZES, options=PreprocessingOptions(crop_image=False))
    np.testing.assert_allclose(uncropped, resized_by_hand(IMAGE / 255.0, 32, 28) * 2 - 1, atol=3e-5)
    options = PreprocessingOptions(resize_side_min=61)
    top, left = (61 - 32) // 2, (97 - 28) // 2
    expected = IMAGE[top : top + 32, left : left + 28] - (123.68, 116.78, 103.94)
    np.testing.assert_allclose(preprocess(IMAGE, "vgg", **SIZES, options=options), expected, atol=1e-3)
