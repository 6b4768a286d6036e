"""SavedModels for serving: TensorFlow alone takes images or files to the names of their classes."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment.entries import entry_of
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.serving import Head
from slim2keras.deployment.subject import Subject, open_subject
from slim2keras.errors import DataReadError, ModelReadError, NoSpaceError, ParityError, UnsupportedArgumentError
from slim2keras.graphs.network import GraphNetwork
from slim2keras.preprocessing.factory import preprocess
from slim2keras.preprocessing.pipelines import PIPELINES
from tests.deployment.models import NAMES, small_model, write_labels


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape).astype("uint8")


def subject_of(model: Any, **options: Any) -> Subject:
    return open_subject(model, DeploymentOptions(**options), CheckpointRequest())


def encoded(image: np.ndarray, kind: str) -> bytes:
    from PIL import Image

    found = io.BytesIO()
    Image.fromarray(image).save(found, kind)
    return found.getvalue()


@pytest.mark.slow
def test_files_of_any_kind_and_size_go_to_names_of_classes(tmp_path: Path) -> None:
    """In one batch: JPEG, PNG, grey, with alpha, BMP, and the first frame of a GIF, as our own reading has them."""
    import tensorflow as tf

    from slim2keras.data.decoding import decode_image

    model, labels = small_model("lenet", (28, 28, 3)), write_labels(tmp_path / "labels.txt")
    options = DeploymentOptions(signature="bytes", labels=labels, preprocessing_name="vgg")
    report = slim2keras.deploy(model, tmp_path / "served", options)
    assert report.proof.largest_difference <= 1e-5
    assert report.facts["serving"]["preprocessing_difference"] == 0.0
    assert slim2keras.verify_file(tmp_path / "served").passed
    shapes = {"JPEG": (70, 50, 3), "PNG": (40, 90), "BMP": (20, 30, 3), "GIF": (80, 80)}
    files = [encoded(pixels(*shape), kind) for kind, shape in shapes.items()]
    files += [encoded(pixels(33, 35, 4), "PNG"), encoded(pixels(28, 28, 3), "PNG")]
    loaded = tf.saved_model.load(tmp_path / "served")
    found = loaded.signatures["serving_default"](image_bytes=tf.constant(files))
    prepared = tf.stack([preprocess(decode_image(tf.constant(file), 3), "vgg", height=28, width=28) for file in files])
    np.testing.assert_array_equal(loaded.preprocess(files)["images"], prepared)
    logits = np.asarray(model(prepared))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5 * np.abs(logits).max())
    np.testing.assert_allclose(found["probabilities"], tf.nn.softmax(logits), atol=1e-5)
    assert [name.decode() for name in found["classes"].numpy()] == [NAMES[number] for number in logits.argmax(1)]
    with pytest.raises(ModelReadError, match=r"one for serving perhaps.*tf\.saved_model\.load"):
        slim2keras.load_model(tmp_path / "served")


@pytest.mark.parametrize("name", PIPELINES)
def test_pixels_of_any_size_are_prepared_bit_for_bit(name: str) -> None:
    """By one graph for all sizes, larger and smaller than the network's images, and batches of none."""
    import tensorflow as tf

    subject = subject_of(small_model("lenet", (28, 30, 3)), preprocessing_name=name)
    entry = entry_of(subject, "images")
    prepare = tf.function(entry.prepare, input_signature=[entry.spec], autograph=False)
    for shape in ((2, 28, 30, 3), (1, 61, 47, 3), (2, 20, 90, 3), (1, 300, 17, 3)):
        images = pixels(*shape, seed=shape[1])
        np.testing.assert_array_equal(prepare(images), preprocess(images, subject.network))
    assert prepare(pixels(0, 40, 40, 3)).shape == (0, 28, 30, 3)


def test_what_is_served_is_what_the_network_gives() -> None:
    """Auxiliary logits are for training; features and maps have no classes; numbers stand for names nobody gave."""
    head = Head.of(subject_of(slim2keras.build("lenet", input_shape=(28, 28, 1), num_classes=3)))
    assert (head.served, head.class_names) == (["logits", "probabilities", "classes"], ("0", "1", "2"))
    features = Head.of(subject_of(slim2keras.build("lenet", input_shape=(28, 28, 1), num_classes=0)))
    assert features.served == ["features"]
    logits = np.array([[[[0.0, 2.0, 1.0]]], [[[3.0, 2.0, 1.0]]]], "float32")
    given = Head(("logits", "AuxLogits"), ("a", "b", "c"))([logits, logits])
    assert {*given} == {"logits", "probabilities", "classes"}
    assert given["probabilities"].shape == (2, 3)
    assert given["logits"].shape == (2, 1, 1, 3)
    assert given["classes"].numpy().tolist() == [b"b", b"a"]
    probabilities = Head(("probabilities",), ("a", "b"))([np.array([[0.25, 0.75]], "float32")])
    assert probabilities["probabilities"].numpy().tolist() == [[0.25, 0.75]]
    assert [*probabilities] == Head(("probabilities",), ("a", "b")).served


