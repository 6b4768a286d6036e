"""Files that released versions wrote are read, and compute what they did then; one of each format there is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.checkpoints.training_record import read_record
from slim2keras.deployment import ways
from slim2keras.errors import ModelReadError
from slim2keras.files.output_files import report_path
from slim2keras.outputs.formats import OutputFormat
from slim2keras.version import __version__
from tests.conftest import made_once
from tests.golden_files import writing
from tests.reference import images
from tests.trainer import runs

RELEASES = sorted(path.stem for path in writing.FOLDER.glob("*.zip"))
NEWEST = writing.UNRELEASED if writing.UNRELEASED in RELEASES else __version__
BOUND = 1e-6
WIDEST_LOSS = 1e-4
"""Of the losses of a training that goes on: other processors round otherwise, and a step amplifies it."""


@pytest.fixture(scope="session", params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a release wrote; not to be changed."""

    def unpack(directory: Path) -> None:
        shutil.unpack_archive(writing.FOLDER / f"{request.param}.zip", directory)

    return made_once(tmp_path_factory, f"golden-files-{request.param}", unpack)


def outputs_then(release: Path) -> Mapping[str, np.ndarray]:
    return dict(np.load(release / writing.OUTPUTS))


def assert_same(found: Any, then: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(found), then, rtol=0.0, atol=BOUND * np.abs(then).max())


def run_keras(path: Path, given: np.ndarray) -> Any:
    return load_keras(path)(given)


def load_keras(path: Path) -> Any:
    try:
        return slim2keras.load_model(path)
    except ModelReadError as error:
        if "is newer than the one here" not in str(error):
            raise
        pytest.skip("this tf_keras is older than the one that wrote the file")


def run_keras3(path: Path, given: np.ndarray) -> Any:
    import keras

    writer = json.loads(report_path(path).read_text(encoding="utf-8"))["keras3"]["keras"]
    try:
        return slim2keras.keras3.load_model(path)(given)
    except ModelReadError as error:
        if version(keras.__version__) >= version(writer) or f"Keras {writer} wrote it" not in str(error):
            raise
        pytest.skip(f"Keras {keras.__version__} does not read files of Keras {writer}")


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")[:2]))


def run_tflite(path: Path, given: np.ndarray) -> Any:
    pytest.importorskip("ai_edge_litert")
    from slim2keras.deployment.tflite_runtime import LiteRT

    return LiteRT(path)(given)[0]


def run_onnx(path: Path, given: np.ndarray) -> Any:
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: given})[0]


def run_served(path: Path, given: np.ndarray) -> Any:
    import tensorflow as tf

    given_back = tf.saved_model.load(path).signatures["serving_default"](tf.constant(given))
    (logits,) = given_back.keys() - {"probabilities", "classes"}
    return given_back[logits]


RUNTIMES = {
    "tf_keras_file": run_keras,
    "keras3_file": run_keras3,
    "tflite": run_tflite,
    "onnx_file": run_onnx,
    "serving": run_served,
}


def test_this_version_has_its_golden_files() -> None:
    """A release writes them: ``python -m tests.golden_files.writing``."""
    assert __version__ in RELEASES


@pytest.mark.parametrize("release", [NEWEST], indirect=True)
def test_every_format_has_a_golden_file(release: Path) -> None:
    """A format, or a way out, that is new needs one: ``python -m tests.golden_files.writing unreleased``."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in release.glob("*.json")]
    formats = {report["output"]["format"] for report in reports}
    writers = {way.writer for way in (*ways._WAYS.values(), ways._KERAS3, ways._SERVING)}
    assert formats == {its_format.name.lower() for its_format in OutputFormat}
    assert {deployed.writer for deployed in writing.DEPLOYED} == writers == set(RUNTIMES)
    assert all((release / deployed.name).exists() for deployed in writing.DEPLOYED)


@pytest.mark.parametrize("name", writing.CONVERTED)
def test_a_converted_file_is_what_it_was(release: Path, name: str) -> None:
    """It is loaded, computes what it did, and the report beside it vouches for each tensor."""
    assert_same(run_keras(release / name, images(0, (3, 16, 16, 3))), outputs_then(release)["tiny"])
    slim2keras.verify_file(release / name).raise_if_failed()


@pytest.mark.parametrize("deployed", writing.DEPLOYED, ids=lambda item: item.name)
def test_a_deployed_file_is_what_it_was(release: Path, deployed: writing.Deployed) -> None:
    """Its runtime computes what it did, and the report beside it vouches for the file."""
    found = RUNTIMES[deployed.writer](release / deployed.name, images(0, (3, 16, 16, 3)))
    assert_same(found, outputs_then(release)["tiny"])
    slim2keras.verify_file(release / deployed.name).raise_if_failed()


def test_a_network_of_the_zoo_is_built_by_its_report(release: Path) -> None:
    """Weights alone, whose network the report names with its arguments."""
    path = release / writing.ZOO
    assert json.loads(report_path(path).read_text(encoding="utf-8"))["net"] == "mobilenet_v1"
    assert_same(run_keras(path, images(0, (3, 32, 32, 3))), outputs_then(release)["zoo"])


def test_an_exported_checkpoint_goes_on(release: Path) -> None:
    """Weights, slots, shadows and step, and beside them what training did to the moving statistics."""
    network = runs.tiny_network(len(runs.CLASSES))
    prefix = release / writing.CHECKPOINT
    model = slim2keras.convert(prefix, network=network)
    assert_same(model(images(0, (3, 16, 16, 3))), outputs_then(release)["tiny"])
    with open_checkpoint(prefix) as checkpoint:
        assert checkpoint.global_step == writing.STEP
        assert {layer.decay for layer in read_record(checkpoint).layers.values()} == {0.8}
    tuned = slim2keras.finetune(model, batch_norm="update", ema_decay=0.9, resume_from=prefix)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    assert int(tuned.optimizer.iterations) == writing.STEP
    assert all(np.abs(slot).max() > 0.0 for slot in tuned.optimizer.slot_variables["Momentum"])


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
def test_a_run_goes_on(release: Path, tmp_path: Path) -> None:
    """Its model is loaded, and its last state trained further, to the losses of a run that was not stopped."""
    run = shutil.copytree(release / writing.RUN, tmp_path / writing.RUN)
    assert load_keras(run / "model.keras").output_shape == (None, len(runs.CLASSES))
    request = slim2keras.resumed_request(run, release / writing.RUN_IMAGES, epochs=writing.EPOCHS_GONE_ON)
    slim2keras.train(request)
    losses = [float(row["loss"]) for row in runs.history(run)]
    np.testing.assert_allclose(losses, outputs_then(release)["losses of the run"], rtol=WIDEST_LOSS)
