"""Models that were converted are read again with what they were converted from."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from slim2keras.checkpoints.load_plan import LoadOptions, load_options_of
from slim2keras.conversion.reading import load_model
from slim2keras.errors import ModelReadError
from slim2keras.models.networks import network_of
from tests.reference import SHALLOW_NET, convert_small

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_a_model_file_knows_how_it_was_converted(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """What was excluded and the arguments are read back with it."""
    options = LoadOptions(exclude=(f"{SHALLOW_NET}/logits",))
    convert_small(shallow_checkpoint, tmp_path / "model.keras", arguments={"num_classes": 4}, load=options)
    loaded = load_model(tmp_path / "model.keras", shallow_checkpoint)
    assert load_options_of(loaded) == options
    assert network_of(loaded).arguments["num_classes"] == 4


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5"])
def test_a_damaged_model_file_is_refused(tmp_path: Path, shallow_checkpoint: Path, name: str) -> None:
    """Missing, cut or beside a report that is none: an error in words, never half a model."""
    with pytest.raises(ModelReadError, match="There is no model"):
        load_model(tmp_path / name, shallow_checkpoint)
    convert_small(shallow_checkpoint, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelReadError, match="cannot be loaded by tf_keras"):
            load_model(tmp_path / name, shallow_checkpoint)
    (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(ModelReadError, match="is not a report of slim2keras"):
        load_model(tmp_path / name, shallow_checkpoint)


def test_a_report_of_numbers_without_end_is_refused(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """JSON of Python has infinity, which is no count."""
    convert_small(shallow_checkpoint, tmp_path / "model.weights.h5")
    beside = tmp_path / "model.weights.h5.json"
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "input_shape": [float("inf"), 36, 3]}))
    with pytest.raises(ModelReadError, match="is not a report of slim2keras"):
        load_model(tmp_path / "model.weights.h5")


@pytest.mark.parametrize(
    ("writer", "said"), [("99.1.0", "tf_keras 99.1.0 wrote it, which is newer"), ("2.1.0", "corrupt")]
)
def test_a_file_of_a_newer_tf_keras_is_told(writer: str, said: str, tmp_path: Path, shallow_checkpoint: Path) -> None:
    """What it has that this one does not is no damage."""
    convert_small(shallow_checkpoint, tmp_path / "model.h5")
    beside = tmp_path / "model.h5.json"
    report = json.loads(beside.read_text())
    beside.write_text(json.dumps({**report, "versions": {**report["versions"], "tf_keras": writer}}))
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"sparse"', '"of_tomorrow"')
    with pytest.raises(ModelReadError, match=said):
        load_model(tmp_path / "model.h5")
