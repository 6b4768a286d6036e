"""A warning for images that are not prepared, and none for those that may be."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import slim2keras
from slim2keras.cli.app import app
from slim2keras.errors import PreprocessingWarning
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.nets.spec import NetSpec
from slim2keras.optimizers import Momentum
from slim2keras.preprocessing.doubts import doubt_about
from tests.reference import STAND_IN_SLIM, values_of, write_checkpoint

RANDOM = np.random.RandomState(1)
NOISE = RANDOM.uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
PIXELS = RANDOM.randint(0, 256, (4, 32, 32, 3)).astype("uint8")
VGG_MEANS = np.array((123.68, 116.78, 103.94), "float32")


@pytest.mark.parametrize(
    ("net", "images", "message"),
    [
        ("inception_v3", PIXELS, "The images are uint8, and inception_v3 wants"),
        ("inception_v3", PIXELS.astype("int64"), "are int64"),
        ("inception_v3", PIXELS.astype("float32"), r"look like pixels of 0 to 255, .* in \[-1, 1\], central crop"),
        ("inception_v3", PIXELS - VGG_MEANS, "have values from -12[0-9.]* to 15[0-9.]*, and"),
        ("inception_v3", NOISE, None),
        ("inception_v3", (NOISE + 1) / 2, None),
        ("inception_v3", np.zeros_like(NOISE), None),
        ("inception_v3", np.full_like(NOISE, np.nan), None),
        ("resnet_v1_50", PIXELS.astype("float32"), "look like pixels of 0 to 255"),
        ("resnet_v1_50", NOISE, "have values from -0.9[0-9]* to 0.9[0-9]* only"),
        ("resnet_v1_50", PIXELS - VGG_MEANS, None),
        ("cifarnet", PIXELS.astype("float32"), "look like pixels of 0 to 255"),
        ("cifarnet", PIXELS - VGG_MEANS, "have values from"),
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
