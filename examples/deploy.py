"""One checkpoint, every output, one image, the same answer from each runtime: ``python examples/deploy.py [FOLDER]``.

A MobileNet learns scikit-learn's handwritten digits for a minute, and goes to a checkpoint of slim. From that it goes
everywhere; a runtime that is not installed is left out, with the line that installs it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from digits import load_digits
from PIL import Image
from rich.table import Table
from terminal import console

import slim2keras
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.errors import MissingExtraError
from slim2keras.preprocessing import preprocess

SIZE, CLASSES, EPOCHS = 48, 10, 5
REQUEST = CheckpointRequest(input_shape=(SIZE, SIZE, 3))


@dataclass(frozen=True)
class Digit:
    """An image as the network takes it, (1, height, width, channels), and its file."""

    image: np.ndarray
    file: Path


Runs = Callable[[Path, Digit], np.ndarray]
"""File of a model, and a digit, to logits."""


def train(folder: Path) -> tuple[Path, Path]:
    """A checkpoint of slim, and an image that it has not seen."""
    images, labels, held_out, _ = load_digits(SIZE)
    model = slim2keras.build("mobilenet_v1_025", num_classes=CLASSES, input_shape=(SIZE, SIZE, 3))
    tuned = slim2keras.finetune(model, batch_norm="update", decay=0.9)
    tuned.compile(slim2keras.optimizers.RMSProp(0.01), loss=slim2keras.losses.SoftmaxCrossEntropy())
    tuned.fit(images, labels, batch_size=32, epochs=EPOCHS, verbose=2)
    checkpoint = folder / f"model.ckpt-{int(tuned.optimizer.iterations)}"
    slim2keras.export_checkpoint(tuned, checkpoint)
    picture = folder / "digit.png"
    Image.fromarray(np.uint8(held_out[0] * 127.5 + 127.5)).save(picture)
    return checkpoint, picture


def run_tf_keras(file: Path, digit: Digit) -> np.ndarray:
    import tf_keras

    return tf_keras.models.load_model(file, compile=False)(digit.image).numpy()


def run_keras(file: Path, digit: Digit) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(keras.models.load_model(file, compile=False)(digit.image))


def run_tflite(file: Path, digit: Digit) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], digit.image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def run_onnx(file: Path, digit: Digit) -> np.ndarray:
    import onnxruntime

    return onnxruntime.InferenceSession(file).run(["logits"], {"images": digit.image})[0]


def serve(file: Path, digit: Digit) -> np.ndarray:
    import tensorflow as tf

    served = tf.saved_model.load(file).signatures["serving_default"]
    return served(image_bytes=tf.constant([digit.file.read_bytes()]))["logits"].numpy()


OUTPUTS: list[tuple[str, str, DeploymentOptions, Runs]] = [
    ("tf_keras", "model.keras", DeploymentOptions(), run_tf_keras),
    ("tf_keras, BatchNorm folded", "folded.keras", DeploymentOptions(fold_batch_norm=True), run_tf_keras),
    ("Keras 3", "keras3.keras", DeploymentOptions(keras=3), run_keras),
    ("TFLite", "model.tflite", DeploymentOptions(), run_tflite),
    ("TFLite, float16", "half.tflite", DeploymentOptions(quantize="float16"), run_tflite),
    ("ONNX", "model.onnx", DeploymentOptions(), run_onnx),
    ("TensorFlow, of the PNG file", "served", DeploymentOptions(signature="bytes"), serve),
]


def main(folder: Path) -> None:
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it calls slim's way to resize old
    checkpoint, picture = train(folder)
    model = slim2keras.convert(checkpoint, input_shape=(SIZE, SIZE, 3))
    digit = Digit(preprocess(np.asarray(Image.open(picture)), model)[np.newaxis].numpy(), picture)
    wanted = model(digit.image).numpy()
    table = Table("output", "KiB", "class", "logit", "off by", box=None)
    for name, file, options, run in OUTPUTS:
        console.print(f"[bold]{name}[/]: {file}", highlight=False)
        try:
            report = slim2keras.deploy(checkpoint, folder / file, options, request=REQUEST, overwrite=True)
        except MissingExtraError as error:
            console.print(f"  left out: {error}")
            continue
        logits = run(folder / file, digit)
        best, size = int(logits.argmax()), f"{report.output['bytes'] / 1024:,.0f}"
        table.add_row(name, size, str(best), f"{logits[0, best]:.5f}", f"{np.abs(logits - wanted).max():.1e}")
    console.print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
