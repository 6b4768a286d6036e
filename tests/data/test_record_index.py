"""Files of TFRecords: where records lie, and every way of being broken."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slim2keras.data.record_index import NO_LABEL, begins_with_record, index_records
from slim2keras.errors import DataReadError
from tests.data.files import example, png, write_records


def masked_checksum(data: bytes) -> int:
    """CRC-32C, masked as TFRecords have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_checksum(packed))


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, list[int]]:
    """A file of 40 records, and where each begins."""
    records = [example(png((k, 0, 0)), k) for k in range(40)]
    path = write_records(tmp_path / "cifar10_train.tfrecord", records)
    return path, [0, *np.cumsum([len(record) + 16 for record in records])]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.integers(0, 1000)), min_size=1, max_size=70))
def test_offsets_lead_to_what_was_written(tmp_path_factory: pytest.TempPathFactory, parts: list) -> None:
    """Whatever the lengths: the bytes at an offset are those of its record, and labels are in order."""
    records = [example(data, label) for data, label in parts]
    path = write_records(tmp_path_factory.mktemp("records") / "train-00000-of-00001", records)
    found, content = index_records(path), path.read_bytes()
    sliced = [content[start : start + size] for start, size in zip(found.offsets, found.lengths, strict=True)]
    assert sliced == records
    assert list(found.labels) == [label for _, label in parts]
    assert not found.broken


def test_labels_as_slim_writes_them(tmp_path: Path) -> None:
    """A scalar, or one element as in MNIST; a missing one is known to be missing."""
    records = [example(png(), 3), example(png(), [4]), example(png())]
    assert list(index_records(write_records(tmp_path / "x.tfrecord", records)).labels) == [3, 4, NO_LABEL]


@pytest.mark.parametrize("place", [9, 60], ids=["length", "data"])
def test_a_flipped_bit_is_found_by_its_checksum(whole: tuple[Path, list[int]], place: int) -> None:
    """File, number and place are named; left out, the records behind it are read all the same."""
    path, begins = whole
    content = bytearray(path.read_bytes())
    content[begins[35] + place] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DataReadError, match=rf"cifar10_train\.tfrecord cannot be read: record 35, at byte {begins[35]}"
    ):
        index_records(path)
    found = index_records(path, skip_broken=True)
    assert found.broken == {35: "its checksum is wrong"}
    assert list(found.labels) == [*range(35), NO_LABEL, *range(36, 40)]
    assert list(found.whole) == [*range(35), *range(36, 40)]


@pytest.mark.parametrize("cut", [3, 50], ids=["in the length", "in the data"])
def test_a_file_that_ends_too_soon(whole: tuple[Path, list[int]], cut: int) -> None:
    """TensorFlow takes a cut length for the end of the file; here it is an error."""
    path, begins = whole
    path.write_bytes(path.read_bytes()[: begins[30] + cut])
    with pytest.raises(DataReadError, match=r"record 30, at byte .* and the file does at byte"):
        index_records(path)
    assert list(index_records(path, skip_broken=True).whole) == [*range(30)]


@pytest.mark.parametrize("length", [2**31, 2**40, 2**62, 2**64 - 1])
def test_a_length_beyond_the_file_is_never_allocated(whole: tuple[Path, list[int]], length: int) -> None:
    """Its checksum is right, and TensorFlow would end the process for want of memory."""
    path, begins = whole
    path.write_bytes(path.read_bytes()[: begins[3]] + header(length) + b"x" * 100)
    with pytest.raises(DataReadError, match="record 3, at byte"):
        index_records(path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff\xffnonsense", "it is no tf.train.Example of an image"),
        (example(png(), b"daisy"), "it is no tf.train.Example of an image: image/class/label: Data types don't match"),
        (example(b"", 1), "it has no image/encoded"),
        (example(png(), [1, 2]), "it has 2 labels"),
        (example(bytes(36), 1, format=b"raw", height=3, width=3), None),
        (example(bytes(35), 1, format=b"raw", height=3, width=3), "its bare pixels do not fit"),
        (example(bytes(36), 1, format=b"RAW"), "its bare pixels do not fit"),
    ],
)
def test_records_that_are_no_images(tmp_path: Path, record: bytes, message: str | None) -> None:
    """Named by number, and left out on request; the others stay."""
    path = write_records(tmp_path / "x.tfrecord", [example(png(), 0), record, example(png(), 2)])
    if message is None:
        assert not index_records(path).broken
        return
    with pytest.raises(DataReadError, match=rf"x\.tfrecord, record 1, is broken: .*({message})"):
        index_records(path)
    assert list(index_records(path, skip_broken=True).whole) == [0, 2]


def test_files_that_are_none(tmp_path: Path) -> None:
    """Text, an empty file, and a compressed one."""
    text = tmp_path / "text.tfrecord"
    text.write_text("not a record at all, but some text\n" * 3)
    with pytest.raises(DataReadError, match="does not begin as a file of TFRecords does"):
        index_records(text)
    assert not begins_with_record(text)
    packed = tmp_path / "packed.tfrecord"
    packed.write_bytes(gzip.compress(b"anything"))
    with pytest.raises(DataReadError, match=r"compressed by gzip.*Run gunzip"):
        index_records(packed)
    (tmp_path / "empty.tfrecord").touch()
    assert not len(index_records(tmp_path / "empty.tfrecord"))
    with pytest.raises(DataReadError, match="No such file"):
        index_records(tmp_path / "none.tfrecord")


def test_a_file_that_changed_is_gone_through_anew(tmp_path: Path) -> None:
    """What is kept of a file is kept only as long as it stays."""
    path = write_records(tmp_path / "x.tfrecord", [example(png(), 0)])
    assert len(index_records(path)) == 1
    write_records(path, [example(png(), 0)] * 3)
    assert len(index_records(path)) == 3


def test_a_megabyte_of_zeros(whole: tuple[Path, list[int]]) -> None:
    """What a broken transfer leaves: not one record in sixteen bytes, each looked at alone."""
    path, _ = whole
    path.write_bytes(path.read_bytes() + bytes(1 << 20))
    index = index_records(path, skip_broken=True)
    np.testing.assert_array_equal(index.whole, np.arange(40))
    assert len(index) == 40 + 64
