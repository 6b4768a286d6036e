"""Images from files: what is read, in which order, what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.data.images import open_images
from slim2keras.data.listing import list_examples
from slim2keras.errors import DataReadError
from tests.data.files import GREEN, GREY, SPEC, opened, write_image


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    """Every image once, whatever the case of its suffix; other files are passed over."""
    for name in ("b.png", "a.jpg", "c.JPEG"):
        write_image(tmp_path / name, GREEN if name == "a.jpg" else GREY)
    (tmp_path / "notes.txt").write_text("not an image")
    first, second = opened(tmp_path)
    assert first.shape == (2, 32, 32, 3)
    assert second.shape == (1, 32, 32, 3)
    assert first.dtype == np.float32
    every = np.concatenate([first, second])[:, 0, 0]
    grey = np.array(GREY) - (123.68, 116.78, 103.94)
    assert sorted(np.isclose(every, grey, rtol=1e-5).all(1)) == [False, True, True]


def test_images_come_shuffled_and_each_time_alike(tmp_path: Path) -> None:
    """A batch of sorted arrays holds all classes; images and labels stay together."""
    labels = np.repeat(np.arange(3), 20)
    images = np.broadcast_to(labels[:, None, None, None], (60, 32, 32, 3)).astype("float32")
    path = write_npz(tmp_path / "data.npz", images=images, labels=labels)
    found = open_images(path, SPEC, 12)
    for part, numbers in found:
        assert len({*numbers}) == 3
        np.testing.assert_array_equal(part[:, 0, 0, 0], numbers)
    assert sorted(np.concatenate([numbers for _, numbers in found])) == sorted(labels)
    for (_, numbers), (_, again) in zip(found, open_images(path, SPEC, 12), strict=True):
        np.testing.assert_array_equal(numbers, again)


def test_an_npz_is_taken_as_it_is(tmp_path: Path) -> None:
    """Values bit for bit, labels beside their images."""
    images = np.random.RandomState(0).normal(size=(5, 32, 32, 3)).astype("float32")
    labels = np.arange(5) % 3
    batches = opened(write_npz(tmp_path / "data.npz", images=images, labels=labels))
    assert [len(part) for part, _ in batches] == [2, 2, 1]
    found = {part[row].tobytes(): numbers[row] for part, numbers in batches for row in range(len(part))}
    assert found == {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert len(opened(write_npz(tmp_path / "data.npz", images=images))[0]) == 2


GOOD = np.zeros((4, 32, 32, 3), "float32")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GOOD.astype("float64")}, r"of float64; resnet_v1_50 takes \(count, 32, 32, 3\) of float32"),
        ({"images": GOOD[:, :16]}, r"images \(4, 16, 32, 3\)"),
        ({"images": GOOD[0]}, r"images \(32, 32, 3\)"),
        ({"images": GOOD[..., :1]}, "images of 1 channels; resnet_v1_50 takes 3"),
        (
            {"images": GOOD, "labels": np.array([0, 1, 3, 2])},
            "1 labels that are no classes .* first is 3, of data.npz, image 2",
        ),
        ({"images": GOOD, "labels": np.array([0, 1, -1, 2])}, "the first is -1, of data.npz, image 2"),
        ({"images": GOOD[:0]}, r"images \(0, 32, 32, 3\)"),
        ({"pictures": GOOD}, "no .npz with an array `images`"),
        ({"images": GOOD, "labels": np.zeros(3, int)}, r"labels \(3,\)"),
        ({"images": GOOD, "labels": np.zeros(4)}, "of float64; wanted are"),
        ({"images": np.array([{}], dtype=object)}, "no .npz with an array `images`"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    """Another dtype, size or number than the network takes is told with both."""
    with pytest.raises(DataReadError, match=message):
        opened(write_npz(tmp_path / "data.npz", **arrays))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"\x93NUMPY", b"nonsense" * 100])
def test_files_that_are_no_npz(tmp_path: Path, content: bytes) -> None:
    """Whatever lies behind the suffix, it is an error in words."""
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(DataReadError, match=r"is no \.npz"):
        opened(path)


def test_other_files_are_told_what_they_are(tmp_path: Path) -> None:
    """Text and single images are what people give instead; each is told the way on."""
    (tmp_path / "labels.csv").write_text("file,label\n")
    write_image(tmp_path / "one.png")
    for name, message in {
        "labels.csv": "is no .npz but text, beginning 'file,label",
        "one.png": "is one image. Give the folder",
    }.items():
        with pytest.raises(DataReadError, match=message):
            opened(tmp_path / name)


def test_a_folder_of_splits_is_told_so(tmp_path: Path) -> None:
    """``train/daisy/1.png`` wants ``train``."""
    for split in ("train", "validation"):
        write_image(tmp_path / split / "daisy" / "1.png")
    with pytest.raises(DataReadError, match="give it by itself"):
        opened(tmp_path)


def test_a_truncated_npz(tmp_path: Path) -> None:
    """Half an array is none."""
    path = write_npz(tmp_path / "data.npz", images=GOOD)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataReadError, match=r"is no \.npz"):
        opened(path)


def test_an_npz_with_a_flipped_byte(tmp_path: Path) -> None:
    """Damaged images are not handed out."""
    path = tmp_path / "data.npz"
    np.savez_compressed(path, images=np.random.RandomState(0).normal(size=(4, 32, 32, 3)).astype("float32"))
    content = bytearray(path.read_bytes())
    for place in range(100, 400, 3):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataReadError, match=r"is no \.npz"):
        opened(path)


def test_folders_without_images(tmp_path: Path) -> None:
    """What the folder has instead is named."""
    with pytest.raises(DataReadError, match="it is empty"):
        opened(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(DataReadError, match=r"but notes\.txt"):
        opened(tmp_path)
    with pytest.raises(DataReadError, match="There are no images"):
        opened(tmp_path / "nowhere")


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    """One broken file among many is found by its name."""
    whole = write_image(tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataReadError, match=r"b\.png cannot be read as an image"):
        opened(tmp_path)


HEADERS = {
    "2**40 numbers": "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
    "more than there are": "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 16, 16, 3), }",
    "no header": "(" * 300,
    "no end": "(" * 20,
    "another value": "{}",
}


@pytest.mark.parametrize("header", HEADERS)
def test_an_npz_that_says_what_it_has_not_is_refused(tmp_path: Path, header: str) -> None:
    """Before NumPy takes memory for it, and whatever NumPy says of it, with the name of the file."""
    path = tmp_path / "data.npz"
    text = f"{HEADERS[header]}\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(6144))
    with pytest.raises(DataReadError, match=r"data\.npz is no \.npz"):
        list_examples(path)


def test_an_npz_without_labels_is_named(tmp_path: Path) -> None:
    """Where labels are wanted."""
    path = write_npz(tmp_path / "data.npz", images=np.zeros((2, 4, 4, 3), "uint8"))
    with pytest.raises(DataReadError, match=r"data\.npz has no array `labels`"):
        list_examples(path).known_labels()
