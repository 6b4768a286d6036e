"""``slim2keras doctor`` and ``recalibrate``: diagnosis, repair and diagnosis again."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from slim2keras.errors import ExitStatus
from tests.cli.running import SHAPE, Result, fails, ok
from tests.data.files import example, png, write_records
from tests.reference import SHALLOW_NET, SMALL_NET, small_values, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def never_updated(directory: Path, net: str = SMALL_NET) -> Path:
    """The small network after 5000 steps without update ops."""
    initial = {"moving_mean": 0.0, "moving_variance": 1.0}
    values = {
        name: np.full_like(value, initial.get(name.rpartition("/")[2], value))
        for name, value in small_values(net).items()
    }
    return write_checkpoint(directory / "model.ckpt-5000", {**values, "global_step": np.int64(5000)})


def test_the_doctor_exits_with_4_for_a_sick_checkpoint(tmp_path: Path) -> None:
    """The verdict comes first, with the command that repairs; JSON says the same."""
    result = Result("doctor", never_updated(tmp_path))
    assert result.status == ExitStatus.SICK
    assert result.out.startswith("pit one: ")
    assert "run `slim2keras recalibrate`" in result.out
    assert not result.err
    found = Result("doctor", tmp_path, "--json")
    assert found.status == ExitStatus.SICK
    assert json.loads(found.out)["healthy"] is False


def test_the_doctor_says_where_the_decay_is_from(tmp_path: Path) -> None:
    """Given, of the network, or unknown and asked for."""
    values = {"net/moving_mean": np.ones(4, "float32"), "net/moving_variance": np.full(4, 2.0, "float32")}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {**values, "global_step": np.int64(200)})
    assert "without the decay (--decay)" in ok("doctor", checkpoint)
    assert "decay 0.9 (given), fast enough for 200 steps" in ok("doctor", checkpoint, "--decay", 0.9)
    result = Result("doctor", checkpoint, "--net", "inception_v3")
    assert result.status == ExitStatus.SICK
    assert result.out.startswith("pit two: 1 of 1 layers was left behind: after 200 steps at decay 0.9997, 94% ")
    assert "decay 0.9997 (the default of inception_v3), slow for 200 steps; 0.955" in result.out


def test_a_picture_needs_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shallow_checkpoint: Path, images_file: Path
) -> None:
    """Which is told before any work is done, and with the line that installs it."""
    for name in {"matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "slim2keras.doctor.plots", raising=False)
    asked = ("doctor", shallow_checkpoint, "--data", images_file, "--plot", tmp_path / "drift.png")
    fails(ExitStatus.USAGE, r"pip install 'slim2keras\[plots\]'", *asked)


def test_diagnosis_picture_repair_and_diagnosis_again(tmp_path: Path, images_file: Path) -> None:
    """What the doctor found sick, ``recalibrate`` mends, and both measure the same."""
    checkpoint = never_updated(tmp_path, SHALLOW_NET)
    data = ("--data", images_file, "--input-shape", SHAPE, "--batch-size", 6)
    result = Result("doctor", checkpoint, *data, "--plot", tmp_path / "drift.png")
    assert result.status == ExitStatus.SICK
    assert "on the data: accuracy " in result.out
    assert f"Written: {tmp_path / 'drift.png'}" in result.out
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
    text = ok("recalibrate", checkpoint, *data, "-o", tmp_path / "well.ckpt-5000")
    assert re.search(r"before: accuracy .*\nafter:  accuracy .*\nfurthest off: ", text)
    report = json.loads((tmp_path / "well.ckpt-5000.json").read_text())
    assert report["after"]["images"] == 12
    assert "remark: the statistics were recalibrated from 12 images" in ok("doctor", tmp_path / "well.ckpt-5000")
    out = ok("recalibrate", checkpoint, *data, "-o", tmp_path / "well.keras", "--sequential", "--json")
    assert json.loads(out)["before"] == pytest.approx(report["before"])


def test_doctor_and_recalibrate_refuse(tmp_path: Path, shallow_checkpoint: Path, images_file: Path) -> None:
    """Wrong targets, numbers and data end with the exit code of their kind, and nothing is written."""
    out = tmp_path / "out.ckpt"
    (tmp_path / "mine.png").write_text("mine")
    fails(ExitStatus.USAGE, "give --data too", "doctor", shallow_checkpoint, "--plot", out)
    fails(ExitStatus.USAGE, "not the name", "doctor", shallow_checkpoint, "--data", images_file, "--plot", out)
    mine = tmp_path / "mine.png"
    fails(ExitStatus.USAGE, "exists", "doctor", shallow_checkpoint, "--data", images_file, "--plot", mine)
    fails(ExitStatus.USAGE, "decay must be", "doctor", shallow_checkpoint, "--decay", 2)
    fails(ExitStatus.UNREADABLE, "nowhere", "doctor", tmp_path / "nowhere")
    fails(ExitStatus.UNREADABLE, "no images", "doctor", shallow_checkpoint, "--data", tmp_path / "nowhere")
    recalibrate = ("recalibrate", shallow_checkpoint, "-o", out, "--data")
    fails(ExitStatus.UNREADABLE, "no images", *recalibrate, tmp_path / "nowhere")
    fails(ExitStatus.UNREADABLE, r"but mine\.png|cannot be read", *recalibrate, tmp_path)
    fails(ExitStatus.UNREADABLE, "--input-shape H,W,C", *recalibrate, images_file, "--input-shape", "64,64,3")
    fails(
        ExitStatus.USAGE,
        "leave it or decay",
        *recalibrate,
        images_file,
        "--input-shape",
        SHAPE,
        "--sequential",
        "--decay",
        1,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_the_doctor_needs_no_network_it_knows(tmp_path: Path, images_file: Path) -> None:
    """Statistics of any network are looked at; images are of use to known ones alone."""
    values = {"mine/bn/moving_mean": np.ones(4, "float32"), "mine/bn/moving_variance": np.full(4, 2.0, "float32")}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values)
    assert "healthy: nothing wrong is seen in the statistics of the only layer" in ok("doctor", checkpoint)
    fails(ExitStatus.MISMATCH, "not a network that", "doctor", checkpoint, "--data", images_file)


def test_a_wrong_number_of_channels_is_told_as_such(small_checkpoint: Path, images_file: Path) -> None:
    """And not as a layer to exclude, which ``doctor`` cannot."""
    data = ("--data", images_file, "--input-shape", "33,36,1")
    result = Result("doctor", small_checkpoint, *data)
    assert result.status == ExitStatus.MISMATCH
    assert "The checkpoint takes images of 3 channels, and 1 were asked for" in result.err
    assert "--input-shape 33,36,3" in result.err
    assert "--exclude" not in result.err


def test_the_doctor_reads_what_keras_saved(tuned_file: Path, tmp_path: Path) -> None:
    """A network without BatchNorm is healthy; a checkpoint's name that is none names the command that makes one."""
    assert "has no BatchNorm layer" in ok("doctor", tuned_file)
    fails(ExitStatus.UNREADABLE, "`slim2keras export` makes", "verify", tuned_file, tuned_file)


