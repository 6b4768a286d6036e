"""Which class a folder is, and when that cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.data.images import open_images
from slim2keras.data.labels import read_label_names
from slim2keras.data.listing import list_examples
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.nets.spec import NetSpec
from tests.data.files import GREEN, GREY, SPEC, opened, write_image


def classes_by_green(found: Any) -> set[tuple[bool, int]]:
    """Whether an image is green, and its label."""
    images, labels = found
    return {(bool(image[0, 0, 1] > 100.0), int(label)) for image, label in zip(images, labels, strict=True)}


@pytest.mark.parametrize(
    ("folders", "expected", "words"),
    [
        ("abc", {(True, 0), (False, 1), (False, 2)}, "3 folders by name, a is class 0 and c class 2"),
        ("ab", {(True, 1), (False, 2)}, "2 folders by name, a is class 1 and b class 2; class 0 is slim's background"),
    ],
)
def test_folders_are_classes_by_name(tmp_path: Path, folders: str, expected: set[tuple[bool, int]], words: str) -> None:
    """One fewer than the network has: its class 0 is slim's background. The mapping is told in words."""
    for name in folders:
        write_image(tmp_path / name / "image.png", GREEN if name == "a" else GREY)
    (tmp_path / ".hidden").mkdir()
    assert classes_by_green(opened(tmp_path, batch_size=10)[0]) == expected
    assert open_images(tmp_path, SPEC, 10).numbering == words


def test_folders_called_by_numbers_are_these_classes(tmp_path: Path) -> None:
    """Not in the order of the alphabet; images that lie beside the folders are named."""
    spec = NetSpec.make("resnet_v1_50", (32, 32, 3), {"num_classes": 12})
    for number in (0, 2, 10):
        write_image(tmp_path / str(number) / "image.png", GREEN if number == 10 else GREY)
    write_image(tmp_path / "loose.png")
    assert classes_by_green(opened(tmp_path, spec, 10)[0]) == {(False, 0), (False, 2), (True, 10)}
    assert open_images(tmp_path, spec, 10).numbering.endswith("; 1 image beside the folders left out")


def test_numbered_folders_that_fit_otherwise_come_in_the_order_of_numbers(tmp_path: Path) -> None:
    """1 to 12 for twelve classes: the tenth folder is the tenth class."""
    spec = NetSpec.make("resnet_v1_50", (32, 32, 3), {"num_classes": 12})
    for number in range(1, 13):
        write_image(tmp_path / str(number) / "image.png", GREEN if number == 10 else GREY)
    assert (True, 9) in classes_by_green(opened(tmp_path, spec, 20)[0])


def test_an_offset_of_folders_without_numbers_is_refused(tmp_path: Path) -> None:
    """It is taken off numbers in the data, and there would be none; leaving it out, as the message says, works."""
    for name in "abc":
        write_image(tmp_path / name / "image.png")
    with pytest.raises(UnsupportedArgumentError, match=r"labels_offset=1 .* have none: leave it out"):
        list_examples(tmp_path, labels_offset=1)
    assert len(list_examples(tmp_path)) == 3


@pytest.mark.parametrize("folders", ["abcd", "a"])
def test_folders_that_cannot_be_the_classes_are_refused(tmp_path: Path, folders: str) -> None:
    """No labels are dropped or shifted in silence; the way out is named."""
    for name in folders:
        write_image(tmp_path / name / "image.png")
    with pytest.raises(DataReadError, match=r"the network 3 classes, .* Say it in .*labels\.txt.*--ignore-labels"):
        opened(tmp_path)
    assert len(opened(tmp_path, batch_size=10, labels=False)[0]) == len(folders)


@pytest.mark.parametrize("text", ["0:b\n2:a\n1:c\n", "b\nc\na\n"])
def test_a_labels_file_numbers_the_folders(tmp_path: Path, text: str) -> None:
    """slim's own lines, or a name a line; folders may be fewer than classes then."""
    write_image(tmp_path / "a" / "image.png", GREEN)
    write_image(tmp_path / "b" / "image.png")
    (tmp_path / "labels.txt").write_text(text)
    assert classes_by_green(opened(tmp_path, batch_size=10)[0]) == {(True, 2), (False, 0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:daisy\n", "has no line for a, b"),
        ("0:a\n7:b\n", r"numbers beyond the 3 classes of the network: b \(7\)"),
        ("", "no list of 0 classes"),
        ("0:a\n0:b\n", "no list of 2 classes"),
        ("0:a\nb\n", "no list of 2 classes"),
        ("\x00\xff", "cannot be read as text|no list"),
    ],
)
def test_a_labels_file_that_does_not_fit(tmp_path: Path, text: str, message: str) -> None:
    """Every way of being wrong is an error that names the file."""
    for name in "ab":
        write_image(tmp_path / name / "image.png")
    (tmp_path / "labels.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataReadError, match=message):
        opened(tmp_path)


def test_a_network_that_ends_in_features_takes_no_labels(tmp_path: Path) -> None:
    """And says so."""
    write_image(tmp_path / "a" / "image.png")
    found = open_images(tmp_path, NetSpec.make("resnet_v1_50", (32, 32, 3), {"num_classes": 0}), 2)
    assert found.examples.labels is None
    assert "ends in its features" in found.numbering


def test_a_labels_file_of_notepad(tmp_path: Path) -> None:
    """With the mark of its encoding, and its ends of lines."""
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xef\xbb\xbf0:daisy\r\n1:rose\r\n")
    assert read_label_names(path) == {"daisy": 0, "rose": 1}


def test_numbers_that_no_class_can_have(tmp_path: Path) -> None:
    """All below one would be a class of its own: there is an error, and not a billion names in memory."""
    path = tmp_path / "labels.txt"
    path.write_text("0:daisy\n999999999:rose\n")
    with pytest.raises(DataReadError, match="numbers a class 999999999: numbers go from 0 to 999999"):
        read_label_names(path)
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(DataReadError, match="is no list of classes: it has 100,000,000 bytes"):
        read_label_names(path)
    np.savez(tmp_path / "data.npz", images=np.zeros((2, 8, 8, 3), "uint8"), labels=[0, 2**62])
    path.unlink()
    with pytest.raises(DataReadError, match=r"no classes, 0 to 999999: the first is 4611686018427387904, of data\.npz"):
        list_examples(tmp_path / "data.npz")


def test_a_file_of_more_lines_than_classes_is_refused_at_once(tmp_path: Path) -> None:
    """Before any of them is looked at."""
    path = tmp_path / "labels.txt"
    path.write_text("a\n" * 1_000_001)
    with pytest.raises(DataReadError, match="it has 1,000,001 lines"):
        read_label_names(path)
