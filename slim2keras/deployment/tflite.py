"""TFLite files, by TensorFlow's converter, described for whoever runs them, and run by LiteRT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from slim2keras.deployment.ends import output_names
from slim2keras.deployment.layer_proof import prove_layers
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import LARGEST_DIFFERENCE, Proof, prove
from slim2keras.deployment.quantization_aware import quantization_aware
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.tflite_conversion import Representative, convert_to_tflite, inference_function
from slim2keras.deployment.tflite_metadata import append_files, described, model_metadata
from slim2keras.deployment.tflite_operators import float_operators, operators
from slim2keras.deployment.tflite_runtime import LiteRT, activations
from slim2keras.deployment.ways import Written
from slim2keras.errors import UnsupportedArgumentError

_USUAL_SIZE = 224
"""Pixels, where nobody knows what size a network was made for."""
_FEW = 4
"""Images of which every activation is kept in memory."""


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:
    """Write ``.tflite``, run it with LiteRT, and compare.

    Raises:
        UnsupportedArgumentError: If a size of the images is open, or int8 lacks images.
        UnsupportedGraphError: If TFLite has not all of its ops.
    """
    if options.quantize == "int8" and subject.ranges:
        return _write_with_trained_ranges(subject, draft)
    function = inference_function(subject.model, _fixed_shape(subject))
    representative = _representative(subject, options)
    content = convert_to_tflite(function, subject.model, options.quantize, representative)
    return write_and_prove(content, subject, draft, options.quantize)


def _write_with_trained_ranges(subject: Subject, draft: Path) -> Written:
    """As ``write``, of a checkpoint of quantization-aware training.

    Raises:
        CheckpointMismatchError: If its ranges belong to no layer.
        ParityError: If the file computes something else than int8 in TensorFlow.
    """
    aware = quantization_aware(subject)
    content = convert_to_tflite(aware.function(_fixed_shape(subject)), aware.as_int8.model, "int8")
    written = write_and_prove(content, subject, draft, "int8")
    images, _ = subject.images()
    by_layer = prove_layers(aware.as_int8, images[:_FEW], activations(draft, images[:_FEW]))
    by_layer.check()
    from_training = aware.distance(LiteRT(draft)(images), aware.as_trained, images)
    remarks = [
        *aware.remarks(subject.data is not None),
        f"Against the arithmetic of int8 in TensorFlow: {by_layer.describe()}.",
        *([f"Against the network as training rounds it: {from_training.describe()}."] if from_training else []),
        *written.proof.remarks,
    ]
    facts = {**aware.facts(), "layers": by_layer.to_json(), "from_training": from_training and asdict(from_training)}
    return Written(replace(written.proof, remarks=remarks), {**written.facts, "quantization_aware": facts})


def write_and_prove(content: bytes, subject: Subject, draft: Path, quantize: str | None) -> Written:
    """Write what the converter gave with all that is known of the images, let LiteRT run it, and compare."""
    images, names = subject.describe_images(), output_names(subject.network)
    draft.write_bytes(described(content, model_metadata(subject.network.name, images, names), names))
    append_files(draft, images)
    runtime = LiteRT(draft)
    in_float = float_operators(draft) if quantize == "int8" else {}
    facts = {
        "quantize": quantize,
        "inputs": _ends(runtime.inputs),
        "outputs": _ends(runtime.outputs),
        "operators": dict(operators(draft)),
        "float_operators": dict(in_float),
    }
    return Written(_proof(subject, runtime, quantize, in_float), {"tflite": facts})


def _fixed_shape(subject: Subject) -> tuple[int, ...]:
    shape = tuple(size for size in subject.network.input_shape if size is not None)
    if len(shape) != len(subject.network.input_shape):
        height, width = (size or _USUAL_SIZE for size in subject.network.image_size)
        raise UnsupportedArgumentError(
            f"{subject.network.name} takes images of any size, {subject.network.input_shape}, and a TFLite file one "
            f"size. Fix it: image_size=({height}, {width}) (command line: --image-size {height},{width})."
        )
    return shape


def _representative(subject: Subject, options: DeploymentOptions) -> Representative | None:
    if options.quantize != "int8":
        return None
    if subject.data is None:
        raise UnsupportedArgumentError(
            "quantize='int8' measures the ranges of values on images like those that will come. Give some, a hundred "
            "are enough: data=IMAGES (command line: --data IMAGES). Checkpoints of quantization-aware training alone "
            "need none."
        )
    return subject.representative


def _proof(subject: Subject, runtime: LiteRT, quantize: str | None, in_float: Mapping[str, int]) -> Proof:
    images, of = subject.images()
    bar = LARGEST_DIFFERENCE if quantize is None else None
    proof = prove(subject.outputs, runtime, images, runtime=runtime.version, of=of, bar=bar, shaken=subject.shaken)
    return replace(proof, remarks=[*_remarks(subject, quantize, in_float)])


def _remarks(subject: Subject, quantize: str | None, in_float: Mapping[str, int]) -> Iterator[str]:
    if quantize is not None and subject.data is None:
        yield "How far quantization changes answers is told by images, not by noise: give some with --data."
    if in_float:
        yield f"{', '.join(in_float)} cannot compute in int8, and do so in float32; hardware may lack that."


def _ends(details: Sequence[Mapping[str, Any]]) -> dict[str, list[int | str]]:
    """Shapes by name."""
    return {
        item["name"]: ["batch" if size == -1 else int(size) for size in item["shape_signature"]] for item in details
    }
