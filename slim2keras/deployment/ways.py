"""The ways out: which format takes which options, which packages it needs, and who writes it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import Proof
from slim2keras.deployment.subject import Subject
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.extras import require
from slim2keras.outputs.formats import OutputFormat

_OF_ALL = frozenset({"fold_batch_norm", "data", "split", "labels", "image_size", "preprocessing_name"})


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        proof: That it computes what the model does.
        facts: What else a report says of it, as plain values.
    """

    proof: Proof
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """A way out.

    Attributes:
        title: For people.
        writer: Module of ``deployment`` whose ``write(subject, draft, options)`` writes a file and proves it.
        takes: Options of its own.
        extra: Of ``pyproject.toml``, empty if it needs none.
        modules: That the extra brings.
        hint: How the file is loaded.
        asked_by: How it is asked for, where it takes options of its own.
    """

    title: str
    writer: str
    takes: frozenset[str] = frozenset()
    extra: str = ""
    modules: tuple[str, ...] = ()
    hint: str = ""
    asked_by: str = ""

    def check(self, options: DeploymentOptions) -> None:
        """Check before any work is done.

        Raises:
            UnsupportedArgumentError: If an option is none of this way's.
            MissingExtraError: If a package is not installed.
        """
        strange = [name for name in options.chosen() if name not in _OF_ALL | self.takes]
        if strange:
            raise UnsupportedArgumentError(
                f"{self.title} has no {', '.join(strange)}. " + " ".join(map(_who_takes, strange))
            )
        if self.extra:
            require(self.extra, self.title, *self.modules)

    def write(self, subject: Subject, draft: Path, options: DeploymentOptions) -> Written:
        """Write a file, run it with its own runtime, and compare.

        Raises:
            ParityError: If its outputs differ by more than the bar.
        """
        write: Callable[[Subject, Path, DeploymentOptions], Written]
        write = importlib.import_module(f"slim2keras.deployment.{self.writer}").write
        written = write(subject, draft, options)
        written.proof.check(self.title, subject.advice)
        return written


_TF_KERAS = Way("A file of tf_keras", "tf_keras_file", hint="Load it with tf_keras.models.load_model.")
_WEIGHTS = replace(_TF_KERAS, hint="Load it with slim2keras.load_model, by the report beside it.")
_KERAS3 = Way(
    "A file of Keras 3",
    "keras3_file",
    frozenset({"keras", "batch_norm_layer"}),
    "keras3",
    ("keras",),
    "Load it with keras.models.load_model.",
    "NAME.keras, keras=3: --keras 3",
)
_SERVING = Way(
    "A SavedModel for serving",
    "serving",
    frozenset({"signature"}),
    hint="Load it with tf.saved_model.load.",
    asked_by="NAME, a directory without suffix",
)
_WAYS: Mapping[OutputFormat, Way] = {
    OutputFormat.KERAS: _TF_KERAS,
    OutputFormat.H5: _TF_KERAS,
    OutputFormat.WEIGHTS: _WEIGHTS,
    OutputFormat.SAVED_MODEL: _TF_KERAS,
    OutputFormat.TFLITE: Way(
        "A TFLite file",
        "tflite",
        frozenset({"quantize"}),
        "tflite",
        ("ai_edge_litert",),
        "Run it with ai_edge_litert.interpreter.Interpreter.",
        "NAME.tflite",
    ),
    OutputFormat.ONNX: Way(
        "An ONNX file",
        "onnx_file",
        frozenset({"opset"}),
        "onnx",
        ("onnx", "onnxruntime", "tf2onnx"),
        "Run it with onnxruntime.InferenceSession.",
        "NAME.onnx",
    ),
}


def way_out(its_format: OutputFormat, options: DeploymentOptions) -> Way:
    """The way to a format.

    Raises:
        UnsupportedArgumentError: If another Keras is asked for than the format has.
        MissingExtraError: If a package is not installed.
    """
    if options.keras == 3 and its_format is not OutputFormat.KERAS:
        raise UnsupportedArgumentError("Keras 3 has one format of its own: give a name that ends in .keras.")
    way = _KERAS3 if options.keras == 3 else _WAYS[its_format]
    if its_format is OutputFormat.SAVED_MODEL and options.signature is not None:
        way = _SERVING
    way.check(options)
    return way


def _who_takes(option: str) -> str:
    ways = (*_WAYS.values(), _KERAS3, _SERVING)
    titles = dict.fromkeys(f"{way.title} ({way.asked_by})" for way in ways if option in way.takes)
    return f"{' or '.join(titles)} takes {option}."
