"""Networks of nobody's zoo on the command line: by graph, by function, and what is wrong with either."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slim2keras.errors import ExitStatus
from tests.cli.running import fails, ok
from tests.conftest import made_once
from tests.conversion.own_graphs import SHAPE, OwnFiles, own_files, write_own

SIZE = ",".join(map(str, SHAPE))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnFiles:
    """Files of a network of nobody's zoo."""
    return own_files(made_once(tmp_path_factory, "own_graphs", write_own))


def test_convert_says_that_the_graph_beside_was_taken(own: OwnFiles, tmp_path: Path) -> None:
    """With inputs and outputs, as a report and as a dry run."""
    for arguments in (("-o", tmp_path / "own.keras"), ("--dry-run",)):
        text = ok("convert", own.checkpoint, *arguments)
        assert "input 12 x 10 x 3 (from the .meta)" in text
        assert "pictures -> Own/logits/BiasAdd" in text
        assert "remark: No network of slim's zoo fits: the graph beside the checkpoint was taken" in text


@pytest.mark.parametrize("name", ["frozen", "saved_model"])
def test_convert_takes_a_graph_that_is_all_there_is(own: OwnFiles, tmp_path: Path, name: str) -> None:
    """A frozen one, or a SavedModel."""
    report = json.loads(ok("convert", getattr(own, name), "-o", tmp_path / "own.weights.h5", "--json"))
    assert report["imported"]["kind"] == name.replace("_", " ").replace("frozen", "frozen graph")


def test_convert_takes_the_ends_and_placeholders_that_it_is_told(own: OwnFiles) -> None:
    """Repeatable, with and without ``:0``."""
    ends = ("--input-tensor", "pictures:0", "--output-tensor", "Own/first/Relu", "--output-tensor", "pool:0")
    facts = json.loads(ok("convert", own.checkpoint, "--graph", f"{own.checkpoint}.meta", *ends, "--dry-run", "--json"))
    assert facts["imported"]["output_tensors"] == ["Own/first/Relu", "pool"]
    assert facts["left_out"]["outside of the network's part"] == 2


def test_convert_takes_a_function_of_a_file(own: OwnFiles, tmp_path: Path) -> None:
    """Written for TensorFlow 1, with its further arguments."""
    function = ("--network", f"{own.source}:network", "--input-shape", SIZE)
    text = ok("convert", own.checkpoint, "-o", tmp_path / "own.keras", *function, "--set", "classes=3")
    assert "BatchNorm decay 0.93 (from the graph)" in text
    fails(
        ExitStatus.MISMATCH,
        "~ Own/logits/weights",
        "convert",
        own.checkpoint,
        "--dry-run",
        *function,
        "--set",
        "classes=4",
    )
    fails(ExitStatus.USAGE, "no argument width", "convert", own.checkpoint, "--dry-run", *function, "--set", "width=4")
    fails(
        ExitStatus.USAGE,
        r"own.py:9: ValueError: as asked",
        *("convert", own.checkpoint, "--dry-run", *function, "--set", "fails=true"),
    )


def test_verify_judges_by_the_function(own: OwnFiles) -> None:
    """Converted by it, too."""
    assert "output" in ok(
        "verify", own.checkpoint, "--network", f"{own.source}:network", "--input-shape", SIZE, "--all"
    )


def test_doctor_and_recalibrate_take_an_imported_network(own: OwnFiles, tmp_path: Path) -> None:
    """Each by the graph beside, and by its function."""
    np.savez(tmp_path / "images.npz", images=np.random.RandomState(0).normal(size=(40, *SHAPE)).astype("float32"))
    data = ("--data", tmp_path / "images.npz")
    function = ("--network", f"{own.source}:network", "--input-shape", SIZE)
    for number, arguments in enumerate(((), function)):
        output = tmp_path / f"repaired{number}.ckpt"
        ok("recalibrate", own.checkpoint, *data, "-o", output, *arguments)
        diagnosis = json.loads(ok("doctor", output, *data, "--json", *(function or ())))
        assert diagnosis["gap"]["images"] == 40


@pytest.mark.parametrize(
    ("status", "message", "arguments"),
    [
        (ExitStatus.UNREADABLE, "There is no graph nowhere.meta", ("--graph", "nowhere.meta")),
        (ExitStatus.USAGE, "--placeholder must be NAME=VALUE. Received: --placeholder a", ("--placeholder", "a")),
        (ExitStatus.USAGE, "leave net out", ("--net", "lenet", "--output-tensor", "a")),
        (ExitStatus.USAGE, "leave num_classes out", ("--num-classes", "3", "--input-tensor", "a")),
        (ExitStatus.USAGE, "must be package.module:function", ("--network", "own.py", "--input-shape", SIZE)),
        (ExitStatus.USAGE, "There is no file nowhere.py", ("--network", "nowhere.py:f", "--input-shape", SIZE)),
        (ExitStatus.USAGE, "give input_shape=", ("--network", "json:loads")),
        (ExitStatus.MISMATCH, "Own/frist", ("--output-tensor", "Own/frist")),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    own: OwnFiles, status: ExitStatus, message: str, arguments: tuple[str, ...]
) -> None:
    """With the exit code that is documented for it."""
    fails(status, message, "convert", own.checkpoint, "--dry-run", *arguments)


@pytest.mark.parametrize("damage", ["empty", "random", "truncated", "text"])
def test_a_corrupt_graph_is_unreadable(own: OwnFiles, tmp_path: Path, damage: str) -> None:
    """Given by name, or as all there is; beside an unknown network it is a mismatch that tells both."""
    whole = own.frozen.read_bytes()
    content = {
        "empty": b"",
        "random": bytes(range(256)) * 9,
        "truncated": whole[: len(whole) // 2],
        "text": b"dear diary",
    }
    (tmp_path / "corrupt.pb").write_bytes(content[damage])
    fails(ExitStatus.UNREADABLE, "corrupt.pb is (no graph|truncated)", "convert", tmp_path / "corrupt.pb", "--dry-run")
    fails(
        ExitStatus.UNREADABLE,
        "corrupt.pb is (no graph|truncated)",
        *("convert", own.checkpoint, "--graph", tmp_path / "corrupt.pb", "--dry-run"),
    )
    for path in own.checkpoint.parent.glob("model.ckpt-7.[di]*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "model.ckpt-7.meta").write_bytes(content[damage])
    fails(
        ExitStatus.MISMATCH,
        r"is not a network that slim2keras knows(.|\n)*model.ckpt-7.meta is (no graph|truncated)",
        *("convert", tmp_path / "model.ckpt-7", "--dry-run"),
    )


def test_help_names_the_options_without_tensorflow() -> None:
    """It answers at once."""
    code = (
        "import sys; from slim2keras.cli import main; sys.argv = ['slim2keras', 'convert', '--help']\n"
        "try:\n main()\nexcept SystemExit:\n print('tensorflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in out for name in ("--graph", "--input-tensor", "--output-tensor", "--placeholder", "--network"))
    assert out.rstrip().endswith("False")
