"""Files of tf_keras, of models that are no longer what their checkpoint was: folded ones, and those of a RUN."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import Images, prove
from slim2keras.deployment.subject import Subject, outputs_of
from slim2keras.deployment.ways import Written
from slim2keras.models.variables import slim_variables
from slim2keras.outputs.checksums import checksums
from slim2keras.outputs.formats import OutputFormat, output_format
from slim2keras.outputs.loading import load_file, load_weights
from slim2keras.outputs.outline import outline_of_model
from slim2keras.outputs.writing import write_and_read_back

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:  # noqa: ARG001  as every writer
    """Write ``.keras``, ``.h5``, ``.weights.h5`` or a SavedModel, read it back, and compare tensors and outputs."""
    import tf_keras

    model, its_format = subject.model, output_format(draft)
    values = [(name, variable.numpy()) for name, variable in slim_variables(model).items()]
    write_and_read_back(outline_of_model(model), values, draft, its_format)
    # The same layers have the same bits op by op; other ones are run as users do.
    computed = outputs_of if subject.unfolded is None else _predictions
    runs = partial(computed, _read(model, draft, its_format))
    images, of = subject.images()
    proof = prove(
        subject.outputs, runs, images, runtime=f"tf_keras {tf_keras.__version__}", of=of, shaken=subject.shaken
    )
    return Written(proof, {"tensors": checksums(values)})


def _predictions(model: tf_keras.Model, images: Images) -> list[NDArray[Any]]:
    """Every output, of one function, which TensorFlow rewrites before it runs."""
    import tensorflow as tf

    return [np.asarray(output) for output in tf.nest.flatten(model.predict_on_batch(images))]


def _read(model: tf_keras.Model, path: Path, its_format: OutputFormat) -> tf_keras.Model:
    """What a file holds; weights alone in another model of the same layers."""
    import tf_keras

    if its_format is not OutputFormat.WEIGHTS:
        return load_file(path)
    read = tf_keras.models.clone_model(model)
    load_weights(read, path)
    return read
