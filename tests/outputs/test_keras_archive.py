"""A ``.keras`` is the archive that tf_keras writes, laid so that it is read forwards."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import slim2keras
from slim2keras.models.building import build_model
from slim2keras.nets.spec import NetSpec
from slim2keras.outputs.formats import OutputFormat
from slim2keras.outputs.keras_archive import open_weights
from slim2keras.outputs.outline import outline_of_network
from slim2keras.outputs.writing import write_model
from tests.reference import SMALL_SHAPE, assign_values, small_spec, small_values


def test_the_archive_is_that_of_tf_keras(small_file: Path, tmp_path: Path) -> None:
    """The same members in the same order, none compressed, the same configuration and the same datasets."""
    model = build_model(small_spec())
    assign_values(model, small_values())
    model.save(tmp_path / "theirs.keras")
    with zipfile.ZipFile(small_file) as ours, zipfile.ZipFile(tmp_path / "theirs.keras") as theirs:
        assert ours.namelist() == theirs.namelist()
        assert {member.compress_type for member in ours.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(ours.read("config.json")) == json.loads(theirs.read("config.json"))
        assert json.loads(ours.read("metadata.json")).keys() == json.loads(theirs.read("metadata.json")).keys()
    stored, wanted = datasets(small_file), datasets(tmp_path / "theirs.keras")
    assert stored.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(stored[name], value)


def datasets(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with open_weights(path) as file:
        file.visititems(add)
    return found


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def test_tf_keras_reads_forwards(tmp_path: Path) -> None:
    """tf_keras gets its tensors in a few passes over the file; over one that it wrote itself it makes forty."""
    spec = NetSpec.make("resnet_v1_50", SMALL_SHAPE, {"num_classes": 3, "depth_multiplier": 0.5})
    values = {item.name: np.ones(item.shape, "float32") for item in spec.trace().variables()}
    outline = outline_of_network(spec)
    path = tmp_path / "model.keras"
    write_model(outline, ((name, values[name]) for name in outline.places), path, OutputFormat.KERAS)
    with CountingFile(path) as raw, zipfile.ZipFile(raw) as archive, archive.open("model.weights.h5") as member:
        with h5py.File(member, "r") as file:
            for place in outline.places.values():
                assert file[place][()].all()
        assert raw.count < 12 * path.stat().st_size


def test_weights_that_a_zip_cannot_address_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond four gigabytes a ``.keras`` is an error in words, and no file that cannot be read."""
    monkeypatch.setattr("slim2keras.outputs.keras_archive._LARGEST", 100_000)
    with pytest.raises(slim2keras.errors.OutputError, match=r"too large for a .keras file. Give a .weights.h5"):
        write_model(
            outline_of_network(small_spec()),
            small_values().items(),
            tmp_path / "x.keras",
            OutputFormat.KERAS,
        )
