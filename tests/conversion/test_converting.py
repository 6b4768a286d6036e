"""Checkpoint to file: every format, read back bit for bit."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import slim2keras
from slim2keras.conversion import converting
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import CheckpointReadError, DataReadError, Slim2KerasError
from slim2keras.models import building
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.outputs import writing
from tests.reference import (
    SHALLOW_NET,
    SMALL_SHAPE,
    assign_values,
    convert_small,
    images,
    small_spec,
    small_values,
    value,
    write_checkpoint,
)

pytestmark = pytest.mark.usefixtures("shallow_resnets")


# tf_keras needs twenty seconds to trace a SavedModel, so most of its tests are among the slow ones.
SAVED_MODEL = pytest.param("model", marks=pytest.mark.slow)
OUTPUTS = ("model.keras", "model.h5", "model.weights.h5", SAVED_MODEL)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_every_format_gives_back_every_bit(tmp_path: Path, output: str, version: str) -> None:
    """Of either version of checkpoint."""
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", small_values(SHALLOW_NET), version)
    report = convert_small(checkpoint, tmp_path / output)
    assert report.largest_difference == 0.0
    loaded = load_model(tmp_path / output, checkpoint)
    assert len(slim_variables(loaded)) == report.variables["network"]
    for name, variable in slim_variables(loaded).items():
        np.testing.assert_array_equal(variable.numpy(), value(name, tuple(variable.shape)))


@pytest.mark.parametrize(
    "outputs", [("model.keras", "model.h5"), pytest.param(("model",), marks=pytest.mark.slow)], ids=["files", "model"]
)
def test_files_load_without_slim2keras(tmp_path: Path, shallow_checkpoint: Path, outputs: tuple[str, ...]) -> None:
    """In a process that cannot import slim2keras, a model gives the same numbers."""
    for output in outputs:
        convert_small(shallow_checkpoint, tmp_path / output)
    batch = images(3, (2, *SMALL_SHAPE))
    np.save(tmp_path / "images.npy", batch)
    code = (
        "import sys; sys.modules['slim2keras'] = None; import numpy, tf_keras\n"
        "_, images, *paths = sys.argv\n"
        "for path in paths:\n"
        "    model = tf_keras.models.load_model(path)\n"
        "    numpy.save(f'{path}.npy', model(numpy.load(images), training=False))"
    )
    arguments = [str(tmp_path / name) for name in ("images.npy", *outputs)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    model = build_model(small_spec(SHALLOW_NET))
    assign_values(model, small_values(SHALLOW_NET))
    for output in outputs:
        np.testing.assert_array_equal(np.load(tmp_path / f"{output}.npy"), model(batch, training=False).numpy())


def test_names_of_classes_that_the_network_has_not_are_refused(tmp_path: Path, small_checkpoint: Path) -> None:
    """As they are wherever names are given: the report would have lost them without a word."""
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{number}:kind {number}\n" for number in range(2000)))
    with pytest.raises(DataReadError, match=r"numbers beyond the .* classes of the network: kind "):
        convert_to_file(
            small_checkpoint, tmp_path / "m.weights.h5", CheckpointRequest(input_shape=SMALL_SHAPE), labels=labels
        )
    assert [path.name for path in tmp_path.glob("m.*")] == []


def test_a_tensor_that_changed_on_the_way_is_noticed(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit that is off in the written file ends the conversion, and nothing is left."""
    write = writing.write_weights

    def one_bit_wrong(model: Any, values: Any, path: Path) -> None:
        write(model, values, path)
        with h5py.File(path, "r+") as file:
            dataset = file["layers/conv2d_3/vars/0"]
            dataset[0, 0, 0, 0] = np.nextafter(dataset[0, 0, 0, 0], np.float32(2))

    monkeypatch.setattr(writing, "write_weights", one_bit_wrong)
    with pytest.raises(Slim2KerasError, match="1 of 267 tensors differ when read back"):
        convert_small(small_checkpoint, tmp_path / "model.weights.h5")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_breaks_while_it_is_read_leaves_nothing(tmp_path: Path, own_checkpoint: Path) -> None:
    """The variable that is corrupt is named."""
    data = Path(f"{own_checkpoint}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(bytes(content))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointReadError, match="is corrupt at resnet_v1_50/"):
        convert_small(own_checkpoint, tmp_path / "model.keras")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("output", ["model.keras", "model.weights.h5"])
def test_a_conversion_builds_no_model(
    output: str, tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values go from file to file: no layer is called, and no variable is made."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a layer was called")

    monkeypatch.setattr(tf_keras.layers.Layer, "__call__", refuse)
    monkeypatch.setattr(tf, "Variable", refuse)
    report = convert_to_file(small_checkpoint, tmp_path / output, CheckpointRequest(input_shape=SMALL_SHAPE))
    assert report.largest_difference == 0.0
    assert sorted(path.name for path in tmp_path.iterdir()) == [output, f"{output}.json"]


def test_excluded_scopes_start_with_slims_initializers(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """Where a value is not in the checkpoint a model is built for it, and what it drew is in the file."""
    drawn = []
    build = building.build_model
    options = slim2keras.checkpoints.load_plan.LoadOptions(exclude=[f"{SHALLOW_NET}/logits"])
    request = CheckpointRequest(input_shape=SMALL_SHAPE, load=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "slim2keras.conversion.converting.build_model", lambda spec: drawn.append(build(spec)) or drawn[0]
        )
        convert_to_file(shallow_checkpoint, tmp_path / "model.keras", request)
    fresh, loaded = (
        slim_variables(model)[f"{SHALLOW_NET}/logits/weights"].numpy()
        for model in (drawn[0], slim2keras.load_model(tmp_path / "model.keras"))
    )
    assert fresh.any()
    np.testing.assert_array_equal(loaded, fresh)


def rewritten(prefix: Path) -> None:
    """In its place, to the same length."""
    data = Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)


def replaced(prefix: Path) -> None:
    """By another one, in one step, as ``Saver`` does."""
    other = write_checkpoint(prefix.with_name("other"), small_values())
    Path(f"{other}.index").replace(f"{prefix}.index")


def removed(prefix: Path) -> None:
    """As by a training that keeps its last five."""
    Path(f"{prefix}.data-00000-of-00001").unlink()


@pytest.mark.parametrize("change", [rewritten, replaced, removed])
@pytest.mark.parametrize("moment", ["planned_values", "write_and_read_back"])
def test_a_checkpoint_that_changes_while_it_is_read_is_refused(
    own_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, moment: str
) -> None:
    """Before its values are read or after: the SHA-256 in a report is that of what was read."""
    before = getattr(converting, moment)

    def changing(*arguments: Any, **options: Any) -> Any:
        change(own_checkpoint)
        return before(*arguments, **options)

    monkeypatch.setattr(converting, moment, changing)
    with pytest.raises(CheckpointReadError, match=r"while it was read|is corrupt"):
        convert_small(own_checkpoint, tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()


def test_an_archive_that_changes_while_it_is_read_is_refused(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unpacked first and hashed later."""
    archive, before = tmp_path / "net.tar.gz", converting.planned_values
    with tarfile.open(archive, "w:gz") as file:
        file.add(small_checkpoint.parent, "small")

    def changing(*arguments: Any, **options: Any) -> Any:
        archive.write_bytes(archive.read_bytes())
        return before(*arguments, **options)

    monkeypatch.setattr(converting, "planned_values", changing)
    with pytest.raises(CheckpointReadError, match=r"net\.tar\.gz changed while it was read"):
        convert_small(archive, tmp_path / "model.keras")
    with pytest.raises(CheckpointReadError, match=r"net\.tar\.gz changed while it was read"):
        slim2keras.convert(archive, input_shape=SMALL_SHAPE)
