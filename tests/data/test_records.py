"""slim's TFRecords as images: splits, labels, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.data.batches import evaluation_batches
from slim2keras.data.listing import list_examples, list_for_network, splits_of
from slim2keras.errors import DataReadError
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing import preprocess
from tests.data.files import SPEC, example, png, write_flowers, write_records


def reds(batches: Any) -> list[int]:
    """The red that images were written with, of a network that takes away the mean."""
    return [round(float(image[0, 0, 0]) + 123.68) for images, _ in batches for image in images]


def test_a_folder_of_slims(tmp_path: Path) -> None:
    """Images, labels and names in the order of shards and records, whatever the order of reading."""
    found = list_for_network(write_flowers(tmp_path), SPEC, split="train")
    assert len(found) == 12
    assert found.names[7] == "flowers_train_00001-of-00002.tfrecord, record 1"
    assert found.class_names == ("daisy", "rose", "tulip")
    assert found.numbering == f"labels as they stand in 2 files of TFRecords, named by {tmp_path / 'labels.txt'}"
    np.testing.assert_array_equal(found.labels, np.arange(12) % 3)
    assert reds(evaluation_batches(found, SPEC, 5)) == [*range(12)]
    some = found.subset([11, 3, 7])
    assert reds(evaluation_batches(some, SPEC, 2)) == [11, 3, 7]
    assert [*some.names][1:] == [found.names[3], found.names[7]]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["flowers_train_00000-of-00001.tfrecord", "flowers_validation_00000-of-00001.tfrecord"], "train validation"),
        (["cifar10_train.tfrecord", "cifar10_test.tfrecord"], "train test"),
        (["mnist_train.tfrecord", "mnist_test.tfrecord"], "train test"),
        (["train-00000-of-00001", "validation-00000-of-00001"], "train validation"),
        (["train.record-00000-of-00001", "val.record-00000-of-00001"], "train validation"),
    ],
)
def test_every_pattern_of_slim(tmp_path: Path, names: list[str], splits: str) -> None:
    """Each of its data sets, by the names that its scripts write; which split is meant must be said."""
    for number, name in enumerate(names):
        write_records(tmp_path / name, [example(png((number, 0, 0)), label, format=b"png") for label in (0, 2)])
    assert splits_of(tmp_path) == tuple(splits.split())
    for number, split in enumerate(splits.split()):
        assert reds(evaluation_batches(list_for_network(tmp_path, SPEC, split=split), SPEC, 2)) == [number, number]
    with pytest.raises(DataReadError, match=r"has TFRecords of the splits .*Say which with split=.*or give a pattern"):
        list_examples(tmp_path)


def test_the_way_that_an_error_names_works(tmp_path: Path) -> None:
    """The pattern for want of a split, and one file alone."""
    write_flowers(tmp_path)
    with pytest.raises(DataReadError) as caught:
        list_examples(tmp_path)
    pattern = str(caught.value).split("give a pattern: ")[1]
    assert len(list_examples(pattern)) == 12
    assert len(list_examples(tmp_path / "flowers_validation_00001-of-00002.tfrecord")) == 6
    with pytest.raises(DataReadError, match="There are no images"):
        list_examples(tmp_path / "roses_*")
    with pytest.raises(DataReadError, match="no TFRecords of the split 'test', but of train, validation"):
        list_examples(tmp_path, split="test")


def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    """Without it classes might be missing; a pattern of the others says that one means it."""
    write_flowers(tmp_path)
    (tmp_path / "flowers_train_00000-of-00002.tfrecord").unlink()
    with pytest.raises(DataReadError, match=r"lacks 1 of 2 files of TFRecords: flowers_train_00000-of-00002\.tfrecord"):
        list_examples(tmp_path, split="train")
    assert len(list_examples(tmp_path / "flowers_train_*")) == 6


def test_labels_that_are_no_classes(tmp_path: Path) -> None:
    """slim's one-hot makes zeros of them in silence; here the first is named, and all are counted."""
    path = write_records(tmp_path / "train-00000-of-00001", [example(png(), label) for label in (0, 3, 1, -1)])
    with pytest.raises(
        DataReadError, match=r"2 labels that are no classes .* first is 3, of train-00000-of-00001, rec"
    ):
        list_for_network(path, SPEC)
    assert list_for_network(path, SPEC, labels=False).labels is None
    missing = write_records(tmp_path / "val-00000-of-00001", [example(png(), 1), example(png())])
    with pytest.raises(
        DataReadError, match="1 of 2 records have no image/class/label, first val-00000-of-00001, record 1"
    ):
        list_for_network(missing, SPEC)


