"""Values of a checkpoint into a model, as planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.load_plan import EXCLUDE_IN_PYTHON, LoadOptions, LoadPlan, check_plan, plan_load
from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.errors import NonFiniteError, UnsupportedArgumentError
from slim2keras.models.finite import all_finite
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import find_network
from slim2keras.models.variables import assign_stored, slim_variables, stored_shapes, wanted_variables

if TYPE_CHECKING:
    import numpy as np
    import tf_keras
    from numpy.typing import NDArray


def load_checkpoint(
    model: tf_keras.Model,
    checkpoint: str | Path,
    *,
    exclude: Sequence[str] = (),
    use_ema: bool = False,
    allow_nonfinite: bool = False,
) -> LoadPlan:
    """Give a functional model of your own the values of a slim checkpoint; its layers are named after slim scopes.

    As strict as ``convert``: every variable of the model must be in the checkpoint, and every model variable of the
    checkpoint in the model, in the same shape; slots, shadows and counters are left out. Nothing is assigned unless all
    of it fits.

    Args:
        model: Its layer ``"net/conv1"`` gets ``net/conv1/weights`` as its kernel, in the models within it too.
        checkpoint: V1 file, V2 prefix, training directory, ``.tar.gz`` or ``.tgz``.
        exclude: Scopes that keep the values that they have in the model, and that of the checkpoint are left out.
        use_ema: Take ExponentialMovingAverage shadows instead of raw values.
        allow_nonfinite: Load weights that are NaN or infinite.

    Returns:
        What became of every variable.

    Raises:
        CheckpointReadError: If the checkpoint is missing, truncated or corrupt, or changes while it is read.
        CheckpointMismatchError: If a variable of either side is unaccounted for; lists all of them.
        NonFiniteError: If weights are NaN or infinite.
        UnsupportedArgumentError: If a scope in ``exclude`` matches nothing, or the model has no layers to see.

    Examples:
        >>> image = tf_keras.Input((28, 28, 1))
        >>> x = tf_keras.layers.Conv2D(32, 5, padding="same", activation="relu", name="LeNet/conv1")(image)
        >>> model = tf_keras.Model(image, tf_keras.layers.GlobalMaxPooling2D()(x))
        >>> plan = slim2keras.load_checkpoint(model, "lenet_dir/", exclude=["LeNet/conv2", "LeNet/fc3", "LeNet/fc4"])
    """
    if not getattr(model, "layers", None):
        raise UnsupportedArgumentError(
            f"load_checkpoint wants a model whose layers it can see. Received: {type(model).__name__}. Make one with "
            "tf_keras.Model(inputs, outputs)."
        )
    refuse_folded(find_network(model), "given the values of a checkpoint")
    options = LoadOptions(exclude, use_ema, allow_nonfinite)
    with open_checkpoint(checkpoint) as opened:
        plan = plan_load(
            wanted_variables(slim_variables(model), stored_shapes(model)),
            opened.variables,
            opened.kinds,
            exclude=options.exclude,
            use_ema=options.use_ema,
        )
        variables = slim_variables(model)
        check_plan(plan, model.name, len(variables), str(opened.given), exclude_by=EXCLUDE_IN_PYTHON)
        apply_load(model, list(planned_values(variables, plan, opened, allow_nonfinite=options.allow_nonfinite)))
    return plan


def planned_values(
    variables: Mapping[str, Any],
    plan: LoadPlan,
    checkpoint: Checkpoint,
    *,
    allow_nonfinite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give every variable of a model the value it is to have, read when it is asked for.

    Args:
        variables: Slim name to Keras variable, which is looked into only where it starts afresh, and for its shape;
            ``None`` where that is the checkpoint's.
        progress: Called with the number of variables done and in all.

    Yields:
        Slim name and float32 array, in the order of ``variables``.

    Raises:
        CheckpointReadError: If a tensor cannot be read; at the end, if the files changed meanwhile.
        NonFiniteError: At the end, if weights are NaN or infinite and ``allow_nonfinite`` is false; lists all of them.
    """
    nonfinite = []
    for done, (name, variable) in enumerate(variables.items(), start=1):
        if name in plan.sources:
            value = checkpoint[plan.sources[name]].astype("float32", copy=False)
            if not allow_nonfinite and not all_finite(value):
                nonfinite.append(plan.sources[name])
            yield name, value if variable is None else value.reshape(tuple(variable.shape))
        else:
            yield name, variable.numpy()
        if progress:
            progress(done, len(variables))
    checkpoint.check_unchanged()
    if nonfinite:
        listed = "\n".join(f"  {name}" for name in nonfinite)
        raise NonFiniteError(
            f"{len(nonfinite)} of {len(plan.sources)} variables of {checkpoint.given} are NaN or infinite:\n{listed}\n"
            f"{_advice_on(nonfinite)} To convert it all the same: allow_nonfinite=True (command line: convert "
            "--allow-nonfinite)."
        )


def apply_load(model: tf_keras.Model, values: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
    """Assign values to the variables of a model, by slim name."""
    variables = slim_variables(model)
    for name, value in values:
        assign_stored(variables[name], value)


def _advice_on(nonfinite: Iterable[str]) -> str:
    if all(name.endswith(("/moving_mean", "/moving_variance")) for name in nonfinite):
        return "These are moving statistics alone, which `slim2keras recalibrate` makes anew from images."
    return "Training had diverged: use an earlier checkpoint."
