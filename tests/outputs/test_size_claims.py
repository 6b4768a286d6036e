"""A small file that says it is large is refused before anything takes the memory that it asks for."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tf_keras

import slim2keras
from slim2keras.checkpoints.tables import read_entries
from slim2keras.errors import ModelReadError
from slim2keras.files.output_files import report_path
from slim2keras.outputs.size_claims import AT_ONCE, check_heaps
from tests.checkpoints.test_claims import bundle_entry, edited, sizes
from tests.faults.samples import model
from tests.reference import first_quick
from tests.trainer.runs import write_network

pytestmark = pytest.mark.usefixtures("limited_memory")

LARGE = 2**31


def widened(config: dict[str, Any], units: int = LARGE) -> dict[str, Any]:
    """The configuration with so many classes."""
    dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
    dense["config"]["units"] = units
    return config


def rezipped(path: Path, edit: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Other contents of a zip's members, with checksums that are right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, edit(name, content))


def in_config(name: str, content: bytes, units: int = LARGE) -> bytes:
    return json.dumps(widened(json.loads(content), units)).encode() if name == "config.json" else content


def in_weights(name: str, content: bytes) -> bytes:
    if not name.endswith(".h5"):
        return content
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        claim(opened)
    return file.getvalue()


def claim(file: h5py.File) -> None:
    """Have a dataset say that it has 2**40 numbers, of which none is written."""
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.ndim == 2 else None
    )
    del file[found[0]]
    file.create_dataset(found[0], (2**20, 2**20), "float32", chunks=(1, 1024))


def in_hdf5(path: Path, *, config: bool) -> None:
    with h5py.File(path, "r+") as file:
        if config:
            file.attrs["model_config"] = json.dumps(widened(json.loads(file.attrs["model_config"])))
        else:
            claim(file)


def in_report(path: Path) -> None:
    report = json.loads(path.read_text())
    dense = next(layer for layer in report["graph"]["layers"] if layer["class_name"] == "Dense")
    dense["config"]["units"] = LARGE
    path.write_text(json.dumps(report))


CLAIMS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "configuration of a .keras": (".keras", lambda path: rezipped(path, in_config)),
    "weights of a .keras": (".keras", lambda path: rezipped(path, in_weights)),
    "configuration of an .h5": (".h5", lambda path: in_hdf5(path, config=True)),
    "weights of an .h5": (".h5", lambda path: in_hdf5(path, config=False)),
    "weights of a .weights.h5": (".weights.h5", lambda path: in_hdf5(path, config=False)),
    "report of a .weights.h5": (".weights.h5", lambda path: in_report(report_path(path))),
}


@pytest.mark.parametrize("where", CLAIMS)
def test_a_small_file_that_says_it_is_large_is_refused(tmp_path: Path, where: str) -> None:
    """With the name of the file, and what cannot be in it."""
    suffix, damage = CLAIMS[where]
    model(suffix)(tmp_path)
    path = tmp_path / f"tiny{suffix}"
    damage(path)
    with pytest.raises(ModelReadError, match=rf"tiny{suffix}.*the shape \(.*(not there|cannot hold)"):
        slim2keras.load_model(path)


@pytest.mark.parametrize("shape", first_quick((3, -1), (2**40,)))
def test_variables_of_a_saved_model_that_cannot_be_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """One of a negative size ends the process of whoever asks TensorFlow."""
    model("")(tmp_path)
    index = tmp_path / "tiny/variables/variables.index"
    key = next(key for key, _ in read_entries(index) if b"kernel" in key or b"layer_with_weights" in key)
    edited(index, bundle_entry, key, sizes(*shape))
    with pytest.raises(ModelReadError, match=r"tiny cannot be loaded.*is to have the shape"):
        slim2keras.load_model(tmp_path / "tiny")


@pytest.mark.parametrize(
    ("suffix", "compression"),
    [(".h5", zipfile.ZIP_STORED), (".keras", zipfile.ZIP_STORED), (".keras", zipfile.ZIP_DEFLATED)],
)
def test_a_heap_without_end_is_not_followed(tmp_path: Path, suffix: str, compression: int) -> None:
    """A block of zeros in the texts of HDF5, which its library follows for ever; a .keras has such texts of others."""
    path = tmp_path / f"tiny{suffix}"
    model(suffix)(tmp_path)
    if suffix == ".keras":
        rezipped(path, lambda name, content: with_a_text(content) if name.endswith(".h5") else content, compression)
    slim2keras.load_model(path)
    if suffix == ".keras":
        rezipped(path, lambda name, content: without_end(content) if name.endswith(".h5") else content, compression)
    else:
        path.write_bytes(without_end(path.read_bytes()))
    with pytest.raises(ModelReadError, match=r"heap at byte \d+ has no end"):
        slim2keras.load_model(path)


@pytest.mark.parametrize("before", range(AT_ONCE - 16, AT_ONCE + 2))
def test_a_heap_is_seen_wherever_it_begins(before: int) -> None:
    """Also where one part of the file ends, of those that are searched."""
    heap = b"GCOL\1\0\0\0" + (64).to_bytes(8, "little")
    whole = heap + struct.pack("<HHxxxxQ8s", 1, 1, 8, b"a") + struct.pack("<HHxxxxQ8x", 0, 0, 24)
    check_heaps(io.BytesIO(bytes(before) + whole))
    with pytest.raises(ValueError, match=f"heap at byte {before} has no end"):
        check_heaps(io.BytesIO(bytes(before) + heap + bytes(48)))


def without_end(content: bytes) -> bytes:
    heap = content.index(b"GCOL")
    return content[: heap + 16] + bytes(496) + content[heap + 512 :]


def with_a_text(content: bytes) -> bytes:
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        opened.attrs["text"] = "a"
    return file.getvalue()


def test_many_small_variables_are_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds for all of them together."""
    path = write_network(tmp_path / "tiny.keras")
    slim2keras.load_model(path)
    monkeypatch.setattr("slim2keras.outputs.size_claims.ALWAYS_ALLOWED", 500)
    monkeypatch.setattr("slim2keras.outputs.size_claims._MOST_PER_BYTE", 0)
    with pytest.raises(ModelReadError, match=r"tiny.keras is damaged.*cannot hold"):
        slim2keras.load_model(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_weights_of_zeros_are_loaded(tmp_path: Path, compression: str | None) -> None:
    """Also those that somebody compressed."""
    model(".weights.h5")(tmp_path)
    path = tmp_path / "tiny.weights.h5"
    with h5py.File(path, "r+") as file:
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in found:
            shape = file[name].shape
            del file[name]
            file.create_dataset(name, data=np.zeros(shape, "float32"), compression=compression)
    assert not any(variable.numpy().any() for variable in slim2keras.load_model(path).weights)


@pytest.fixture
def zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``.keras`` of 1 MiB of zeros, which take 2 KiB of it."""
    monkeypatch.setattr("slim2keras.outputs.size_claims.ALWAYS_ALLOWED", 0)
    path = tmp_path / "zeros.keras"
    dense = tf_keras.layers.Dense(512, kernel_initializer="zeros", name="dense")
    tf_keras.Sequential([tf_keras.Input((512,)), dense]).save(path)
    rezipped(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    return path


def test_zeros_that_were_deflated_are_loaded(zeros: Path) -> None:
    """However little of the file they are."""
    assert zeros.stat().st_size < 2**20 / 100
    assert not slim2keras.load_model(zeros).get_layer("dense").kernel.numpy().any()


@pytest.mark.parametrize("says", [None, 2**31])
def test_more_than_was_deflated_is_refused(zeros: Path, says: int | None) -> None:
    """Whatever size the zip gives for it."""
    rezipped(zeros, partial(in_config, units=2**12), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(zeros, "a") as archive:
        if says is not None:
            archive.getinfo("model.weights.h5").file_size = says
        archive.writestr("more", b"")  # with it the directory is written again
    with pytest.raises(ModelReadError, match=r"zeros.keras is damaged.*the shape \(512, 4096\).*cannot hold"):
        slim2keras.load_model(zeros)
