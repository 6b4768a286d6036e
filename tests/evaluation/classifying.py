"""A small classifier, and images of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES = ("blue", "green", "red")


def write_classes(folder: Path, images: int, classes: tuple[str, ...] = CLASSES) -> Path:
    """A folder of noise a class, in PNG."""
    import tensorflow as tf

    random = np.random.RandomState(images)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(images):
            image = random.randint(0, 255, (30, 30, 3)).astype("uint8")
            tf.io.write_file(str(folder / name / f"{number}.png"), tf.io.encode_png(image))
    return folder
