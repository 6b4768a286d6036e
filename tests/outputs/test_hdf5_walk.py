"""HDF5 that ends the process that reads it is refused by one that lives on."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from slim2keras.errors import ModelReadError
from slim2keras.outputs.hdf5_walk import check_walk
from slim2keras.outputs.model_safety import check_weights_file

HEAP, MEMBER = b"FRHP", "model.weights.h5"


def write_many_groups(path: Path) -> bytearray:
    """As many as need a table of links, as the layers of a network do."""
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        for number in range(20):
            file.create_dataset(f"layers/conv2d_{number}/vars/0", data=np.ones(3, "float32"))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("place", [20, 60, 100])
def test_a_damaged_table_of_links_is_refused(tmp_path: Path, place: int) -> None:
    """HDF5 1.14.6 finds a checksum wrong, and writes where it may not."""
    path = tmp_path / "m.weights.h5"
    data = write_many_groups(path)
    check_weights_file(path)
    data[data.index(HEAP) + place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelReadError, match=r"m\.weights\.h5 cannot be loaded"):
        check_weights_file(path)


def test_a_member_of_a_zip_is_walked_as_a_file_is(tmp_path: Path) -> None:
    """Stored as tf_keras does, and deflated."""
    data = write_many_groups(tmp_path / MEMBER)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "m.keras", "w", method) as archive:
            archive.writestr(MEMBER, bytes(data))
        check_walk(tmp_path / "m.keras", MEMBER)
