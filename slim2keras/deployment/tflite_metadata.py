"""What a network wants of its images, within a TFLite file, where Android's Task Library and MediaPipe look for it.

A flatbuffer of its own lies in the file's buffer ``TFLITE_METADATA``: how pixels become values, and what the outputs
are. It names files that are appended to the TFLite file as a zip archive: the names of the classes, one a line, and
everything that is known as JSON. So ``unzip`` lists them, and ``zipfile`` reads them.

Source: mediapipe/tasks/metadata/metadata_schema.fbs, version 1.5.0; the comments there say who reads what.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.deployment.ends import FEATURES, IMAGES, LOGITS, PROBABILITIES
from slim2keras.deployment.flatbuffer_tables import Table, flatbuffer
from slim2keras.errors import NoSpaceError
from slim2keras.version import __version__

LABELS_FILE, IMAGES_FILE = "labels.txt", "images.json"
_BUFFER = "TFLITE_METADATA"
_IDENTIFIER, _MODEL_IDENTIFIER = b"M001", b"TFL3"
_OLDEST_PARSER = "1.0.0"
"""Nothing that came later is used."""
_DESCRIPTION_FILE, _AXIS_LABELS_FILE = np.int8(1), np.int8(2)
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES, _NORMALIZATION = np.uint8(1), np.uint8(2), np.uint8(1)
_COLOURS = {"RGB": np.int8(1), "grey": np.int8(2)}
_MEANINGS = {
    LOGITS: "A logit a class; softmax makes probabilities of them.",
    PROBABILITIES: "A probability a class.",
    FEATURES: "Features.",
}
_ROOM = 2**16
"""Bytes beside the file that it was, for names and metadata."""


def model_metadata(name: str, images: Mapping[str, Any], outputs: Sequence[str]) -> bytes:
    """The flatbuffer that describes a file.

    Args:
        name: Of the network.
        images: See ``describe_images``.
        outputs: Names, in order.
    """
    words = images["words"] or "As the network takes them; nobody knows their preprocessing."
    labels = [_file(LABELS_FILE, "Names of the classes, one a line.", _AXIS_LABELS_FILE)]
    first, *others = outputs
    subgraph = Table(
        (
            None,
            None,
            [_tensor(IMAGES, words, _image_content(images), _normalization(images))],
            [
                _tensor(first, _MEANINGS.get(first, ""), _features(), files=labels if images["class_names"] else ()),
                *(_tensor(other, "", _features()) for other in others),
            ],
        )
    )
    facts = _file(IMAGES_FILE, "What the network wants of its images, and its classes.", _DESCRIPTION_FILE)
    description = f"{name}, by slim2keras {__version__}. {words}"
    return flatbuffer(
        Table((name, description, None, [subgraph], None, None, [facts], _OLDEST_PARSER)),
        _IDENTIFIER,
    )


def _file(name: str, description: str, kind: np.int8) -> Table:
    return Table((name, description, kind))


def _tensor(
    name: str, description: str, content: Table, steps: Sequence[Table] = (), files: Sequence[Table] = ()
) -> Table:
    return Table((name, description, None, content, steps, None, files))


def _features() -> Table:
    return Table((_FEATURE_PROPERTIES, Table(())))


def _image_content(images: Mapping[str, Any]) -> Table:
    colours = _COLOURS.get(images["colours"])
    # Readers of images take a batch of them, and no frames.
    if colours is None or images["layout"] != "NHWC":
        return _features()
    height, width = images["size"]
    return Table((_IMAGE_PROPERTIES, Table((colours, Table((np.uint32(width), np.uint32(height)))))))


def _normalization(images: Mapping[str, Any]) -> list[Table]:
    """``(pixel - mean) / std``, where that is all that is done to a pixel."""
    if images["mean"] is None:
        return []
    means, deviations = images["mean"], [1 / images["scale"]] * len(images["mean"])
    return [Table((_NORMALIZATION, Table((means, deviations))))]


def described(content: bytes, metadata: bytes, outputs: Sequence[str]) -> bytes:
    """A TFLite file with metadata, and with names of its input and its outputs that people can use.

    Args:
        content: As the converter wrote it, of a function that gives a list of outputs.
        metadata: See ``model_metadata``.
        outputs: Names, in order.

    Raises:
        NoSpaceError: If the converter had no room, and left out the names of the ends.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    _name_ends(model, outputs)
    model.buffers.append(schema.BufferT(np.frombuffer(metadata, "uint8")))
    model.metadata = [*(model.metadata or []), schema.MetadataT(_BUFFER, len(model.buffers) - 1)]
    builder = flatbuffers.Builder(len(content) + len(metadata) + _ROOM)
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    return bytes(builder.Output())


def _name_ends(model: Any, outputs: Sequence[str]) -> None:
    """Give the ends their names, and the outputs the order of the model, of which the converter keeps numbers alone."""
    if not model.signatureDefs:
        raise NoSpaceError(
            f"TensorFlow's converter could not keep the model in {tempfile.gettempdir()} on its way: no space is left "
            "there, or nobody may write there. Free some space, or set TMPDIR to a directory that has it."
        )
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    places = {end.name.decode(): end.tensorIndex for end in signature.outputs}
    graph.outputs = [places[f"output_{number}"] for number in range(len(outputs))]
    names = dict(zip([*graph.inputs, *graph.outputs], [IMAGES, *outputs], strict=True))
    for number, name in names.items():
        graph.tensors[number].name = name
    for end in (*signature.inputs, *signature.outputs):
        end.name = names[end.tensorIndex]


def append_files(file: Path, images: Mapping[str, Any]) -> None:
    """Append to a TFLite file what its metadata names: everything known of the images, and the names of the classes.

    Stored, not compressed, since the readers on devices map them.
    """
    class_names = images["class_names"]
    contents = {IMAGES_FILE: json.dumps(images, ensure_ascii=False, indent=2) + "\n"}
    if class_names:
        contents[LABELS_FILE] = "".join(f"{name}\n" for name in class_names)
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in contents.items():
            # By a ZipInfo, which has a fixed date: the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), text.encode())
