"""Writes the golden files of a release: one of each format, of the smallest networks, with what they compute.

``python -m tests.golden_files.writing`` packs those of this version, which must not be there yet: what a release wrote
stays as it is. Where a format comes between two releases, ``python -m tests.golden_files.writing unreleased`` packs
what the next one will write, as often as it changes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.version import __version__
from tests.reference import images
from tests.trainer import runs

FOLDER = Path(__file__).parent
UNRELEASED = "unreleased"
CHECKPOINT, STEP = "slim/model.ckpt-5", 5
RUN, RUN_IMAGES = "run", "images"
OUTPUTS = "outputs.npz"
RUN_OPTIONS = {**runs.OPTIONS, "epochs": 1}
EPOCHS_GONE_ON = 2


@dataclass(frozen=True)
class Deployed:
    """A file that ``deploy`` writes.

    Attributes:
        name: Of the file.
        writer: Module of ``deployment`` that writes it.
        settings: Of ``deploy``.
    """

    name: str
    writer: str
    settings: Mapping[str, Any] = field(default_factory=dict)


CONVERTED = ("tiny.keras", "tiny.h5", "tiny.weights.h5", "tiny_saved_model")
"""Of ``convert``, from the checkpoint."""
DEPLOYED = (
    Deployed("deployed.keras", "tf_keras_file"),
    Deployed("keras3.keras", "keras3_file", {"keras": 3}),
    Deployed("tiny.tflite", "tflite"),
    Deployed("tiny.onnx", "onnx_file"),
    Deployed("served", "serving", {"signature": "raw"}),
)
ZOO = "zoo.weights.h5"
"""Of a network of slim's zoo, which the report beside it names."""


def write_all(folder: Path) -> None:
    """Write every file into an empty folder, which is the working directory: reports name files relative to it."""
    import slim2keras
    from slim2keras.conversion.converting import convert_to_file
    from slim2keras.conversion.request import CheckpointRequest
    from tests.deployment.models import small_model

    given, outputs = images(0, (3, 16, 16, 3)), {}
    _write_checkpoint(folder / CHECKPOINT)
    request = CheckpointRequest(network=runs.tiny_network(len(runs.CLASSES)))
    for name in CONVERTED:
        convert_to_file(CHECKPOINT, name, request)
    model = slim2keras.load_model("tiny.keras")
    for deployed in DEPLOYED:
        slim2keras.deploy(model, deployed.name, **deployed.settings)
    outputs["tiny"] = model(given).numpy()

    zoo = small_model("mobilenet_v1", (32, 32, 3), num_classes=2, depth_multiplier=0.01)
    slim2keras.export_checkpoint(zoo, "zoo/model.ckpt")
    arguments = {"num_classes": 2, "depth_multiplier": 0.01}
    convert_to_file("zoo/model.ckpt", ZOO, CheckpointRequest("mobilenet_v1", arguments, (32, 32, 3)))
    shutil.rmtree("zoo")
    outputs["zoo"] = zoo(images(0, (3, 32, 32, 3))).numpy()

    outputs |= _write_run(folder)
    np.savez_compressed(folder / OUTPUTS, **outputs)


def _write_checkpoint(prefix: Path) -> None:
    """Of a network that was trained for five steps, with its slots, shadows and the record of its statistics."""
    import slim2keras
    from slim2keras.models.building import build_model
    from tests.deployment.models import valued

    model = valued(build_model(runs.tiny_network(len(runs.CLASSES))))
    tuned = slim2keras.finetune(model, batch_norm="update", decay=0.8, ema_decay=0.9, dropout_seed=0)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    tuned.fit(images(1, (20, 16, 16, 3)), np.arange(20) % 3, batch_size=4, verbose=0)
    slim2keras.export_checkpoint(tuned, prefix)


def _write_run(folder: Path) -> dict[str, np.ndarray]:
    """A RUN that may go on, with its images; returns the losses of one that has gone on."""
    from slim2keras.trainer.training import train

    runs.write_images(folder / RUN_IMAGES, 4)
    runs.write_network(folder / "start.keras")
    for name, epochs in ((RUN, 1), ("whole", EPOCHS_GONE_ON)):
        train(runs.training_request("start.keras", RUN_IMAGES, name, **{**RUN_OPTIONS, "epochs": epochs}))
    losses = [float(row["loss"]) for row in runs.history(folder / "whole")]
    shutil.rmtree("whole")
    for path in (folder / "start.keras", folder / "start.keras.json", *(folder / RUN).glob("*.png")):
        path.unlink()
    shutil.rmtree(folder / RUN / "tensorboard")
    return {"losses of the run": np.array(losses)}


def main(name: str = __version__) -> None:
    """Pack the files of this version, or of the next."""
    if name not in (__version__, UNRELEASED):
        sys.exit(f"Only what this version writes can be written: {__version__}, or {UNRELEASED}.")
    target = FOLDER / f"{name}.zip"
    if target.exists() and name != UNRELEASED:
        sys.exit(f"{target} is there already. What a release wrote stays as it is.")
    with tempfile.TemporaryDirectory() as drafts:
        os.chdir(drafts)
        write_all(Path(drafts))
        shutil.make_archive(str(target.with_suffix("")), "zip", drafts)
    if name != UNRELEASED:
        (FOLDER / f"{UNRELEASED}.zip").unlink(missing_ok=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