def test_an_offset_takes_the_background_class_away(tmp_path: Path) -> None:
    """As slim's labels_offset does for networks without one; without it the error names it."""
    path = write_records(tmp_path / "train-00000-of-00001", [example(png(), label) for label in (1, 2, 3)])
    with pytest.raises(DataReadError, match=r"no classes .*labels_offset=1 \(--labels-offset 1\)"):
        list_for_network(path, SPEC)
    (tmp_path / "labels.txt").write_text("0:background\n1:a\n2:b\n3:c\n")
    found = list_for_network(path, SPEC, labels_offset=1)
    np.testing.assert_array_equal(found.labels, [0, 1, 2])
    assert found.class_names == ("a", "b", "c")
    assert "less the labels offset of 1" in found.numbering


def test_a_labels_file_with_more_classes_than_the_network(tmp_path: Path) -> None:
    """Labels that happen to fit would be off by one."""
    path = write_records(tmp_path / "train-00000-of-00001", [example(png(), label) for label in (1, 2)])
    (tmp_path / "labels.txt").write_text("0:background\n1:a\n2:b\n3:c\n")
    with pytest.raises(
        DataReadError, match=r"names the classes up to 3, and the network has 3, 0 to 2.*labels_offset=1"
    ):
        list_for_network(path, SPEC)


def test_the_datas_own_classes(tmp_path: Path) -> None:
    """Counted by labels.txt where there is one, else by the largest label."""
    path = write_records(tmp_path / "train-00000-of-00001", [example(png(), label) for label in (0, 4)])
    assert list_examples(path).class_names == ("0", "1", "2", "3", "4")
    (tmp_path / "labels.txt").write_text("".join(f"{number}:{name}\n" for number, name in enumerate("abcdefg")))
    assert list_examples(path).class_names == tuple("abcdefg")


def test_bare_pixels(tmp_path: Path) -> None:
    """slim's `raw`, beside files, of one channel and of three."""
    pixels = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype("uint8")
    records = [
        example(pixels.tobytes(), 0, format=b"raw", height=5, width=7),
        example(pixels[..., 0].tobytes(), 1, format=b"RAW", height=5, width=7),
        example(png((9, 9, 9)), 2, format=b"png"),
    ]
    found = list_examples(write_records(tmp_path / "cifar10_train.tfrecord", records))
    rows = [[column[k] for column in found.source.places] for k in range(3)]
    colours, grey, file = (found.source.read(*row, channels=3).numpy() for row in rows)
    np.testing.assert_array_equal(colours, pixels)
    np.testing.assert_array_equal(grey, np.repeat(pixels[..., :1], 3, -1))
    assert (file == 9).all()
    np.testing.assert_array_equal(found.source.read(*rows[1], channels=1).numpy(), pixels[..., :1])


def test_mnist_without_a_format_is_bare_pixels(tmp_path: Path) -> None:
    """slim's default there; a network of one channel gets it as it is."""
    lenet = NetSpec.make("lenet", (28, 28, 1), {"num_classes": 10})
    pixels = np.random.RandomState(0).randint(0, 256, (28, 28, 1)).astype("uint8")
    path = write_records(tmp_path / "mnist_train.tfrecord", [example(pixels.tobytes(), [7], height=28, width=28)])
    ((images, labels),) = evaluation_batches(list_for_network(path, lenet), lenet, 2)
    np.testing.assert_array_equal(images[0], preprocess(pixels, lenet))
    assert labels.numpy() == [7]


def test_broken_records_are_left_out_on_request(tmp_path: Path) -> None:
    """Those that are no record, and those whose image cannot be decoded; all are named."""
    path = write_records(tmp_path / "x.tfrecord", [example(png((k, 0, 0)), 0) for k in range(5)])
    half = example(png((7, 0, 0))[:60], 0)
    content = bytearray(write_records(path, [example(png((k, 0, 0)), 0) for k in range(4)] + [half]).read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataReadError, match=r"record 0, at byte 0"):
        list_examples(path)
    found = list_for_network(path, SPEC, skip_broken=True)
    assert found.broken == ("x.tfrecord, record 0", "x.tfrecord, record 4")
    assert reds(evaluation_batches(found, SPEC, 8)) == [1, 2, 3]
