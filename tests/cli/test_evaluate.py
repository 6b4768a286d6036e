"""``slim2keras evaluate`` and ``predict``: what is printed and written, and what is refused before anything is done."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import ExitStatus
from tests.cli.running import Result, fails, ok
from tests.reference import SMALL_SHAPE, small_values, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_json_csv_and_pictures_say_the_same(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """One evaluation, as Python gives it; every file that is asked for is there whole."""
    written = {name: tmp_path / name for name in ("images.csv", "confusion.png", "worst.png")}
    arguments = (
        "--csv",
        written["images.csv"],
        "--plot",
        written["confusion.png"],
        "--worst-plot",
        written["worst.png"],
    )
    found = json.loads(ok("evaluate", classifier_file, "--data", classes_folder, "--json", "--worst", 2, *arguments))
    theirs = slim2keras.evaluate(classifier_file, classes_folder)
    assert found["accuracy"] == theirs.accuracy
    assert found["confusion"] == theirs.confusion.tolist()
    assert found["worst"] == theirs.worst_json(2)
    assert found["images"] == len(list(csv.DictReader(written["images.csv"].read_text().splitlines()))) == 15
    assert all(path.stat().st_size for path in written.values())
    fails(ExitStatus.USAGE, "exists already", "evaluate", classifier_file, "--data", classes_folder, *arguments[:2])
    ok("evaluate", classifier_file, "--data", classes_folder, *arguments[:2], "--overwrite", "--max_num_batches=2")


def test_the_page_is_for_people(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """Accuracy first, then the classes; the worst images and the files by name."""
    said = ok(
        "evaluate", classifier_file, "--data", classes_folder, "--worst", 2, "--plot", tmp_path / "a.svg", "--limit", 9
    )
    assert said.startswith("accuracy ")
    for text in (" of 9 images", "labels: 3 folders by name", "Most confidently wrong, 2 of", "a.svg"):
        assert text in said


def test_a_checkpoint_is_evaluated_at_the_size_asked_for(tmp_path: Path) -> None:
    """slim's flags are taken: of the size, of averages, which are other weights, and of the checkpoint itself."""
    values = small_values("resnet_v1_14")
    averages = {f"{name}/ExponentialMovingAverage": np.zeros_like(value) for name, value in values.items()}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt-9", {**values, **averages})
    height, width, _ = SMALL_SHAPE
    np.savez(tmp_path / "data.npz", images=np.ones((7, *SMALL_SHAPE), "float32"), labels=np.arange(7))
    asked = ("evaluate", "--checkpoint_path", checkpoint, "--dataset_dir", tmp_path / "data.npz", "--json")
    found = json.loads(ok(*asked, "--eval_image_size", f"{height},{width}", "--model_name=resnet_v1_14"))
    averaged = json.loads(ok(*asked, "--image-size", f"{height},{width}", "--moving_average_decay=0.9999"))
    assert averaged["loss"] == pytest.approx(np.log(7), rel=1e-5) != found["loss"]
    fails(ExitStatus.UNREADABLE, r"takes \(count, 64, 64, 3\)", *asked, "--image-size", 64)


def test_predictions_are_printed_a_line_an_image(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """With the names of a labels file; JSON and CSV have the numbers too."""
    labels, table = tmp_path / "labels.txt", tmp_path / "images.csv"
    labels.write_text("0:azure\n1:verdant\n2:crimson\n")
    images = (classes_folder / "red", classes_folder / "blue" / "0.png")
    said = ok("predict", classifier_file, *images, "--labels", labels, "--top", 1, "--csv", table).splitlines()
    assert len(said) == 7
    assert any(name in said[0] for name in ("azure", "verdant", "crimson"))
    found = json.loads(ok("predict", classifier_file, *images, "--json"))
    assert len(found["images"][0]["classes"]) == 3
    assert len(table.read_text().splitlines()) == 7
    fails(ExitStatus.USAGE, "exists already", "predict", classifier_file, *images, "--csv", table)
    ok("predict", classifier_file, *images, "--csv", table, "--overwrite")


def test_what_cannot_be_evaluated_is_said(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """With the exit code of each kind, and nothing written."""
    features = tmp_path / "features.keras"
    slim2keras.build("lenet", num_classes=0).save(features)
    data = ("--data", classes_folder)
    for status, message, arguments in (
        (ExitStatus.USAGE, "ends in its features", ("evaluate", features, *data)),
        (ExitStatus.USAGE, "ends in its features", ("predict", features, classes_folder)),
        (ExitStatus.USAGE, "Did you mean", ("evaluate", classifier_file, *data, "--preprocessing-name", "vgh")),
        (ExitStatus.USAGE, "is a model file", ("evaluate", classifier_file, *data, "--net", "lenet")),
        (ExitStatus.USAGE, "--image-size must be", ("evaluate", classifier_file, *data, "--image-size", "big")),
        (ExitStatus.USAGE, "of their own", ("evaluate", classifier_file, *data, "--csv", "x.png", "--plot", "x.png")),
        (ExitStatus.UNREADABLE, "no split 'eval'", ("evaluate", classifier_file, *data, "--split", "eval")),
        (ExitStatus.UNREADABLE, "There are no images", ("evaluate", classifier_file, "--data", tmp_path / "none")),
        (ExitStatus.UNREADABLE, "There are no images", ("predict", classifier_file, tmp_path / "none.png")),
        (ExitStatus.UNREADABLE, "There is no checkpoint", ("evaluate", tmp_path / "none.ckpt", *data)),
    ):
        fails(status, message, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["features.keras"]
    assert Result("evaluate", classifier_file).status == ExitStatus.USAGE
