"""Folders of images: classes, splits, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from slim2keras.data import folders
from slim2keras.data.listing import list_examples, splits_of
from slim2keras.errors import DataReadError
from tests.data.files import write_classes, write_image


def test_examples_of_a_folder(tmp_path: Path) -> None:
    """Names are relative to it, classes and images in order; the data's own classes count from 0."""
    found = list_examples(write_classes(tmp_path, "bac", 2))
    assert [*found.names] == ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "c/0.png", "c/1.png"]
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, 2])
    assert found.labels.dtype == np.int64
    assert found.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(found.class_counts(), [2, 2, 2])


def test_hidden_files_are_passed_over_and_others_are_counted(tmp_path: Path) -> None:
    """What systems leave there is nobody's business; what a user put there is said."""
    write_classes(tmp_path, "ab", 1)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "a" / name).touch()
    assert list_examples(tmp_path).numbering == "2 folders by name, a is class 0 and b class 1"
    for name in ("a/notes.txt", "b/scan.tiff", "readme.md"):
        (tmp_path / name).touch()
    assert list_examples(tmp_path).numbering.endswith("class 1; 3 other files left out")
    (tmp_path / "a" / "more").mkdir()
    assert list_examples(tmp_path).numbering.endswith(
        "class 1; 1 folder within classes left out; 3 other files left out"
    )


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    """A class of which nothing can be learnt is no class of the data."""
    write_classes(tmp_path, "ab", 1)
    (tmp_path / "c").mkdir()
    with pytest.raises(DataReadError, match=r"/c has no images .*: it is empty\. Images are a folder"):
        list_examples(tmp_path)


def test_every_suffix_in_any_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that TensorFlow decodes."""
    monkeypatch.setattr(folders, "can_decode_webp", lambda: True)
    for suffix in (".jpg", ".JPEG", ".png", ".bmp", ".GIF", ".webp"):
        (tmp_path / f"image{suffix}").touch()
    assert len(list_examples(tmp_path)) == 6


def test_webp_with_an_older_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said when listed, with two ways out."""
    (tmp_path / "image.webp").touch()
    monkeypatch.setattr(folders, "can_decode_webp", lambda: False)
    with pytest.raises(DataReadError, match=r"image\.webp is WebP, which .* Install TensorFlow 2\.21, or make PNGs"):
        list_examples(tmp_path)


@pytest.mark.parametrize("name", ["validation", "val"])
def test_splits(tmp_path: Path, name: str) -> None:
    """By the names that people give them; one has to be chosen."""
    write_classes(tmp_path / "train", "abc", 3)
    write_classes(tmp_path / name, "abc", 1)
    assert splits_of(tmp_path) == ("train", "validation")
    assert len(list_examples(tmp_path, split="train")) == 9
    assert len(list_examples(tmp_path, split="validation")) == 3
    with pytest.raises(DataReadError, match="has no split 'test', but train, validation"):
        list_examples(tmp_path, split="test")
    with pytest.raises(
        DataReadError, match=r"the splits train, validation\. Say which with split=\.\.\., or give it by"
    ):
        list_examples(tmp_path)


@pytest.mark.parametrize("inside", [False, True], ids=["by split=", "by its path"])
def test_a_class_that_a_split_lacks_keeps_its_number(tmp_path: Path, inside: bool) -> None:
    """Numbered by its own folders alone, c would be b, and accuracy nonsense."""
    write_classes(tmp_path / "train", "abc", 1)
    write_classes(tmp_path / "validation", "ac", 1)
    found = list_examples(tmp_path / "validation") if inside else list_examples(tmp_path, split="validation")
    np.testing.assert_array_equal(found.labels, [0, 2])
    assert found.class_names == ("a", "b", "c")


def test_the_labels_file_of_all_splits(tmp_path: Path) -> None:
    """It lies above them, or in one."""
    for split in ("train", "test"):
        write_classes(tmp_path / split, "ab", 1)
    (tmp_path / "labels.txt").write_text("0:b\n1:a\n")
    np.testing.assert_array_equal(list_examples(tmp_path, split="test").labels, [1, 0])
    np.testing.assert_array_equal(list_examples(tmp_path / "test").labels, [1, 0])


def test_classes_that_are_called_as_splits_are(tmp_path: Path) -> None:
    """Trains and tests hold images themselves: they are classes."""
    write_classes(tmp_path, ["train", "test"], 1)
    assert splits_of(tmp_path) == ()
    assert list_examples(tmp_path).class_names == ("test", "train")


def test_a_folder_without_splits(tmp_path: Path) -> None:
    """Asked for one, that is said."""
    write_image(tmp_path / "a" / "1.png")
    with pytest.raises(DataReadError, match="has no split 'train': it has no folders train"):
        list_examples(tmp_path, split="train")


def test_a_split_is_itself_whatever_it_is_called_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From within it too: alone, two of three classes would be numbered after a background that is none."""
    write_classes(tmp_path / "train", "abc", 1)
    write_classes(tmp_path / "val", "bc", 1)
    for place, path in (("val", "."), ("val/b", ".."), ("train", "../val"), (".", "val")):
        monkeypatch.chdir(tmp_path / place)
        np.testing.assert_array_equal(list_examples(path, classes=3).labels, [1, 2])


@pytest.mark.timeout(60)
def test_pipes_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    """Nothing waits for a pipe; a link is an image that cannot be read, and named."""
    write_classes(tmp_path, "ab", 1)
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    for name, target in (("circle.jpg", "circle.jpg"), ("gone.jpg", "nowhere.jpg")):
        (tmp_path / "b" / name).symlink_to(target)
    found = list_examples(tmp_path, skip_broken=True)
    assert [*found.names] == ["a/0.png", "b/0.png"]
    assert found.broken == ("b/circle.jpg", "b/gone.jpg")
    assert found.numbering.endswith("1 other file left out")
    with pytest.raises(DataReadError, match="There are no images"):
        list_examples(tmp_path / "a" / "pipe.jpg")
    with pytest.raises(DataReadError, match="File name too long"):
        list_examples(tmp_path / ("x" * 5000))
