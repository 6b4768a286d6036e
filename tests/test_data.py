"""Images from files: what is read, in which order and as which classes, how it is prepared, what is refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.data.images import open_images
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing.factory import preprocess
from slim2keras.slim.runtime import import_tf_slim
from tests.parity.cases import SLIM_SOURCE

SPEC = NetSpec.make("resnet_v1_50", (32, 32, 3), {"num_classes": 3})
GREY, GREEN = (128, 128, 128), (0, 255, 0)


def write_image(path: Path, colour: tuple[int, int, int] = GREY, size: tuple[int, int] = (40, 60)) -> Path:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.broadcast_to(np.array(colour, "uint8"), (*size, 3))
    encode = tf.io.encode_jpeg if path.suffix.lower() in (".jpg", ".jpeg") else tf.io.encode_png
    tf.io.write_file(str(path), encode(image))
    return path


def opened(path: Path, spec: NetSpec = SPEC, batch_size: int = 2, **options: Any) -> list[Any]:
    return list(open_images(path, spec, batch_size, **options))


def classes_by_green(found: Any) -> set[tuple[bool, int]]:
    """Whether an image is green, and its label."""
    images, labels = found
    return {(bool(image[0, 0, 1] > 100.0), int(label)) for image, label in zip(images, labels, strict=True)}


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
    assert found.labels is None
    assert "ends in its features" in found.numbering


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
        ({"images": GOOD.astype("uint8")}, r"of uint8; resnet_v1_50 takes \(count, 32, 32, 3\) of float32"),
        ({"images": GOOD[:, :16]}, r"images \(4, 16, 32, 3\)"),
        ({"images": GOOD[0]}, r"images \(32, 32, 3\)"),
        ({"images": GOOD[..., :1]}, "images of 1 channels; resnet_v1_50 takes 3"),
        ({"images": GOOD, "labels": np.array([0, 1, 3, 2])}, "1 labels that are no classes .* first is 3, of image 2"),
        ({"images": GOOD, "labels": np.array([0, 1, -1, 2])}, "the first is -1, of image 2"),
        ({"images": GOOD[:0]}, r"images \(0, 32, 32, 3\)"),
        ({"pictures": GOOD}, "no .npz with an array `images`"),
        ({"images": GOOD, "labels": np.zeros(3, int)}, r"labels \(3,\)"),
        ({"images": GOOD, "labels": np.zeros(4)}, "of float64; wanted are"),
        ({"images": np.array([{}], dtype=object)}, "no .npz with an array `images`"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataReadError, match=message):
        opened(write_npz(tmp_path / "data.npz", **arrays))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"\x93NUMPY", b"nonsense" * 100])
def test_files_that_are_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(DataReadError, match=r"is no \.npz"):
        opened(path)


def test_other_files_are_told_what_they_are(tmp_path: Path) -> None:
    """TFRecords, text and single images are what people give instead; each is told the way on."""
    import tensorflow as tf

    records = tmp_path / "flowers_train_00000-of-00005.tfrecord"
    with tf.io.TFRecordWriter(str(records)) as writer:
        writer.write(b"an example")
    (tmp_path / "labels.csv").write_text("file,label\n")
    write_image(tmp_path / "one.png")
    for name, message in {
        records.name: "is a file of TFRecords",
        "labels.csv": "is no .npz but text, beginning 'file,label",
        "one.png": "is one image. Give the folder",
    }.items():
        with pytest.raises(DataReadError, match=message):
            opened(tmp_path / name)
    (tmp_path / "one.png").unlink()
    with pytest.raises(DataReadError, match="TFRecords are not read"):
        opened(tmp_path)


def test_a_folder_of_splits_is_told_so(tmp_path: Path) -> None:
    """``train/daisy/1.png`` wants ``train``."""
    for split in ("train", "validation"):
        write_image(tmp_path / split / "daisy" / "1.png")
    with pytest.raises(DataReadError, match="give it by itself"):
        opened(tmp_path)


def test_a_truncated_npz(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz", images=GOOD)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataReadError, match=r"is no \.npz"):
        opened(path)


def test_an_npz_with_a_flipped_byte(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, images=np.random.RandomState(0).normal(size=(4, 32, 32, 3)).astype("float32"))
    content = bytearray(path.read_bytes())
    for place in range(100, 400, 3):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataReadError, match=r"is no \.npz"):
        opened(path)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataReadError, match="but nothing"):
        opened(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(DataReadError, match=r"but notes\.txt"):
        opened(tmp_path)
    with pytest.raises(DataReadError, match="There are no images"):
        opened(tmp_path / "nowhere")


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    whole = write_image(tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataReadError, match=r"b\.png cannot be read as an image"):
        opened(tmp_path)


SIZES = ((300, 400), (97, 61), (256, 256), (1, 2))


@pytest.mark.parametrize("size", SIZES)
def test_vgg_takes_the_middle_of_the_resized_image(size: tuple[int, int]) -> None:
    """Sides of 256 at least, bilinear by TensorFlow 1's rule, written here once more in NumPy."""
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype("uint8")
    scale = 256 / min(size)
    resized = resized_by_hand(image, round(size[0] * scale), round(size[1] * scale))
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 200) // 2
    expected = resized[top : top + 224, left : left + 200] - (123.68, 116.78, 103.94)
    np.testing.assert_allclose(prepared(image, "vgg", 224, 200), expected, atol=2e-2)


