"""Files of Keras 3, of stock layers where the network needs none of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import Proof, noise, prove
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.ways import Written
from slim2keras.errors import MissingExtraError

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

LAYERS_MODULE = "slim2keras.keras3"
_OPEN_SIZE = 64
"""Pixels, of what a second input takes."""


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:
    """Write a ``.keras`` of Keras 3, let Keras 3 read it in a process of its own, and compare.

    That process cannot import slim2keras, unless the file has layers of ours. It computes by the backend that
    ``KERAS_BACKEND`` names.

    Raises:
        MissingExtraError: If the backend cannot be imported.
        UnsupportedGraphError: If the network has what Keras 3 cannot compute.
        MissingExtraError: If its backend cannot be imported.
    """
    version = _version()
    from slim2keras.keras3.building import to_keras3
    from slim2keras.keras3.registration import own_layers

    model = to_keras3(subject.model, batch_norm_layer=options.batch_norm_layer)
    ours = own_layers(model)
    if ours:
        _try_here(model, _inputs(subject)[0])
    _save(model, draft)
    facts = {
        "keras": version,
        "batch_norm_layer": options.batch_norm_layer,
        "own_layers": ours,
        "load_with": f"import {LAYERS_MODULE}" if ours else None,
    }
    return Written(_proof(subject, draft, ours), {"keras3": facts})


def _version() -> str:
    """Of Keras 3, which imports its backend with itself."""
    try:
        import keras
    except (ImportError, ValueError) as error:
        raise MissingExtraError(
            f"Keras 3 cannot be imported with the backend that KERAS_BACKEND, or keras.json, names: {error}. Install "
            "it, or name another one: KERAS_BACKEND=tensorflow, jax or torch."
        ) from error
    return str(keras.__version__)


def _try_here(model: keras.Model, inputs: list[NDArray[Any]]) -> None:
    """Run a model with layers of ours: they say what an op cannot, of which another process leaves a traceback."""
    import keras

    is_filtered = keras.config.is_traceback_filtering_enabled()
    # It would put every tensor into the message.
    keras.config.disable_traceback_filtering()
    try:
        model(inputs if len(inputs) > 1 else inputs[0], training=False)
    finally:
        if is_filtered:
            keras.config.enable_traceback_filtering()


def _save(model: keras.Model, draft: Path) -> None:
    from slim2keras.models.functional import deep_recursion

    with deep_recursion():
        model.save(draft)


def _proof(subject: Subject, draft: Path, ours: list[str]) -> Proof:
    inputs, of = _inputs(subject)
    named = {f"input_{place}": item for place, item in enumerate(inputs)}
    found, runtime = run_elsewhere("run_keras3", draft, named, module=LAYERS_MODULE if ours else "")

    images = inputs if len(inputs) > 1 else inputs[0]
    proof = prove(subject.outputs, lambda _: found, images, runtime=runtime, of=of, shaken=subject.shaken)
    return replace(proof, remarks=(_remark(ours),)) if ours else proof


def _remark(ours: list[str]) -> str:
    return (
        f"Keras 3 has no layers of its own for {', '.join(ours)}: `import {LAYERS_MODULE}` before "
        "keras.models.load_model. All else in the file are stock layers."
    )


def _inputs(subject: Subject) -> tuple[list[NDArray[Any]], str]:
    """Images for every input; where there are several, noise."""
    shapes = subject.network.input_shapes
    if len(shapes) == 1:
        images, of = subject.images()
        return [images], of
    random = np.random.RandomState(0)
    number = len(noise(subject.network))
    closed = [[_OPEN_SIZE if size is None else size for size in shape] for shape in shapes]
    return [random.uniform(-1.0, 1.0, (number, *shape)).astype("float32") for shape in closed], "noise"
