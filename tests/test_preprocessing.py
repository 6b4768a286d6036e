"""``slim2keras.preprocessing``: the same images everywhere, in words, and a warning for those that are not prepared."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.cli.app import app
from slim2keras.cli.inspect import describe
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import PreprocessingWarning, UnsupportedArgumentError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec
from slim2keras.optimizers import Momentum
from slim2keras.preprocessing.doubts import doubt_about
from slim2keras.preprocessing.factory import preprocess
from slim2keras.preprocessing.pipelines import PIPELINES
from slim2keras.recognition.published import PUBLISHED
from tests.reference import SMALL_SHAPE, STAND_IN_SLIM, values_of, write_checkpoint

SIZE = (40, 36)
RANDOM = np.random.RandomState(0)
RAW = {size: RANDOM.randint(0, 256, (*size, 3)).astype("uint8") for size in ((61, 97), (300, 257), (40, 36))}
MEANS = np.array((123.68, 116.78, 103.94), "float32")


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


def test_a_decoded_file_is_prepared_in_a_data_set(tmp_path: Path) -> None:
    """What ``decode_image`` gives in a graph can be given to it."""
    import tensorflow as tf

    path = tmp_path / "image.png"
    tf.io.write_file(str(path), tf.io.encode_png(RAW[61, 97]))

    def read(name: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(name), channels=3, expand_animations=False)
        return preprocess(image, "resnet_v1_50")

    found = next(iter(tf.data.Dataset.from_tensors(str(path)).map(read).batch(1)))
    np.testing.assert_array_equal(found[0].numpy(), preprocess(RAW[61, 97], "resnet_v1_50").numpy())


def test_models_and_names_tell_pipeline_and_size() -> None:
    """A model of ``build``, one that is fine-tuned, one from a file and a name each know what they want."""
    import tf_keras

    model = slim2keras.build("lenet", input_shape=(28, 32, 3), num_classes=3)
    expected = preprocess(RAW[61, 97], "lenet", height=28, width=32).numpy()
    tuned = slim2keras.finetune(model, batch_norm="frozen")
    for known in (model, tuned, tf_keras.Model.from_config(model.get_config())):
        np.testing.assert_array_equal(preprocess(RAW[61, 97], known).numpy(), expected)
    assert preprocess(RAW[61, 97], "inception_v3").shape == (299, 299, 3)
    assert preprocess(RAW[61, 97], model, height=20).shape == (20, 32, 3)


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
    """The originals of DenseNet multiply by 0.017."""
    sides = {"height": 32, "width": 33}
    vgg, densenet = (preprocess(RAW[61, 97], name, **sides).numpy() for name in ("vgg", "densenet"))
    np.testing.assert_array_equal(densenet, vgg * np.float32(0.017))


@pytest.mark.parametrize(
    ("images", "network", "message"),
    [
        (RAW[61, 97].astype("float32"), "lenet", r"must be uint8, .* Received: float32, \(61, 97, 3\)"),
        (RAW[61, 97][np.newaxis, np.newaxis], "lenet", r"Received: uint8, \(1, 1, 61, 97, 3\)"),
        (RAW[61, 97], "inception", "no size of its own"),
        (RAW[61, 97], "resnet_v1_51", "no network and no pipeline 'resnet_v1_51'. Did you mean resnet_v1_50"),
        (RAW[61, 97][..., :1], "resnet_v1_50", "three channels. Received: 1"),
    ],
)
def test_what_cannot_be_prepared_is_refused(images: Any, network: str, message: str) -> None:
    """Floats, whose range nobody knows, and networks that nobody knows are errors that say what to do."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        preprocess(images, network)


def test_a_model_of_somebody_else_has_no_pipeline() -> None:
    """Nothing is guessed for it."""
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), tf_keras.layers.Flatten()])
    with pytest.raises(UnsupportedArgumentError, match=r"not a network of slim2keras\. Give the name"):
        preprocess(RAW[61, 97], model)


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


