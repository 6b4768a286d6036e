"""Files of tf_keras, of models that are no longer what their checkpoint was: folded ones, and those of a RUN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import prove
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.ways import Written
from slim2keras.models.variables import slim_variables
from slim2keras.outputs.formats import OutputFormat, output_format
from slim2keras.outputs.loading import load_file, load_weights
from slim2keras.outputs.outline import outline_of_model
from slim2keras.outputs.writing import write_model, write_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:  # noqa: ARG001  as every writer
    """Write ``.keras``, ``.h5``, ``.weights.h5`` or a SavedModel, read it back, and compare."""
    import tensorflow as tf
    import tf_keras

    model, its_format = subject.model, output_format(draft)
    values = [(name, variable.numpy()) for name, variable in slim_variables(model).items()]
    if its_format is OutputFormat.WEIGHTS:
        write_weights(outline_of_model(model), values, draft)
        read = tf_keras.models.clone_model(model)
        load_weights(read, draft)
    else:
        write_model(outline_of_model(model), values, draft, its_format)
        read = load_file(draft)

    def runs(images: NDArray[Any]) -> list[NDArray[Any]]:
        return [np.asarray(output) for output in tf.nest.flatten(read(images, training=False))]

    images, of = subject.images()
    return Written(prove(subject.outputs, runs, images, runtime=f"tf_keras {tf_keras.__version__}", of=of))
