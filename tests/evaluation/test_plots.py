"""Pictures of evaluations: that they are there whole, of few and of many classes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from slim2keras.data.examples import Examples
from slim2keras.data.sources import ImageArrays
from slim2keras.errors import OutputError
from slim2keras.evaluation.plots import plot_confusion, plot_worst
from tests.evaluation.scored import evaluation


def text_of(path: Path) -> str:
    """What matplotlib notes as comments beside the paths of its letters."""
    ET.parse(path)  # whole
    return path.read_text(encoding="utf-8")


def test_the_confusion_names_every_class(tmp_path: Path) -> None:
    """Counts and names can be read; classes without images and predictions are left out."""
    path = tmp_path / "confusion.svg"
    ours = evaluation(80, 5, ["daisy", "dandelion", "roses", "sunflowers", "tulips"])
    plot_confusion(ours, path)
    for text in (*ours.class_names, f"{ours.correct} of 80 images", "predicted"):
        assert text in text_of(path)


@pytest.mark.parametrize("classes", [2, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_confusion_can_have_any_number_of_classes(tmp_path: Path, classes: int) -> None:
    """With hundreds of classes what is mistaken most is named."""
    path = tmp_path / "confusion.svg"
    ours = evaluation(20 * classes, classes)
    plot_confusion(ours, path)
    assert ("most often mistaken" in text_of(path)) == (classes > 40)


def test_an_existing_picture_is_left_alone(tmp_path: Path) -> None:
    """Unless it is to be replaced; other formats are refused."""
    path = tmp_path / "confusion.png"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        plot_confusion(evaluation(20, 3), path)
    assert path.read_text() == "precious"
    with pytest.raises(OutputError, match="not the name of a picture"):
        plot_confusion(evaluation(20, 3), tmp_path / "confusion.doc")
    plot_confusion(evaluation(20, 3), path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("channels", "kind"), [(3, "uint8"), (1, "float32")])
def test_the_sheet_says_what_was_taken_for_what(tmp_path: Path, channels: int, kind: str) -> None:
    """Both names with their probabilities, of pixels and of images that are preprocessed."""
    ours, path = evaluation(80, 7), tmp_path / "worst.svg"
    images = np.random.RandomState(0).randint(0, 255, (80, 20, 30, channels)).astype(kind)
    plot_worst(ours, Examples(ImageArrays(tmp_path / "data.npz", images, np.arange(80)), None), 3, path)
    text = text_of(path)
    for place in ours.worst(3):
        taken, true = ours.scores.predicted[place], ours.scores.labels[place]
        assert f"class {taken} {ours.scores.probabilities[place, 0]:.0%}" in text
        assert f"is class {true} " in text
        assert Path(ours.names[place]).name in text
    assert len(re.findall("<image", text)) == 3


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    """A dollar sign begins no formula; bytes that are no UTF-8 are question marks; what no font has is no warning."""
    names = ["$a_{$", "\\frac $x", "caf\udce9", "\u82b1"]
    plot_confusion(evaluation(40, 4, names), tmp_path / "confusion.svg")
    text = text_of(tmp_path / "confusion.svg")
    assert all(name in text for name in ("$a_{$", "\\frac $x", "caf?"))
    ours = replace(evaluation(40, 4, names), names=["$\\x^{\udcff.png"] * 40)
    images = ImageArrays(tmp_path / "data.npz", np.zeros((40, 8, 8, 3), "uint8"), np.arange(40))
    plot_worst(ours, Examples(images, None), 2, tmp_path / "worst.svg")
    assert "$\\x^{?.png" in text_of(tmp_path / "worst.svg")
