"""``slim2keras convert``: what it writes, prints and takes."""

from __future__ import annotations

import json
import os
import signal
import tarfile
import time
from pathlib import Path

import pytest

from slim2keras.errors import ExitStatus
from slim2keras.nets.spec import NetSpec
from slim2keras.scopes import ema_name
from tests.cli.running import LOGITS, SHAPE, fails, ok, spawn
from tests.reference import SMALL_NET, small_values, values_of, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_convert_takes_the_size_of_the_meta_and_prints_it(
    tmp_path: Path, grey_checkpoint: Path, small_checkpoint: Path
) -> None:
    """Nobody gets a model of another size than trained without being told."""
    dry = ("--dry-run", "--input-shape", "64,None,1")
    assert "input 96 x 96 x 1 (from the .meta)" in ok("convert", grey_checkpoint, "--dry-run")
    assert "input 64 x open x 1 (given)" in ok("convert", grey_checkpoint, *dry)
    text = ok("convert", small_checkpoint, "--dry-run")
    assert "input 224 x 224 x 3 (default)\nremark: the checkpoint does not tell the size" in text
    output = tmp_path / "grey.weights.h5"
    assert "input 96 x 96 x 1 (from the .meta)" in ok("convert", grey_checkpoint, "-o", output)
    report = json.loads(Path(f"{output}.json").read_text())
    assert (report["input_shape"], report["input_shape_source"]) == ([96, 96, 1], "from the .meta")


def test_a_broken_meta_is_no_reason_not_to_convert(own_checkpoint: Path) -> None:
    """Its size and decay are unknown then, and ``inspect`` says why."""
    Path(f"{own_checkpoint}.meta").write_bytes(b"\xff\xfe not a graph")
    text = ok("inspect", own_checkpoint)
    assert "224 x 224 x 3 (default)" in text
    assert "cannot be read: size and decay are not from it" in text
    assert "is no graph" in json.loads(ok("inspect", own_checkpoint, "--json"))["meta_error"]
    assert "input 224 x 224 x 3 (default)" in ok("convert", own_checkpoint, "--dry-run")


def test_convert_writes_a_model_and_a_report(tmp_path: Path, small_checkpoint: Path) -> None:
    """The output says what was found, loaded and left out."""
    output = tmp_path / "model.weights.h5"
    text = ok("convert", small_checkpoint, "-o", output, "--input-shape", SHAPE)
    assert SMALL_NET in text
    assert "267 variables" in text
    assert "Not loaded: 1 step counter" in text
    assert output.is_file()
    assert json.loads(Path(f"{output}.json").read_text())["net"] == SMALL_NET


@pytest.mark.parametrize(("name", "is_told"), [("lenet.keras", True), ("lenet.weights.h5", False)])
def test_convert_says_how_to_load_what_it_wrote(tmp_path: Path, name: str, is_told: bool) -> None:
    """Keras 3's ``load_model`` fails on it; weights alone are not loaded like that."""
    import tensorflow as tf
    import tf_keras

    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    text = ok("convert", checkpoint, "-o", tmp_path / name)
    assert ("Load it with tf_keras.models.load_model; tf.keras" in text) is is_told
    if is_told:
        tf_keras.models.load_model(tmp_path / name)
        with pytest.raises(TypeError, match="Could not locate class"):
            tf.keras.models.load_model(tmp_path / name)


def test_convert_takes_an_archive_and_prints_json(tmp_path: Path, small_checkpoint: Path) -> None:
    """A ``.tar.gz`` converts as it was downloaded, and the report names it."""
    archive = tmp_path / "net.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in small_checkpoint.parent.glob("model.ckpt-5000*"):
            tar.add(path, path.name)
    report = json.loads(ok("convert", archive, tmp_path / "model.weights.h5", "--input-shape", SHAPE, "--json"))
    assert report["source"]["files"][0]["path"] == str(archive)
    assert report["largest_difference"] == 0.0


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path, small_checkpoint: Path) -> None:
    """In words and as JSON: what would be loaded and what would start afresh."""
    arguments = ("convert", small_checkpoint, "--dry-run", "--exclude", LOGITS, "--num-classes", 3)
    text = ok(*arguments)
    assert f"Started afresh: {LOGITS}/weights, {LOGITS}/biases" in text
    assert "265 variables would be loaded" in text
    plan = json.loads(ok(*arguments, "--json"))
    assert plan["arguments"]["num_classes"] == 3
    assert len(plan["load"]) == 265
    assert not list(tmp_path.iterdir())


def test_any_slim_argument_can_be_set(small_checkpoint: Path) -> None:
    """``--set`` takes numbers and booleans in either case."""
    settings = ("--set", "output_stride=16", "--set", "global_pool=false", "--set", "spatial_squeeze=False")
    plan = json.loads(ok("convert", small_checkpoint, "--dry-run", "--json", *settings, "--input-shape", "None,None,3"))
    assert plan["arguments"]["output_stride"] == 16
    assert plan["arguments"]["global_pool"] is False
    assert plan["input_shape"] == [None, None, 3]


def test_ema_is_converted_on_request(tmp_path: Path) -> None:
    """``--use-ema`` plans to load every variable from its shadow."""
    values = small_values()
    path = write_checkpoint(tmp_path / "m.ckpt", {**values, **{ema_name(n): a * 2 for n, a in values.items()}})
    plan = json.loads(ok("convert", path, "--dry-run", "--use-ema", "--json"))
    assert plan["load"][f"{LOGITS}/weights"] == ema_name(f"{LOGITS}/weights")
    assert plan["raw_statistics"] == []


def test_statistics_without_shadow_are_mentioned(tmp_path: Path) -> None:
    """Nobody takes raw statistics for averaged ones."""
    values = small_values()
    shadows = {ema_name(name): array for name, array in values.items() if "moving_" not in name}
    path = write_checkpoint(tmp_path / "m.ckpt", {**values, **shadows})
    text = ok("convert", path, "--use-ema", "-o", tmp_path / "m.weights.h5")
    assert "Without EMA shadow, taken as they are: 106 moving statistics" in text


HELD = """
import time
from slim2keras.conversion import converting
write = converting.write_and_read_back
def write_and_hold(*arguments):
    write(*arguments)
    time.sleep(120)
converting.write_and_read_back = write_and_hold
"""
"""A busy machine may not look for the draft before a conversion has ended, so one is held when it has written it."""


@pytest.mark.parametrize("signal_number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, small_checkpoint: Path, signal_number: int) -> None:
    """No draft stays behind, and the exit code is that of an interruption."""
    process = spawn("convert", small_checkpoint, "-o", tmp_path / "model.keras", before=HELD)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".*/model.keras")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal_number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == ExitStatus.INTERRUPTED, err
    assert "Interrupted; nothing was written" in err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_checks_the_target_and_shows_shapes(tmp_path: Path, small_checkpoint: Path) -> None:
    """As the run would: a target that exists is refused before, not after."""
    (tmp_path / "model.keras").write_text("precious")
    dry = ("convert", small_checkpoint, "--dry-run", "-o")
    fails(ExitStatus.USAGE, "exists already", *dry, tmp_path / "model.keras")
    assert f"{LOGITS}/weights   (1, 1, 256, 7)" in ok(*dry, tmp_path / "other.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
