"""slim's pipelines: the same images everywhere, and in words."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.nets import NETS
from slim2keras.preprocessing.factory import preprocess
from slim2keras.preprocessing.pipelines import PIPELINES
from slim2keras.recognition.published import PUBLISHED
from slim2keras.slim.runtime import import_tf_slim
from tests.parity.cases import SLIM_SOURCE
from tests.preprocessing.by_hand import resized_by_hand

SIZES = ((300, 400), (97, 61), (256, 256), (1, 2))


@pytest.mark.parametrize("size", SIZES)
def test_vgg_takes_the_middle_of_the_resized_image(size: tuple[int, int]) -> None:
    """Sides of 256 at least, bilinear by TensorFlow 1's rule, written here once more in NumPy."""
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype("uint8")
    scale = 256 / min(size)
    resized = resized_by_hand(image, round(size[0] * scale), round(size[1] * scale))
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 200) // 2
    expected = resized[top : top + 224, left : left + 200] - (123.68, 116.78, 103.94)
    np.testing.assert_allclose(prepared(image, "vgg", 224, 200), expected, atol=2e-2)


@pytest.mark.parametrize("size", SIZES[:3])
def test_inception_takes_the_central_part(size: tuple[int, int]) -> None:
    """And scales it, by TensorFlow 1's rule, to [-1, 1]."""
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype("uint8")
    top, left = (int((side - side * 0.875) / 2) for side in size)
    central = image[top : size[0] - top, left : size[1] - left] / 255.0
    np.testing.assert_allclose(
        prepared(image, "inception", 64, 48), resized_by_hand(central, 64, 48) * 2.0 - 1.0, atol=1e-4
    )


def prepared(image: np.ndarray, preprocessing: str, height: int, width: int) -> np.ndarray:
    import tensorflow as tf

    found: np.ndarray = preprocess(tf.constant(image), preprocessing, height=height, width=width).numpy()
    return found


def test_a_preprocessing_that_slim_does_not_have() -> None:
    """Its name is neither a network nor a pipeline."""
    with pytest.raises(UnsupportedArgumentError, match=r"no network and no pipeline .unknown."):
        prepared(np.zeros((4, 4, 3), "uint8"), "unknown", 4, 4)


@pytest.mark.skipif(SLIM_SOURCE is None, reason="needs the source of research/slim")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("preprocessing", "target"),
    [("inception", (299, 280)), ("vgg", (224, 200)), ("lenet", (28, 28)), ("cifarnet", (32, 32))],
)
def test_slims_own_pipelines(
    monkeypatch: pytest.MonkeyPatch, preprocessing: str, target: tuple[int, int], size: tuple[int, int]
) -> None:
    """Bit for bit."""
    import_tf_slim()
    import tensorflow as tf

    monkeypatch.syspath_prepend(str(SLIM_SOURCE))
    module = importlib.import_module(f"preprocessing.{preprocessing}_preprocessing")
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype("uint8")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        fed = tf.compat.v1.placeholder(tf.uint8, (None, None, 3))
        theirs = session.run(module.preprocess_image(fed, *target, is_training=False), {fed: image})
    np.testing.assert_array_equal(prepared(image, preprocessing, *target), theirs)


SIZE = (40, 36)
RANDOM = np.random.RandomState(0)
RAW = {size: RANDOM.randint(0, 256, (*size, 3)).astype("uint8") for size in ((61, 97), (300, 257), (40, 36))}


@pytest.mark.parametrize("size", RAW)
@pytest.mark.parametrize("name", PIPELINES)
def test_graphs_and_batches_give_the_bits_of_one_image(name: str, size: tuple[int, int]) -> None:
    """Eagerly, in a ``tf.function`` that knows no size, in ``Dataset.map`` and as a batch an image becomes the same."""
    import tensorflow as tf

    image, sides = RAW[size], {"height": SIZE[0], "width": SIZE[1]}
    expected = preprocess(tf.constant(image), name, **sides).numpy()

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def in_graph(image: Any) -> Any:
        return preprocess(image, name, **sides)

    other = image[::-1, ::-1]
    dataset = tf.data.Dataset.from_generator(lambda: iter([image]), output_signature=in_graph.input_signature[0])
    mapped = dataset.map(lambda item: preprocess(item, name, **sides))
    batch = preprocess(np.stack([image, other]), name, **sides)
    assert mapped.element_spec.shape == (*SIZE, 3)
    for found in (preprocess(image, name, **sides), in_graph(image), next(iter(mapped)), batch[0]):
        np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(batch[1].numpy(), preprocess(other, name, **sides).numpy())


@pytest.mark.parametrize("size", [(160, 160), (182, 176)])
def test_facenet_whitens_and_standardises_as_its_original(size: tuple[int, int]) -> None:
    """``prewhiten`` as facenet.py has it in NumPy, of the whole image, and the fixed rule of 2018."""
    image = RANDOM.randint(0, 256, (*size, 3)).astype("uint8")
    top, left = (size[0] - 160) // 2, (size[1] - 160) // 2
    deviation = max(np.std(image), 1.0 / np.sqrt(image.size))
    whitened = np.multiply(np.subtract(image, np.mean(image)), 1 / deviation)[top : top + 160, left : left + 160]
    sides = {"height": 160, "width": 160}
    np.testing.assert_allclose(preprocess(image, "facenet_prewhiten", **sides).numpy(), whitened, rtol=1e-6, atol=1e-7)
    fixed = (image[top : top + 160, left : left + 160].astype("float32") - 127.5) / 128.0
    np.testing.assert_array_equal(preprocess(image, "facenet_fixed", **sides).numpy(), fixed)


def test_densenet_scales_what_vgg_gives() -> None:
    """The originals of DenseNet multiply by 0.017, and drop the fraction where vgg rounds, of 284.4 the same."""
    sides = {"height": 32, "width": 33}
    vgg, densenet = (preprocess(RAW[40, 36], name, **sides).numpy() for name in ("vgg", "densenet"))
    np.testing.assert_array_equal(densenet, vgg * np.float32(0.017))


def test_every_network_and_published_checkpoint_has_a_pipeline_with_words() -> None:
    """A key without a pipeline, or a pipeline without its facts, would fail here."""
    assert {row.preprocessing for row in (*NETS.values(), *PUBLISHED)} <= set(PIPELINES)
    told = {name: pipeline.describe(224, 192) for name, pipeline in PIPELINES.items()}
    assert told["inception"] == ("inception: float32 in [-1, 1], central crop of 87.5 %, bilinear resize to 224 x 192")
    assert told["vgg"].startswith("vgg: float32 in [-123.68, 151.06], 0 to 255 less the mean colour (123.68, 116.78")
    assert told["cifarnet"].startswith("cifarnet: float32 of mean 0 and deviation 1, each image by itself, central")
    assert all("224 x 192" in text for text in told.values())


@pytest.mark.parametrize("name", [name for name, pipeline in PIPELINES.items() if pipeline.value_range])
def test_the_range_in_words_is_that_of_black_and_white(name: str) -> None:
    """The darkest and the brightest image reach the bounds and do not pass them."""
    ends = np.stack([np.zeros((*SIZE, 3), "uint8"), np.full((*SIZE, 3), 255, "uint8")])
    found = preprocess(ends, name, height=SIZE[0], width=SIZE[1]).numpy()
    assert (found.min(), found.max()) == pytest.approx(PIPELINES[name].value_range, rel=1e-6)
