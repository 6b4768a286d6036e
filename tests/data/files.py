"""Images to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.data.images import open_images
from slim2keras.nets.spec import NetSpec

SPEC = NetSpec.make("resnet_v1_50", (32, 32, 3), {"num_classes": 3})
GREY, GREEN = (128, 128, 128), (0, 255, 0)


def write_image(path: Path, colour: tuple[int, int, int] = GREY, size: tuple[int, int] = (40, 60)) -> Path:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.broadcast_to(np.array(colour, "uint8"), (*size, 3))
    encode = tf.io.encode_jpeg if path.suffix.lower() in (".jpg", ".jpeg") else tf.io.encode_png
    path.write_bytes(encode(image).numpy())
    return path


def opened(path: Path, spec: NetSpec = SPEC, batch_size: int = 2, **options: Any) -> list[Any]:
    return list(open_images(path, spec, batch_size, **options))


def png(colour: tuple[int, int, int] | int = GREY, size: tuple[int, int] = (40, 60)) -> bytes:
    import tensorflow as tf

    return bytes(tf.io.encode_png(np.broadcast_to(np.array(colour, "uint8"), (*size, 3))).numpy())


def example(encoded: bytes = b"", label: Any = None, **more: Any) -> bytes:
    """A serialized ``tf.train.Example``, with slim's keys for what is given."""
    from tensorflow.train import BytesList, Example, Feature, Features, Int64List

    def feature(value: Any) -> Feature:
        if isinstance(value, bytes):
            return Feature(bytes_list=BytesList(value=[value]))
        return Feature(int64_list=Int64List(value=np.atleast_1d(value)))

    features = {f"image/{key}": feature(value) for key, value in more.items()}
    if encoded:
        features["image/encoded"] = feature(encoded)
    if label is not None:
        features["image/class/label"] = feature(label)
    return bytes(Example(features=Features(feature=features)).SerializeToString())


def write_records(path: Path, records: Sequence[bytes]) -> Path:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def write_flowers(folder: Path, *, shards: int = 2, images: int = 6) -> Path:
    """slim's flowers: image k of a split has k for its red, and class k modulo 3."""
    for split, first in (("train", 0), ("validation", 100)):
        for shard in range(shards):
            name = f"flowers_{split}_{shard:05d}-of-{shards:05d}.tfrecord"
            numbers = range(first + shard * images, first + (shard + 1) * images)
            write_records(folder / name, [example(png((k, 0, 0)), k % 3, format=b"png") for k in numbers])
    (folder / "labels.txt").write_text("0:daisy\n1:rose\n2:tulip\n")
    return folder


def write_classes(folder: Path, classes: Sequence[str] = "abc", images: int = 4) -> Path:
    """Folders of images; image k of class c has 10 k for its red and 50 c for its green."""
    for number, name in enumerate(classes):
        for k in range(images):
            write_image(folder / name / f"{k}.png", (10 * k, 50 * number, 0))
    return folder
