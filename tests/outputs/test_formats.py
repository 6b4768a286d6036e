"""The name of a file decides about its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.errors import OutputError
from slim2keras.outputs.formats import OutputFormat, output_format
from tests.reference import convert_small


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.keras", OutputFormat.KERAS),
        ("a.h5", OutputFormat.H5),
        ("a.weights.h5", OutputFormat.WEIGHTS),
        ("a", OutputFormat.SAVED_MODEL),
        ("resnet_v1.5", OutputFormat.SAVED_MODEL),
    ],
)
def test_the_suffix_decides_about_the_format(name: str, expected: OutputFormat) -> None:
    """A name with a dot that is no suffix is a SavedModel's directory."""
    assert output_format(Path(name)) is expected


@pytest.mark.parametrize("name", ["model.pb", "model.hdf5", "model.tflit", "model.json"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, small_checkpoint: Path, name: str) -> None:
    """Nothing is written in a format that nobody asked for."""
    with pytest.raises(OutputError, match="unknown format"):
        convert_small(small_checkpoint, tmp_path / name)
