"""SavedModels for serving: TensorFlow alone runs them, from images of any size, or encoded files, to names of classes.

They hold functions and variables, and no model of tf_keras: it would be written beside them, and want tf_keras again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.labels import class_names
from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.deployment.ends import IMAGES, PROBABILITIES, output_names
from slim2keras.deployment.entries import Entry, entry_of
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import prove, relative_difference
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.ways import Written
from slim2keras.errors import ParityError, UnsupportedArgumentError
from slim2keras.evaluation.classifiers import check_classifier
from slim2keras.models.logits import first_logits
from slim2keras.models.variables import slim_variables

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_CLASSES = "classes"
_SERVE, _PREPROCESS = "serving_default", "preprocess"
_FOR_TRAINING = "AuxLogits"


@dataclass(frozen=True)
class Head:
    """What a model that is served gives.

    Attributes:
        names: Of the model's outputs.
        class_names: Of the classes, where it tells classes that exclude each other.
    """

    names: Sequence[str]
    class_names: Sequence[str] | None

    @classmethod
    def of(cls, subject: Subject) -> Head:
        """Of a model: with probabilities and classes, if it is a classifier."""
        names = output_names(subject.network)
        try:
            check_classifier(subject.model)
        except UnsupportedArgumentError:
            return cls(names, None)
        classes = subject.network.num_classes or subject.model.outputs[0].shape[-1]
        return cls(names, subject.class_names or class_names(None, classes))

    @property
    def served(self) -> list[str]:
        """Names of what is given."""
        names = [name for name in self.names if name != _FOR_TRAINING]
        return names if self.class_names is None else [*dict.fromkeys([*names, PROBABILITIES]), _CLASSES]

    def __call__(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Outputs by name; ``probabilities``, (batch, classes), and ``classes``, names of the likeliest, (batch,)."""
        import tensorflow as tf

        flat = tf.nest.flatten(outputs)
        found = {name: item for name, item in zip(self.names, flat, strict=True) if name != _FOR_TRAINING}
        if self.class_names is None:
            return found
        scores = first_logits(flat)[:, 0]
        found[PROBABILITIES] = scores if self.names[0] == PROBABILITIES else tf.nn.softmax(scores)
        found[_CLASSES] = tf.gather(tf.constant([*self.class_names]), tf.argmax(scores, -1))
        return found


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:
    """Write a SavedModel, run it in a process without slim2keras and Keras, and compare.

    Raises:
        UnsupportedArgumentError: If it is to preprocess, and nobody knows how.
    """
    assert options.signature is not None
    entry, head = entry_of(subject, options.signature), Head.of(subject)
    _save(subject, entry, head, draft)
    samples, of = entry.samples()
    found, runtime = _run(draft, samples, entry, head)
    prepared = np.concatenate([np.asarray(entry.prepare(batch) if entry.prepare else batch) for batch in samples])
    _check_classes(found, head)
    floats = [name for name in head.served if name != _CLASSES]

    def ours(images: NDArray[Any]) -> list[NDArray[Any]]:
        outputs = head(subject.outputs(images))
        return [np.asarray(outputs[name]) for name in floats]

    def theirs(_: NDArray[Any]) -> list[NDArray[Any]]:
        return [found[_SERVE, name] for name in floats]

    proof = prove(ours, theirs, prepared, runtime=runtime, of=of, shaken=subject.shaken)
    facts: dict[str, Any] = {"signature": options.signature, "input": _described(entry.spec), "outputs": [*head.served]}
    if entry.prepare is not None:
        facts["preprocessing_difference"] = relative_difference(found[_PREPROCESS, IMAGES], prepared)
    return Written(proof, {"serving": facts})


def _save(subject: Subject, entry: Entry, head: Head, draft: Path) -> None:
    """Write functions, and the variables that they use under slim's names."""
    import tensorflow as tf

    prepare = entry.prepare or tf.identity

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return head(subject.model(prepare(images), training=False))

    def preprocess(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {IMAGES: prepare(images)}

    module = tf.Module(subject.network.name)
    module.variables_by_name = slim_variables(subject.model)
    module.__call__ = tf.function(serve, [entry.spec], autograph=False)
    signatures = {_SERVE: module.__call__}
    if entry.prepare is not None:
        signatures[_PREPROCESS] = module.preprocess = tf.function(preprocess, [entry.spec], autograph=False)
    tf.saved_model.save(module, draft, signatures)


def _run(file: Path, samples: Sequence[Any], entry: Entry, head: Head) -> tuple[dict[tuple[str, str], Any], str]:
    """Outputs by signature and name, as TensorFlow alone computes them."""
    is_encoded = entry.spec.dtype.name == "string"
    arrays = [np.frombuffer(contents, "uint8") for contents in samples[0]] if is_encoded else samples
    given = {f"input_{place}": array for place, array in enumerate(arrays)}
    found, runtime = run_elsewhere("run_saved_model", file, given)
    keys = [] if entry.prepare is None else [(_PREPROCESS, IMAGES)]
    keys += [(_SERVE, name) for name in sorted(head.served)]
    return dict(zip(keys, found, strict=True)), runtime


def _check_classes(found: Mapping[tuple[str, str], NDArray[Any]], head: Head) -> None:
    """The names are those of the likeliest classes.

    Raises:
        ParityError: If not.
    """
    if head.class_names is None:
        return
    given, scores = found[_SERVE, _CLASSES].tolist(), found[_SERVE, head.names[0]]
    wanted = [head.class_names[number] for number in scores.reshape(len(given), -1).argmax(-1)]
    if wanted != given:
        raise ParityError(f"The SavedModel calls the likeliest classes {given}, and they are {wanted}.")


def _described(spec: tf.TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype.name, "shape": spec.shape.as_list()}
