"""The name of a file decides about its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.errors import OutputError
from slim2keras.outputs.formats import OutputFormat, check_target, output_format
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


def test_a_format_that_is_nearly_meant_is_offered_if_it_can_be_written(tmp_path: Path) -> None:
    """Capitals are a slip too; nobody is sent to a format that is refused next."""
    with pytest.raises(OutputError, match=r"unknown format: \.TFLITE\. Did you mean m\.tflite\? Give a name"):
        output_format(tmp_path / "m.TFLITE")
    with pytest.raises(OutputError, match=r"unknown format: \.tfl\. Did you mean m\.tflite\? Give a name"):
        output_format(tmp_path / "m.tfl")
    with pytest.raises(OutputError, match=r"unknown format: \.tflit\. Did you mean m\.tflite\? Give a name"):
        output_format(tmp_path / "m.tflit")
    with pytest.raises(OutputError, match=r"unknown format: \.PTH\. Give a name"):
        output_format(tmp_path / "m.PTH")


def test_a_saved_model_takes_no_files_place(tmp_path: Path) -> None:
    """Before any work is done: a directory cannot replace a file in one step."""
    (tmp_path / "model").write_text("precious")
    with pytest.raises(OutputError, match="is a file, and a SavedModel is a directory"):
        check_target(tmp_path / "model", overwrite=True)
