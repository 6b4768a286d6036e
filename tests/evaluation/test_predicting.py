"""What a network says of images without labels, and lines of CSV."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import DataReadError, OutputError
from slim2keras.evaluation import tables
from slim2keras.evaluation.predicting import image_files
from slim2keras.evaluation.tables import write_csv
from tests.data.files import write_image
from tests.evaluation.test_evaluating import write_run


def test_predictions_are_those_of_the_evaluation(
    tmp_path: Path, classifier_file: Path, classifier: Any, classes_folder: Path
) -> None:
    """The same classes of the same images, with the names of the RUN."""
    run = write_run(tmp_path / "run", classifier_file)
    found = slim2keras.predict(run, classes_folder, top=2)
    evaluated = slim2keras.evaluate(classifier, classes_folder)
    np.testing.assert_array_equal(found.scores.classes, evaluated.scores.classes[:, :2])
    assert {label for label, _ in found.labels(0)} <= {"blue", "green", "red"}
    assert len(str(found).splitlines()) == 15
    said = json.loads(json.dumps(found.to_json()))["images"][3]
    assert said["name"] == found.names[3]
    assert [item["label"] for item in said["classes"]] == [label for label, _ in found.labels(3)]


def test_files_folders_and_patterns_are_images(tmp_path: Path, classes_folder: Path) -> None:
    """In the order given; what stands for nothing is an error."""
    one = classes_folder / "red" / "0.png"
    assert image_files([one, classes_folder / "green"])[:2] == [str(one), str(classes_folder / "green" / "0.png")]
    assert len(image_files([classes_folder])) == 15
    assert len(image_files([f"{classes_folder}/*/[01].png"])) == 6
    for nothing in (tmp_path / "none.png", tmp_path, f"{tmp_path}/*.png"):
        with pytest.raises(DataReadError, match="There are no images"):
            image_files([nothing])


def test_a_broken_image_is_named(tmp_path: Path, classifier: Any, classes_folder: Path) -> None:
    """Or left out, and listed."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    images = [classes_folder / "red", broken]
    with pytest.raises(DataReadError, match=r"broken\.jpg cannot be read as an image"):
        slim2keras.predict(classifier, images)
    found = slim2keras.predict(classifier, images, skip_broken=True)
    assert ([*found.left_out], len(found.names)) == ([str(broken)], 5)


def test_csv_has_a_line_an_image(tmp_path: Path, classifier: Any, classes_folder: Path) -> None:
    """With the label where there is one, the names of both, and the likeliest classes."""
    evaluation, path = slim2keras.evaluate(classifier, classes_folder), tmp_path / "images.csv"
    write_csv(evaluation, path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["name"] for row in rows] == [*evaluation.names]
    assert sum(row["label"] == row["predicted"] for row in rows) == evaluation.correct
    assert rows[0]["label_name"] == "blue"
    assert rows[0]["top_3"].split()[0] == rows[0]["predicted"]
    assert float(rows[0]["probability"]) == pytest.approx(float(evaluation.scores.probabilities[0, 0]), rel=1e-5)
    with pytest.raises(OutputError, match="exists already"):
        write_csv(evaluation, path)
    write_csv(slim2keras.predict(classifier, classes_folder, top=1), path, overwrite=True)
    assert path.read_text().startswith("name,predicted,predicted_name,probability,top_1,top_1_probabilities\n")


def test_a_table_that_another_process_wrote_meanwhile_stays(
    tmp_path: Path, classifier: Any, classes_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As any other output; unless it is to be replaced."""
    found, path = slim2keras.predict(classifier, classes_folder), tmp_path / "images.csv"
    write_rows = tables._write_rows

    def while_another_writes(draft: Path, rows: Any) -> None:
        write_rows(draft, rows)
        path.write_text("theirs")

    monkeypatch.setattr(tables, "_write_rows", while_another_writes)
    with pytest.raises(OutputError, match="was written by another process meanwhile"):
        write_csv(found, path)
    assert path.read_text() == "theirs"
    write_csv(found, path, overwrite=True)
    assert path.read_text().startswith("name,predicted,")


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    """What macOS leaves beside each file is called as the image is; a pipe is none."""
    for name in ("a.png", "._a.png", ".cache/b.png", "c/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert image_files([tmp_path]) == [str(tmp_path / "a.png"), str(tmp_path / "c" / "d.png")]
    with pytest.raises(DataReadError, match="There are no images"):
        image_files([tmp_path / "pipe.png"])


def test_names_that_are_no_text(tmp_path: Path, classifier: Any) -> None:
    """A table has the bytes that the file system has."""
    name = tmp_path / os.fsdecode(b"caf\xe9.png")
    write_image(name, size=(28, 28))
    found = slim2keras.predict(classifier, name)
    write_csv(found, tmp_path / "images.csv")
    assert b"caf\xe9.png," in (tmp_path / "images.csv").read_bytes()
    assert json.loads(json.dumps(found.to_json()))["images"][0]["name"] == str(name)
