"""A damaged file is told by the report beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import ExitStatus, ModelReadError, ParityError
from slim2keras.files.output_files import sha256, sha256_of_files
from tests.cli.running import Result, ok
from tests.files.half_moved import half_move
from tests.reference import SHALLOW_NET, convert_small, first_quick

pytestmark = pytest.mark.usefixtures("shallow_resnets")


@pytest.mark.parametrize("name", first_quick("model.h5", "model.keras", "model.weights.h5"))
def test_a_flipped_bit_is_told(tmp_path: Path, shallow_checkpoint: Path, name: str) -> None:
    """Of a weight, by its name, in a file that loads without complaint."""
    path = tmp_path / name
    convert_small(shallow_checkpoint, path)
    assert "is what was written" in ok("verify", path)
    weights = slim2keras.load_model(path).get_layer(f"{SHALLOW_NET}/conv1").kernel.numpy()
    data = bytearray(path.read_bytes())
    place = data.find(np.ascontiguousarray(weights).tobytes()[:64])
    assert place > 0
    data[place + 5] ^= 1
    path.write_bytes(data)
    found = Result("verify", path)
    if found.status != ExitStatus.UNREADABLE:  # a .keras has a checksum of its own
        assert found.status == ExitStatus.PARITY
        assert f"{SHALLOW_NET}/conv1/weights" in " ".join(found.out.split())
        with pytest.raises(ParityError, match="1 differ"):
            slim2keras.verify_file(path).raise_if_failed()


@pytest.mark.parametrize("name", first_quick("model.h5", "model.keras", "model.weights.h5", "model"))
def test_a_bit_is_told_wherever_it_lies(tmp_path: Path, shallow_checkpoint: Path, name: str) -> None:
    """Also where nobody reads it: what differs is not what was written."""
    path = tmp_path / name
    convert_small(shallow_checkpoint, path)
    for file in [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]:
        good = file.read_bytes()
        for place in np.random.RandomState(0).randint(0, len(good), 2):
            data = bytearray(good)
            data[place] ^= 4
            file.write_bytes(data)
            assert Result("verify", path).status in (ExitStatus.PARITY, ExitStatus.UNREADABLE)
        file.write_bytes(good)
    slim2keras.verify_file(path).raise_if_failed()


def test_a_file_that_was_replaced_half_way_is_whole_before_it_is_read(tmp_path: Path) -> None:
    """The one who replaced it was killed when its new report was there."""
    path, beside = tmp_path / "out.tflite", tmp_path / "out.tflite.json"
    path.write_bytes(b"new")
    beside.write_text(json.dumps({"output": {"sha256": sha256(path)}}))
    half_move(path, beside)
    path.write_bytes(b"old")
    slim2keras.verify_file(path).raise_if_failed()
    assert path.read_bytes() == b"new"


def test_what_says_nothing_is_told(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """No report beside the file, one that is none, and one of a version that had no checksums."""
    path = tmp_path / "model.h5"
    convert_small(shallow_checkpoint, path)
    beside = tmp_path / "model.h5.json"
    report = json.loads(beside.read_text())
    del report["tensors"], report["output"]["sha256"]
    for text, message in ((json.dumps(report), "no checksums"), ("[]", "cannot be read"), ("{", "cannot be read")):
        beside.write_text(text)
        with pytest.raises(ModelReadError, match=message):
            slim2keras.verify_file(path)
    beside.unlink()
    with pytest.raises(ModelReadError, match=r"There is no .*model\.h5\.json"):
        slim2keras.verify_file(path)


def test_a_directory_is_compared_file_by_file(tmp_path: Path) -> None:
    """A SavedModel for serving has no tensors that could be read again: any file that is another is told."""
    served = tmp_path / "served"
    (served / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/a", "variables/b"):
        (served / name).write_text(name)
    (tmp_path / "served.json").write_text(json.dumps({"output": {"files": sha256_of_files(served)}}))
    assert slim2keras.verify_file(served).summary() == f"{served} is what was written: 3 files"
    (served / "variables/a").write_text("another")
    (served / "variables/b").rename(served / "new")
    assert slim2keras.verify_file(served).differing == ["new", "variables/a", "variables/b"]


def test_what_tf_keras_cannot_load_is_not_to_be_compared_with_a_checkpoint(tmp_path: Path) -> None:
    """Advice that the command would refuse next is none."""
    path = tmp_path / "m.tflite"
    path.write_bytes(b"a model")
    with pytest.raises(ModelReadError, match=r"There is no .*m\.tflite\.json.* Convert again\.$"):
        slim2keras.verify_file(path)
    (tmp_path / "m.tflite.json").write_text("{}")
    with pytest.raises(ModelReadError, match=r"no checksums.* Convert again\.$"):
        slim2keras.verify_file(path)