def test_inspect_and_the_report_say_what_the_key_means(small_checkpoint: Path, tmp_path: Path) -> None:
    """Range, crop and size stand beside the key."""
    from slim2keras.conversion.converting import convert_to_file

    with open_checkpoint(small_checkpoint) as opened:
        facts = describe(opened)
    assert facts["preprocessing_meaning"].endswith("(bilinear), central crop of 224 x 224")
    convert_to_file(small_checkpoint, tmp_path / "model.weights.h5", CheckpointRequest(input_shape=SMALL_SHAPE))
    report = json.loads((tmp_path / "model.weights.h5.json").read_text())
    assert report["preprocessing"] == "vgg"
    assert report["preprocessing_meaning"].endswith("central crop of 33 x 36")


NOISE = RANDOM.uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
PIXELS = RANDOM.randint(0, 256, (4, 32, 32, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("net", "images", "message"),
    [
        ("inception_v3", PIXELS, "The images are uint8, and inception_v3 wants"),
        ("inception_v3", PIXELS.astype("int64"), "are int64"),
        ("inception_v3", PIXELS.astype("float32"), r"look like pixels of 0 to 255, .* in \[-1, 1\], central crop"),
        ("inception_v3", PIXELS - MEANS, "have values from -12[0-9.]* to 15[0-9.]*, and"),
        ("inception_v3", NOISE, None),
        ("inception_v3", (NOISE + 1) / 2, None),
        ("inception_v3", np.zeros_like(NOISE), None),
        ("inception_v3", np.full_like(NOISE, np.nan), None),
        ("resnet_v1_50", PIXELS.astype("float32"), "look like pixels of 0 to 255"),
        ("resnet_v1_50", NOISE, "have values from -0.9[0-9]* to 0.9[0-9]* only"),
        ("resnet_v1_50", PIXELS - MEANS, None),
        ("cifarnet", PIXELS.astype("float32"), "look like pixels of 0 to 255"),
        ("cifarnet", PIXELS - MEANS, "have values from"),
        ("cifarnet", NOISE * 2, None),
    ],
)
def test_images_in_another_range_raise_a_doubt(net: str, images: np.ndarray, message: str | None) -> None:
    """Pixels, the mean of another pipeline and scaling where none is wanted are seen; what may be right is let be."""
    found = doubt_about(images, NetSpec.make(net, None, {}))
    if message is None:
        assert found is None
    else:
        assert found is not None
        with pytest.warns(PreprocessingWarning, match=message):
            warnings.warn(found, PreprocessingWarning, stacklevel=1)


def shallow() -> Any:
    """LeNet for small colour images, to be trained in no time."""
    return slim2keras.build("lenet", input_shape=(32, 32, 3), num_classes=3)


def batches(images: np.ndarray, kind: str) -> Any:
    """Images of three classes as each of the things that ``fit`` takes."""
    import tensorflow as tf

    labels = np.arange(len(images)) % 3
    if kind == "arrays":
        return images, labels
    if kind == "generator":
        return (iter([(images[:2], labels[:2]), (images[2:], labels[2:])]),)
    return (tf.data.Dataset.from_tensor_slices((images, labels)).batch(2),)


@pytest.mark.parametrize(
    ("kind", "run_eagerly"), [("arrays", False), ("data set", False), ("generator", False), ("arrays", True)]
)
def test_fit_warns_of_pixels_once_and_loses_no_batch(kind: str, run_eagerly: bool) -> None:
    """Whatever the data come from: one warning a ``fit``, every batch is trained on, and good images are no matter."""
    tuned = slim2keras.finetune(shallow(), batch_norm="frozen")
    tuned.compile(Momentum(1e-6, 0.9), SoftmaxCrossEntropy(), run_eagerly=run_eagerly)
    with pytest.warns(PreprocessingWarning, match="and lenet wants them preprocessed") as caught:
        tuned.fit(*batches(PIXELS.astype("float32"), kind), batch_size=None if kind != "arrays" else 2, verbose=0)
    assert [item.category for item in caught].count(PreprocessingWarning) == 1
    assert tuned.optimizer.iterations == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", PreprocessingWarning)
        tuned.fit(*batches(NOISE, kind), batch_size=None if kind != "arrays" else 2, verbose=0)
    with pytest.warns(PreprocessingWarning):
        tuned.fit(*batches(PIXELS, kind), batch_size=None if kind != "arrays" else 2, verbose=0)


def test_training_is_the_same_whether_looked_at_or_not() -> None:
    """The look changes neither the order of a shuffled data set nor a bit of what is learned."""
    import tensorflow as tf
    import tf_keras

    def learned(look: bool) -> list[np.ndarray]:
        tf_keras.utils.set_random_seed(1)
        tuned = slim2keras.finetune(shallow(), batch_norm="frozen")
        tuned.compile(Momentum(0.01, 0.9), SoftmaxCrossEntropy())
        if not look:
            tuned.slim_network = None
        data = tf.data.Dataset.from_tensor_slices((NOISE, np.arange(4) % 3)).shuffle(4, seed=3).batch(1)
        tuned.fit(data, epochs=2, verbose=0)
        return [item.numpy() for item in tuned.weights]

    for ours, other in zip(learned(look=True), learned(look=False), strict=True):
        np.testing.assert_array_equal(ours, other)


def test_a_network_of_somebody_else_is_never_warned_about() -> None:
    """Its pipeline is unknown, so pixels may be right."""
    import tf_keras

    layers = tf_keras.layers
    own = tf_keras.Sequential([tf_keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(3, name="head")])
    tuned = slim2keras.finetune(own, batch_norm="frozen")
    tuned.compile(Momentum(1e-6, 0.9), SoftmaxCrossEntropy())
    with warnings.catch_warnings():
        warnings.simplefilter("error", PreprocessingWarning)
        tuned.fit(*batches(PIXELS, "arrays"), verbose=0)


def test_verify_warns_of_images_that_are_given(tmp_path: Path) -> None:
    """Parity holds on any image, so wrong ones would pass unnoticed."""
    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    model = slim2keras.convert(checkpoint)
    pixels = PIXELS[:2, :28, :28, :1].astype("float32")
    with pytest.warns(PreprocessingWarning, match="pixels of 0 to 255, and lenet wants"):
        assert slim2keras.verify(checkpoint, model, images=pixels, slim_source=STAND_IN_SLIM).passed


def test_the_doctor_prints_it_as_a_remark(tmp_path: Path) -> None:
    """On the command line it is one line on stderr, and the answer on stdout stays what it is."""
    spec = NetSpec.make("mobilenet_v1_025", (32, 32, 3), {"num_classes": 3})
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values_of(spec.trace().variables()))
    np.savez(tmp_path / "pixels.npz", images=PIXELS.astype("float32"))
    data = ("--data", tmp_path / "pixels.npz", "--input-shape", "32,32,3", "--json")
    with warnings.catch_warnings():
        warnings.simplefilter("always", PreprocessingWarning)
        done = CliRunner().invoke(app, ["doctor", *map(str, (checkpoint, *data))])
    assert json.loads(done.stdout)["gap"]["images"] == len(PIXELS)
    (told,) = done.stderr.splitlines()
    assert told.startswith("remark: The images look like pixels of 0 to 255, and mobilenet_v1_025 wants them")


def test_the_readme_classifies_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines run as they stand and print names with the scores of the network, best first."""
    import tensorflow as tf

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (snippet,) = (code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "argsort" in code)
    monkeypatch.chdir(tmp_path)
    model = slim2keras.build("lenet", input_shape=(28, 28, 3), num_classes=6)
    model.save("model.keras")
    Path("labels.txt").write_text("".join(f"{number}:name {number}\n" for number in range(6)))
    tf.io.write_file("image.jpg", tf.io.encode_jpeg(RAW[61, 97]))
    exec(snippet, {})
    image = tf.io.decode_jpeg(tf.io.read_file("image.jpg"), channels=3)
    scores = tf.nn.softmax(model(preprocess(image, "lenet")[tf.newaxis]))[0].numpy()
    best = scores.argsort()[::-1][:5]
    assert capsys.readouterr().out.splitlines() == [f"{scores[number]:.1%} name {number}" for number in best]
