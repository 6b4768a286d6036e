"""Examples: their fingerprint, and what cannot be trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.data.examples import check_for_training
from slim2keras.data.listing import list_examples
from slim2keras.errors import DataReadError
from tests.data.files import write_classes, write_flowers, write_image


def test_the_fingerprint_is_of_the_data(tmp_path: Path) -> None:
    """The same wherever it lies; another for another name, label, byte or part."""
    original = list_examples(write_classes(tmp_path / "one")).fingerprint
    assert list_examples(write_classes(tmp_path / "two")).fingerprint == original
    prints = {original, list_examples(tmp_path / "two").subset([0, 1, 2]).fingerprint}
    (tmp_path / "two" / "labels.txt").write_text("0:c\n1:b\n2:a\n")
    prints.add(list_examples(tmp_path / "two").fingerprint)
    (tmp_path / "two" / "labels.txt").unlink()
    path = tmp_path / "two" / "b" / "1.png"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    prints.add(list_examples(tmp_path / "two").fingerprint)
    path.write_bytes(content)
    path.rename(path.with_name("renamed.png"))
    prints.add(list_examples(tmp_path / "two").fingerprint)
    assert len(prints) == 5


def test_the_fingerprint_of_records(tmp_path: Path) -> None:
    """Splits differ; a byte in a file of records changes it."""
    write_flowers(tmp_path)
    train = list_examples(tmp_path, split="train").fingerprint
    assert train != list_examples(tmp_path, split="validation").fingerprint
    assert train == list_examples(tmp_path / "flowers_train_*").fingerprint


def test_one_class_teaches_nothing(tmp_path: Path) -> None:
    """Named; and so is the want of labels."""
    write_image(tmp_path / "cat" / "1.png")
    with pytest.raises(DataReadError, match=r"All 1 images are of one class \(cat\)"):
        check_for_training(list_examples(tmp_path))
    with pytest.raises(DataReadError, match=r"There are no labels.*one folder a class"):
        check_for_training(list_examples(tmp_path / "cat"))


def test_examples_in_a_prompt(tmp_path: Path) -> None:
    """No lines of paths and arrays."""
    assert len(repr(list_examples(write_classes(tmp_path)))) < 200


@pytest.mark.parametrize("name", ["two\nlines", " space", "caf\udce9"])
def test_names_that_a_labels_file_cannot_hold(tmp_path: Path, name: str) -> None:
    """A RUN writes one: told before the training, and not after."""
    with pytest.raises(DataReadError, match=r"labels\.txt cannot hold.*Rename the folders"):
        check_for_training(list_examples(write_classes(tmp_path, ("a", name), 1)))
