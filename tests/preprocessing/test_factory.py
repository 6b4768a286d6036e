"""Networks, models and names know how their images are prepared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing.factory import pipeline_of, preprocess

IMAGE = np.random.RandomState(0).randint(0, 256, (61, 97, 3)).astype("uint8")


def test_the_preprocessing_of_a_published_checkpoint_travels_with_the_model() -> None:
    """facenet of 2017 wants its images whitened, the network's later checkpoints do not."""
    spec = NetSpec.make("inception_resnet_v1", None, {})
    assert pipeline_of(spec).name == "facenet_fixed"
    assert pipeline_of(replace(spec, preprocessing="facenet_prewhiten")).name == "facenet_prewhiten"


def test_a_decoded_file_is_prepared_in_a_data_set(tmp_path: Path) -> None:
    """What ``decode_image`` gives in a graph can be given to it."""
    import tensorflow as tf

    path = tmp_path / "image.png"
    tf.io.write_file(str(path), tf.io.encode_png(IMAGE))

    def read(name: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(name), channels=3, expand_animations=False)
        return preprocess(image, "resnet_v1_50")

    found = next(iter(tf.data.Dataset.from_tensors(str(path)).map(read).batch(1)))
    np.testing.assert_array_equal(found[0].numpy(), preprocess(IMAGE, "resnet_v1_50").numpy())


def test_models_and_names_tell_pipeline_and_size() -> None:
    """A model of ``build``, one that is fine-tuned, one from a file and a name each know what they want."""
    import tf_keras

    model = slim2keras.build("lenet", input_shape=(28, 32, 3), num_classes=3)
    expected = preprocess(IMAGE, "lenet", height=28, width=32).numpy()
    tuned = slim2keras.finetune(model, batch_norm="frozen")
    for known in (model, tuned, tf_keras.Model.from_config(model.get_config())):
        np.testing.assert_array_equal(preprocess(IMAGE, known).numpy(), expected)
    assert preprocess(IMAGE, "inception_v3").shape == (299, 299, 3)
    assert preprocess(IMAGE, model, height=20).shape == (20, 32, 3)


@pytest.mark.parametrize(
    ("images", "network", "message"),
    [
        (IMAGE.astype("float32"), "lenet", r"must be uint8, .* Received: float32, \(61, 97, 3\)"),
        (IMAGE[np.newaxis, np.newaxis], "lenet", r"Received: uint8, \(1, 1, 61, 97, 3\)"),
        (IMAGE, "inception", "no size of its own"),
        (IMAGE, "resnet_v1_51", "no network and no pipeline 'resnet_v1_51'. Did you mean resnet_v1_50"),
        (IMAGE[..., :1], "resnet_v1_50", "three channels. Received: 1"),
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
        preprocess(IMAGE, model)