def test_what_cannot_be_served_is_told_with_the_next_step() -> None:
    """Videos, files with two channels, orientation that a graph cannot read, and preprocessing that nobody knows."""
    from dataclasses import replace

    from slim2keras.data.batches import Reading

    lenet = subject_of(small_model("lenet", (28, 28, 2)))
    with pytest.raises(UnsupportedArgumentError, match="2 channels, and no image file has so many: take --sig"):
        entry_of(lenet, "bytes")
    assert entry_of(lenet, "images").spec.shape.as_list() == [None, None, None, 2]
    colours = subject_of(small_model("lenet", (28, 28, 3)))
    with pytest.raises(UnsupportedArgumentError, match=r"EXIF.*take --signature images"):
        entry_of(replace(colours, reading=Reading(exif_orientation=True)), "bytes")
    unknown = replace(colours, network=GraphNetwork("own", colours.network.graph, num_classes=5))
    with pytest.raises(UnsupportedArgumentError, match="Give --preprocessing-name, one of inception, vgg"):
        entry_of(unknown, "images")
    video = replace(colours, network=replace(colours.network, input_shape=(4, 28, 28, 3)))
    with pytest.raises(UnsupportedArgumentError, match="Take --signature raw"):
        entry_of(video, "bytes")


def test_images_of_the_data_are_tried_and_a_broken_one_is_named(tmp_path: Path) -> None:
    """As files and as pixels, whatever their sizes."""
    import tensorflow as tf

    shapes = ((30, 40, 3), (28, 28, 3), (50, 20, 3))
    for number, shape in enumerate(shapes):
        (tmp_path / f"{number}.png").write_bytes(encoded(pixels(*shape), "PNG"))
    subject = subject_of(small_model("lenet", (28, 28, 3)), data=tmp_path)
    (files,), of = entry_of(subject, "bytes").samples()
    arrays, _ = entry_of(subject, "images").samples()
    assert of == f"of {tmp_path}"
    assert [array.shape for array in arrays] == [(1, *shape) for shape in shapes]
    for file, array in zip(files, arrays, strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(file), array[0])
    (tmp_path / "1.png").write_bytes(b"no image")
    for signature in ("bytes", "images"):
        with pytest.raises(DataReadError, match=r"1\.png"):
            entry_of(subject, signature).samples()
    # Not by --skip-broken, which convert has not.
    with pytest.raises(DataReadError, match=r"1\.png cannot be read as an image: [^-]*\. Take it out\.$"):
        subject.images()


@pytest.mark.parametrize("fails", ["disk", "difference"])
def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """A full disk, and outputs that differ when they are run elsewhere."""
    import tensorflow as tf

    from slim2keras.deployment import serving

    def full(module: Any, path: Path, signatures: Any) -> None:
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def differs(*arguments: Any) -> tuple[list[np.ndarray], str]:
        return [np.array(["0"] * 4), np.full((4, 5), 0.2), np.full((4, 5), 0.2)], "tensorflow"

    model = small_model("lenet", (28, 28, 1))

    if fails == "disk":
        monkeypatch.setattr(tf.saved_model, "save", full)
    else:
        monkeypatch.setattr(serving, "run_elsewhere", differs)
    error = NoSpaceError if fails == "disk" else ParityError
    with pytest.raises(error):
        slim2keras.deploy(model, tmp_path / "new" / "served", DeploymentOptions(signature="raw"))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("signature", ["raw", "images"])
def test_tensorflows_own_command_runs_it(tmp_path: Path, signature: str) -> None:
    """``saved_model_cli`` shows the signature, and computes the model's logits by it, with nothing of ours."""
    model, served = small_model("lenet", (28, 28, 3)), tmp_path / "served"
    slim2keras.deploy(model, served, DeploymentOptions(signature=signature))
    images = pixels(3, 28, 28, 3)
    prepared = np.asarray(preprocess(images, model))
    np.save(tmp_path / "images.npy", prepared if signature == "raw" else images)
    command = Path(sys.executable).with_name("saved_model_cli")
    which = ["--dir", served, "--tag_set", "serve", "--signature_def", "serving_default"]
    shown = subprocess.run([command, "show", *which], capture_output=True, text=True, check=True).stdout
    assert "inputs['images']" in shown
    assert all(f"outputs['{name}']" in shown for name in ("logits", "probabilities", "classes"))
    given = ["--inputs", f"images={tmp_path / 'images.npy'}", "--outdir", tmp_path]
    subprocess.run([command, "run", *which, *given], capture_output=True, check=True)
    logits = np.asarray(model(prepared))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), logits, atol=1e-5 * np.abs(logits).max())
    assert json.loads((tmp_path / "served.json").read_text())["serving"]["signature"] == signature
