from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import slim2keras
from slim2keras import keras3
from slim2keras.deployment import keras3_file, ways
from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.errors import (
    MissingExtraError,
    NoSpaceError,
    ParityError,
    Slim2KerasError,
    UnsupportedArgumentError,
    UnsupportedGraphError,
)
from tests.keras3.networks import applying, model_of
from tests.own_network import SHAPE, own_network
from tests.reference import images
from tests.towers_network import towers_network

KERAS_3 = DeploymentOptions(keras=3)


@pytest.fixture(scope="module", name="model")
def _model() -> Any:
    return model_of(own_network())


@pytest.fixture(name="here")
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are run in this process, where that is not the matter: another one takes seconds."""

    def run_here(reader: str, file: Path, inputs: dict[str, np.ndarray], **_: Any) -> tuple[list[np.ndarray], str]:
        given = [*inputs.values()]
        outputs = keras.models.load_model(file)(given if len(given) > 1 else given[0], training=False)
        return [np.asarray(item) for item in keras.tree.flatten(outputs)], "Keras 3 here"

    monkeypatch.setattr(keras3_file, "run_elsewhere", run_here)


def test_the_file_is_run_by_keras_3_without_us(model: Any, tmp_path: Path) -> None:
    """And the report says how near it is, and what the network is."""
    report = slim2keras.deploy(model, tmp_path / "m.keras", KERAS_3)
    assert report.proof.runtime == f"Keras {keras.__version__} on tensorflow"
    assert report.proof.largest_difference <= 1e-5
    assert not report.proof.remarks
    written = json.loads((tmp_path / "m.keras.json").read_text())
    assert written["keras3"] == {
        "keras": keras.__version__,
        "batch_norm_layer": "keras",
        "own_layers": [],
        "load_with": None,
    }
    loaded = keras3.load_model(tmp_path / "m.keras")
    x = images(0, (2, *SHAPE))
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5, atol=1e-6)
    assert [*keras3.end_points(loaded)] == ["first", "second"]


@pytest.mark.slow
def test_the_backend_is_the_one_that_is_asked_for(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX reads what TensorFlow wrote."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    report = slim2keras.deploy(model, tmp_path / "m.keras", KERAS_3)
    assert report.proof.runtime.endswith("on jax")
    assert report.proof.largest_difference <= 1e-5


@pytest.mark.slow
def test_our_layers_are_there_where_a_file_needs_them(tmp_path: Path) -> None:
    """In a process of its own too."""
    report = slim2keras.deploy(model_of(towers_network()), tmp_path / "m.keras", KERAS_3)
    assert report.proof.runtime.startswith("Keras 3")
    assert report.proof.largest_difference <= 1e-5


@pytest.mark.usefixtures("here")
def test_a_network_that_needs_our_layers_says_so(tmp_path: Path) -> None:
    """Two inputs, ops of TensorFlow: how it is loaded is said where people look."""
    report = slim2keras.deploy(model_of(towers_network()), tmp_path / "m.keras", KERAS_3)
    assert "TensorFlowOp" in report.proof.remarks[0]
    assert "import slim2keras.keras3" in str(report)
    assert report.facts["keras3"]["load_with"] == "import slim2keras.keras3"


@pytest.mark.usefixtures("here")
def test_slims_batch_norm_is_one_of_our_layers(model: Any, tmp_path: Path) -> None:
    """By option."""
    options = DeploymentOptions(keras=3, batch_norm_layer="slim")
    report = slim2keras.deploy(model, tmp_path / "m.keras", options)
    assert report.facts["keras3"]["own_layers"] == ["BatchNormalization"]


@pytest.mark.slow
def test_a_file_with_our_layers_cannot_be_run_without_us(tmp_path: Path) -> None:
    """The reader of stock files has nothing of ours."""
    slim2keras.to_keras3(model_of(towers_network())).save(tmp_path / "m.keras")
    with pytest.raises(Slim2KerasError, match="run_keras3 failed"):
        run_elsewhere("run_keras3", tmp_path / "m.keras", {"x": np.zeros((1, 2), "float32")})


@pytest.mark.usefixtures("here")
def test_another_model_in_the_file_is_seen(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of it."""

    def other(model: keras.Model, draft: Path) -> None:
        model.set_weights([weight * 1.01 for weight in model.get_weights()])
        model.save(draft)

    monkeypatch.setattr(keras3_file, "_save", other)
    with pytest.raises(ParityError, match="differs from the model"):
        slim2keras.deploy(model, tmp_path / "m.keras", KERAS_3)
    assert not [*tmp_path.iterdir()]


def test_a_network_that_cannot_go_leaves_nothing(tmp_path: Path) -> None:
    """The op is named."""
    network = applying(("ResizeArea", {"align_corners": False}, [-1, [3, 4]]))
    with pytest.raises(UnsupportedGraphError, match="ResizeArea"):
        slim2keras.deploy(model_of(network), tmp_path / "m.keras", KERAS_3)
    assert not [*tmp_path.iterdir()]


def test_a_call_of_an_op_that_cannot_be_is_named(tmp_path: Path) -> None:
    """By its layer, and not by the traceback of the process that runs the file."""
    backwards = ("StridedSlice", {"begin_mask": 13, "end_mask": 13}, [-1, [0, 3, 0, 0], [0, 1, 0, 0], [1, -1, 1, 1]])
    network = applying(backwards, ("Mean", {}, [0, [1, 2]]))
    with pytest.raises(UnsupportedGraphError, match=r"^net/op0: StridedSlice is not possible in Keras 3: it goes back"):
        slim2keras.deploy(model_of(network), tmp_path / "m.keras", KERAS_3)
    assert not [*tmp_path.iterdir()]
    assert keras.config.is_traceback_filtering_enabled()


def test_a_backend_that_is_not_there_is_named(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that names it."""
    # As an interpreter without PyTorch finds it.
    monkeypatch.setattr(ways, "require", lambda *_: None)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtraError, match=r"KERAS_BACKEND.*Install it"):
        slim2keras.deploy(model, tmp_path / "m.keras", KERAS_3)
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("here")
def test_a_folded_model_goes_too(model: Any, tmp_path: Path) -> None:
    """Without BatchNorm, and judged by the model that has it."""
    report = slim2keras.deploy(model, tmp_path / "m.keras", DeploymentOptions(keras=3, fold_batch_norm=True))
    kinds = {type(layer).__name__ for layer in keras.models.load_model(tmp_path / "m.keras").layers}
    assert "BatchNormalization" not in kinds
    assert report.proof.largest_difference <= 1e-5


def test_a_full_disk_leaves_nothing(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither file nor report."""

    def full(model: keras.Model, draft: Path) -> None:
        draft.write_bytes(b"the first half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras3_file, "_save", full)
    with pytest.raises(NoSpaceError):
        slim2keras.deploy(model, tmp_path / "m.keras", KERAS_3)
    assert not [*tmp_path.iterdir()]


def test_keras_3_has_one_format(model: Any, tmp_path: Path) -> None:
    """Before any work is done."""
    with pytest.raises(UnsupportedArgumentError, match=r"ends in \.keras"):
        slim2keras.deploy(model, tmp_path / "m.h5", KERAS_3)
