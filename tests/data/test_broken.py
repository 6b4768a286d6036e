"""Broken images: named, whatever met them, and left out on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slim2keras.data import broken
from slim2keras.data.batches import evaluation_batches, training_batches
from slim2keras.data.broken import broken_images_named
from slim2keras.data.listing import list_for_network
from slim2keras.errors import DataReadError
from slim2keras.nets.spec import NetSpec
from tests.data.files import write_classes, write_image

LENET = NetSpec.make("lenet", (28, 28, 3), {"num_classes": 3})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images, of which one is cut short."""
    folder = write_classes(tmp_path, "abc", 4)
    whole = write_image(folder / "b" / "3.jpg", size=(60, 80)).read_bytes()
    (folder / "b" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "3.png").unlink()
    return folder


def test_training_that_meets_one_names_it(folder: Path) -> None:
    """TensorFlow's own error says which op failed."""
    examples = list_for_network(folder, LENET)
    with (
        pytest.raises(DataReadError, match=r"b/3\.jpg cannot be read as an image: .*--skip-broken"),
        broken_images_named(examples, 3),
    ):
        list(training_batches(examples, LENET, 4).take(6))


def test_a_file_that_has_gone(folder: Path) -> None:
    """Since it was listed."""
    (folder / "b" / "3.jpg").unlink()
    examples = list_for_network(folder, LENET)
    (folder / "c" / "1.png").unlink()
    with pytest.raises(DataReadError, match=r"c/1\.png cannot be read .*No such file"), broken_images_named(examples):
        for _ in evaluation_batches(examples, LENET, 3):
            pass


def test_records_that_have_changed(tmp_path: Path) -> None:
    """A file of records that is cut short under a run."""
    from tests.data.files import example, png, write_records

    path = write_records(tmp_path / "x.tfrecord", [example(png(), 0) for _ in range(6)])
    examples = list_for_network(path, LENET)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataReadError, match=r"x\.tfrecord, record 5 cannot be read"), broken_images_named(examples):
        for _ in evaluation_batches(examples, LENET, 3):
            pass


def test_errors_that_no_image_is_behind_stay_what_they_are(folder: Path) -> None:
    """Nobody is sent to look for a broken image in vain."""
    import tensorflow as tf

    examples = list_for_network(folder, LENET).subset([0, 1, 2])
    assert len(list(evaluation_batches(examples, LENET, 3))) == 1
    with pytest.raises(tf.errors.InvalidArgumentError), broken_images_named(examples):
        tf.reshape(tf.zeros(3), (2,))


def test_skipping_leaves_it_out_and_lists_it(folder: Path) -> None:
    """The others keep labels and order."""
    examples = list_for_network(folder, LENET, skip_broken=True)
    assert examples.broken == ("b/3.jpg",)
    assert "b/3.jpg" not in examples.names
    np.testing.assert_array_equal(examples.labels, np.repeat([0, 1, 2], [4, 3, 4]))
    assert sum(len(images) for images, _ in evaluation_batches(examples, LENET, 4)) == 11


def test_what_was_found_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is decoded once, however often the data is listed; again where a file is another."""
    tried = []
    find = broken.find_broken
    monkeypatch.setattr(broken, "find_broken", lambda *given: tried.append(given) or find(*given))
    assert [list_for_network(folder, LENET, skip_broken=True).broken for _ in range(2)] == [("b/3.jpg",)] * 2
    assert len(tried) == 1
    write_image(folder / "b" / "3.jpg", size=(60, 80))
    assert list_for_network(folder, LENET, skip_broken=True).broken == ()