def test_labels_that_do_not_fit_are_refused_and_can_be_ignored(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """Three folders for seven classes; without labels the doctor still compares."""
    import tensorflow as tf

    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        pixels = np.random.RandomState(ord(name)).randint(0, 256, (40, 40, 3)).astype("uint8")
        tf.io.write_file(str(tmp_path / name / "1.png"), tf.io.encode_png(pixels))
    arguments = ("doctor", shallow_checkpoint, "--data", tmp_path, "--input-shape", SHAPE)
    fails(ExitStatus.UNREADABLE, "it is not clear which is which", *arguments)
    assert "labels: labels ignored, as asked" in Result(*arguments, "--ignore-labels").out


def test_records_repair_as_well(tmp_path: Path) -> None:
    """slim's TFRecords by a pattern, labels that count from 1, and a broken record that is left out and named."""
    checkpoint = never_updated(tmp_path, SHALLOW_NET)
    random = np.random.RandomState(0)
    records = [example(png(random.randint(0, 256, 3), (70, 70)), 1 + k % 2, format=b"png") for k in range(8)]
    write_records(tmp_path / "data" / "flowers_train_00000-of-00001.tfrecord", [*records, example(b"no image", 1)])
    command = ("recalibrate", checkpoint, "--data", tmp_path / "data" / "flowers_*", "--input-shape", SHAPE)
    out = ("-o", tmp_path / "well.ckpt")
    broken = r"tfrecord, record 8 cannot be read as an image: .*--skip-broken"
    fails(ExitStatus.UNREADABLE, broken, *command, "--labels-offset", 1, *out)
    assert not (tmp_path / "well.ckpt.index").exists()
    text = ok(*command, "--labels-offset", 1, "--skip-broken", *out)
    assert (
        "less the labels offset of 1; left out, not readable: flowers_train_00000-of-00001.tfrecord, record 8" in text
    )
    assert json.loads((tmp_path / "well.ckpt.json").read_text())["after"]["images"] == 8
