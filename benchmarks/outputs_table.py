"""The table of outputs in docs/deployment.md: a network a family, each output run by its own runtime, in Markdown.

Weights are those of the golden recipe, images smooth noise in the range that the network wants, at the sizes of the
parity tests. A number is the largest difference from tf_keras, relative to the largest output (or to 1); of int8 it is
the part of the images with the same class; - is what a network cannot have. Arguments: names of networks, one a family
if left out.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import slim2keras
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import Proof, noise
from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.models.networks import network_of
from tests.deployment.models import small_model
from tests.parity.cases import QUICK, SHAPES

CALIBRATION = 32
"""Images for int8."""


def difference(proof: Proof) -> str:
    return "0" if proof.largest_difference == 0 else f"{proof.largest_difference:.0e}"


def agreement(proof: Proof) -> str:
    return "-" if proof.agreement is None else f"{proof.agreement:.0%}"


Column = tuple[str, str, DeploymentOptions, dict[str, str], Callable[[Proof], str]]


def columns(images: Path) -> list[Column]:
    options, none = DeploymentOptions, {"KERAS_BACKEND": "tensorflow"}
    return [
        ("Keras 3, tensorflow", "m.keras", options(keras=3), none, difference),
        ("Keras 3, jax", "m.keras", options(keras=3), {"KERAS_BACKEND": "jax"}, difference),
        ("folded", "m.keras", options(fold_batch_norm=True), none, difference),
        ("TFLite", "m.tflite", options(), none, difference),
        ("TFLite float16", "m.tflite", options(quantize="float16"), none, difference),
        ("TFLite int8, same class", "m.tflite", options(quantize="int8", data=images), none, agreement),
        ("ONNX", "m.onnx", options(), none, difference),
        ("served, images", "served", options(signature="images"), none, difference),
    ]


def cell(model: object, column: Column, directory: Path) -> str:
    _, name, options, environment, shown = column
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return shown(slim2keras.deploy(model, directory / name, options, overwrite=True).proof)
    except UnsupportedArgumentError:
        return "-"
    except Slim2KerasError as error:
        print(f"{name} {options}: {error}", file=sys.stderr)
        return "refused"
    finally:
        os.environ.clear()
        os.environ.update(before)


def row(net: str, directory: Path) -> Iterator[str]:
    """Cells one by one: those of a large network take minutes each."""
    model = small_model(net, SHAPES[net])
    images = directory / "images.npz"
    np.savez(images, images=noise(network_of(model), CALIBRATION, seed=1))
    for column in columns(images):
        yield cell(model, column, directory)


def main() -> int:
    print(f"| net | {' | '.join(title for title, *_ in columns(Path()))} |")
    print("|---" * (1 + len(columns(Path()))) + "|")
    for net in sys.argv[1:] or QUICK:
        with tempfile.TemporaryDirectory() as directory:
            print(f"| `{net}` |", end="", flush=True)
            for found in row(net, Path(directory)):
                print(f" {found} |", end="", flush=True)
            print()
        gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
