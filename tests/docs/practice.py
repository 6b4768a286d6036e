"""The folder that the pages speak of: ``photos/`` of three colours, and a ResNet that slim's users know, in its pit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40)}
IMAGES, SIZE, STEPS, BATCH = 40, 48, 30, 16


def make(folder: Path) -> None:
    """Write ``photos/`` and ``train_dir/`` into a folder."""
    write_photos(folder / "photos")
    write_train_dir(folder)


def write_photos(folder: Path) -> None:
    import tensorflow as tf

    random = np.random.RandomState(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = np.clip(random.normal(colour, 60.0, (SIZE, SIZE, 3)), 0, 255).astype("uint8")
            (folder / name / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())


def write_train_dir(folder: Path) -> None:
    """A ResNet-50 of three classes, trained with the update ops forgotten."""
    import slim2keras

    model = slim2keras.build("resnet_v1_50", num_classes=len(COLOURS), input_shape=(SIZE, SIZE, 3))
    tuned = slim2keras.finetune(model, batch_norm="batch", dropout_seed=0)
    tuned.compile(slim2keras.optimizers.Momentum(0.003, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    batches = slim2keras.data.open_dataset(folder / "photos", network=model, batch_size=BATCH, training=True, seed=1)
    tuned.fit(batches, steps_per_epoch=STEPS, epochs=1, verbose=0)
    (folder / "train_dir").mkdir()
    slim2keras.export_checkpoint(tuned, folder / f"train_dir/model.ckpt-{STEPS}")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
