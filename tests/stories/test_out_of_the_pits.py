"""The whole story by the command line alone: slim's checkpoints in either pit and image files in, well networks out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import ExitStatus
from slim2keras.preprocessing.factory import preprocess
from tests import sick_checkpoints as sick
from tests.cli.running import Result, ok

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow_resnets")]

MARGIN = 2
"""Pixels at each side of a file, which the central crop of slim's inception preprocessing takes away."""

OF_CHECKPOINT = ("--input-shape", f"{sick.SIZE},{sick.SIZE},3", "--preprocessing-name", "inception")
TRAINING = ("--epochs", 2, "--optimizer", "momentum", "--learning-rate", 0.01, "--no-augment")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits that slim trained on, and those held out, as PNG files in a folder a class."""
    directory = tmp_path_factory.mktemp("digits")
    images, labels, held_out, held_out_labels = sick.digits()
    write_classes(directory / "train", images, labels)
    write_classes(directory / "validation", held_out, held_out_labels)
    return directory


def write_classes(directory: Path, images: np.ndarray, labels: np.ndarray) -> None:
    import tensorflow as tf

    for number in range(sick.CLASSES):
        (directory / f"digit_{number}").mkdir(parents=True)
    around = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        pixels = np.pad(np.rint(127.5 * (image + 1)), around, mode="edge").astype("uint8")
        (directory / f"digit_{label}" / f"{place:04}.png").write_bytes(tf.io.encode_png(pixels).numpy())


def slims_accuracy(checkpoint: Path, directory: Path) -> float:
    """Of slim's own network on the images of a folder of classes."""
    import tensorflow as tf

    files = sorted(directory.glob("*/*.png"))
    pixels = np.stack([tf.io.decode_png(path.read_bytes()).numpy() for path in files])
    images = preprocess(pixels, "inception", height=sick.SIZE, width=sick.SIZE).numpy()
    labels = np.array([int(path.parent.name.removeprefix("digit_")) for path in files])
    return sick.accuracy_of_slim(checkpoint, images, labels)


@dataclass(frozen=True)
class Pit:
    """A sick checkpoint, and what the doctor is to say of it."""

    checkpoint: Path
    verdict: str


@pytest.fixture(params=["pit one", "pit two"])
def pit(request: pytest.FixtureRequest, sick_checkpoints: dict[str, Path]) -> Pit:
    verdicts = {"pit one": "17 of 17 layers were never updated", "pit two": "17 of 17 layers were left behind"}
    return Pit(sick_checkpoints[request.param], f"{request.param}: {verdicts[request.param]}")


def evaluated(subject: Path, folder: Path, *options: object) -> Any:
    return json.loads(ok("evaluate", subject, "--data", folder, "--json", *options))


def test_recalibrate_repairs_what_the_doctor_sees(pit: Pit, folder: Path, tmp_path: Path) -> None:
    """Sick with its verdict, then healthy; of no use before, and good after it, to us and slim image by image alike."""
    data = ("--data", folder, "--split", "train", *OF_CHECKPOINT)
    examined = Result("doctor", pit.checkpoint, *data, "--json")
    assert examined.status == ExitStatus.SICK
    found = json.loads(examined.out)
    assert found["verdicts"][0].startswith(pit.verdict)
    assert found["gap"]["accuracy_batch"] > 0.95
    assert found["gap"]["accuracy_moving"] < 0.5
    well = tmp_path / "well.ckpt-200"
    ok("recalibrate", pit.checkpoint, *data, "-o", well)
    ok("doctor", well, *data)
    before, after = (evaluated(path, folder, *OF_CHECKPOINT) for path in (pit.checkpoint, well))
    assert before["accuracy"] < 0.5
    assert after["accuracy"] > 0.8
    assert slims_accuracy(well, folder / "validation") == pytest.approx(after["accuracy"], abs=1e-9)


def test_finetune_leads_out_of_the_pit(pit: Pit, folder: Path, tmp_path: Path) -> None:
    """No worse with moving statistics than in training mode; its slim checkpoint is healthy, and as good to slim."""
    run = tmp_path / "run"
    modes = ("--batch-norm", "update", "--decay", "auto", "--export-slim")
    ok("finetune", pit.checkpoint, "--data", folder, "-o", run, *OF_CHECKPOINT, *modes, *TRAINING)
    report = json.loads((run / "report.json").read_text())
    assert report["old_statistics_left"] < 0.01
    gap = report["gap"]
    assert gap["accuracy_moving"] > 0.85
    # Statistics of the training images may well be better than those of a batch, by one to four points here.
    assert gap["accuracy_moving"] > gap["accuracy_batch"] - 0.01
    of_run = evaluated(run, folder)
    assert {name: of_run[name] for name in ("accuracy", "images", "confusion")} == {
        name: report["validation"][name] for name in ("accuracy", "images", "confusion")
    }
    exported = Path(report["slim"])
    ok("doctor", exported, "--data", folder, "--split", "train", *OF_CHECKPOINT)
    of_export = evaluated(exported, folder, *OF_CHECKPOINT)["accuracy"]
    assert of_export > 0.85
    assert slims_accuracy(exported, folder / "validation") == pytest.approx(of_export, abs=1e-9)
