"""Images to be read."""

from __future__ import annotations

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
    tf.io.write_file(str(path), encode(image))
    return path


def opened(path: Path, spec: NetSpec = SPEC, batch_size: int = 2, **options: Any) -> list[Any]:
    return list(open_images(path, spec, batch_size, **options))