@pytest.mark.parametrize("size", SIZES[:3])
def test_inception_takes_the_central_part(size: tuple[int, int]) -> None:
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype("uint8")
    top, left = (int((side - side * 0.875) / 2) for side in size)
    central = image[top : size[0] - top, left : size[1] - left] / 255.0
    np.testing.assert_allclose(
        prepared(image, "inception", 64, 48), resized_by_hand(central, 64, 48) * 2.0 - 1.0, atol=1e-4
    )


def prepared(image: np.ndarray, preprocessing: str, height: int, width: int) -> np.ndarray:
    import tensorflow as tf

    found: np.ndarray = preprocess(tf.constant(image), preprocessing, height=height, width=width).numpy()
    return found


def resized_by_hand(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, corners at the origin."""
    values = image.astype("float64")
    for axis, size in enumerate((height, width)):
        length = values.shape[axis]
        places = np.arange(size) * (length / size)
        low = places.astype(int)
        high = np.minimum(low + 1, length - 1)
        part = (places - low).reshape([-1 if axis == other else 1 for other in range(3)])
        values = values.take(low, axis) * (1.0 - part) + values.take(high, axis) * part
    return values


def test_a_preprocessing_that_slim_does_not_have() -> None:
    with pytest.raises(UnsupportedArgumentError, match=r"no network and no pipeline .unknown."):
        prepared(np.zeros((4, 4, 3), "uint8"), "unknown", 4, 4)


@pytest.mark.skipif(SLIM_SOURCE is None, reason="needs the source of research/slim")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("preprocessing", "target"),
    [("inception", (299, 280)), ("vgg", (224, 200)), ("lenet", (28, 28)), ("cifarnet", (32, 32))],
)
def test_slims_own_pipelines(
    monkeypatch: pytest.MonkeyPatch, preprocessing: str, target: tuple[int, int], size: tuple[int, int]
) -> None:
    """Bit for bit."""
    import_tf_slim()
    import tensorflow as tf

    monkeypatch.syspath_prepend(str(SLIM_SOURCE))
    module = importlib.import_module(f"preprocessing.{preprocessing}_preprocessing")
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype("uint8")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        fed = tf.compat.v1.placeholder(tf.uint8, (None, None, 3))
        theirs = session.run(module.preprocess_image(fed, *target, is_training=False), {fed: image})
    np.testing.assert_array_equal(prepared(image, preprocessing, *target), theirs)
