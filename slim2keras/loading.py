"""Checkpoint into model: plan, then apply.

The plan is pure. It accounts for every variable of the network and of the checkpoint; whatever it cannot account for is
an error that lists all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.errors import CheckpointMismatchError, NonFiniteError, UnsupportedArgumentError, did_you_mean
from slim2keras.graph import Variable
from slim2keras.pages import Report, plural
from slim2keras.scopes import (
    VariableInfo,
    VariableKind,
    ema_name,
    in_any_scope,
    scopes_of,
    slim_variable_name,
)

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray

# Half precision widens to float32 without loss; float64 would not fit.
_LOSSLESS_DTYPES = frozenset({"float32", "float16", "bfloat16"})


EXCLUDE_IN_PYTHON = "exclude={layers}"
EXCLUDE_ANYWHERE = EXCLUDE_IN_PYTHON + "   (command line: {flags})"


@dataclass(frozen=True)
class LoadOptions:
    """How a checkpoint is loaded.

    Attributes:
        exclude: Scopes that start afresh, slim's ``checkpoint_exclude_scopes``.
        use_ema: Take ExponentialMovingAverage shadows instead of raw values, of moving statistics too.
        allow_nonfinite: Load weights that are NaN or infinite.
    """

    exclude: Sequence[str] = ()
    use_ema: bool = False
    allow_nonfinite: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.exclude, str):
            raise UnsupportedArgumentError(f"exclude must be a list of scopes. Received: exclude={self.exclude!r}")
        object.__setattr__(self, "exclude", tuple(scope.rstrip("/") for scope in self.exclude))


@dataclass(frozen=True, repr=False)
class LoadPlan(Report):
    """What a load does, or would do.

    Attributes:
        sources: Model variable to the checkpoint variable that it gets.
        fresh: Model variables that start afresh because they were excluded.
        raw_statistics: With EMA, moving statistics that have no shadow and are taken as they are.
        unused: Checkpoint variable to the reason why it is not loaded.
        missing: Model variables that the checkpoint lacks.
        unexpected: Checkpoint variables that nothing accounts for.
        wrong_shape: Model variable, its shape, and what the checkpoint has.
    """

    sources: dict[str, str] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    raw_statistics: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    missing: list[Variable] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_shape: list[tuple[Variable, VariableInfo]] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether every variable is accounted for."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def summary(self) -> str:
        """In one line."""
        counts = {"loaded": self.sources, "afresh": self.fresh, "left out": self.unused, "missing": self.missing}
        counts |= {"in the checkpoint only": self.unexpected, "of another shape": self.wrong_shape}
        return ", ".join(f"{len(found)} {what}" for what, found in counts.items() if found)

    def page(self) -> Iterator[RenderableType]:
        """What became of variables, those that were simply loaded as a number."""
        yield Text(f"{plural(len(self.sources), 'variable')} loaded.")
        yield from remarks(Counter(self.unused.values()), self.fresh, self.raw_statistics)
        for what, names in {
            "Missing in the checkpoint": [variable.name for variable in self.missing],
            "In the checkpoint only": self.unexpected,
            "Of another shape": [variable.name for variable, _ in self.wrong_shape],
        }.items():
            if names:
                yield Text(f"{what}: {', '.join(names)}")


def remarks(left_out: Mapping[str, int], fresh: Sequence[str], raw_statistics: Sequence[str]) -> Iterator[Text]:
    """What became of variables that were not simply loaded."""
    if fresh:
        yield Text(f"Started afresh: {', '.join(fresh)}")
    if raw_statistics:
        yield Text(f"Without EMA shadow, taken as they are: {plural(len(raw_statistics), 'moving statistic')}")
    if left_out:
        yield Text("Not loaded: " + ", ".join(f"{count} {reason}" for reason, count in left_out.items()))


def plan_load(
    wanted: Iterable[Variable],
    variables: Mapping[str, VariableInfo],
    kinds: Mapping[str, VariableKind],
    *,
    exclude: Sequence[str] = (),
    use_ema: bool = False,
    accounted: Mapping[str, str] | None = None,
) -> LoadPlan:
    """Decide for every variable of network and checkpoint what becomes of it.

    Args:
        wanted: The network's variables.
        variables: The checkpoint's variables.
        kinds: What each of them is for.
        exclude: Scopes that start afresh, slim's ``checkpoint_exclude_scopes``.
        use_ema: Take ExponentialMovingAverage shadows instead of raw values.
        accounted: Checkpoint variables that need not be loaded, with the reason.

    Raises:
        UnsupportedArgumentError: If a scope in ``exclude`` matches nothing, or there are no shadows.
    """
    wanted = list(wanted)
    _check_exclude(exclude, [variable.name for variable in wanted], variables)
    if use_ema and VariableKind.EMA not in kinds.values():
        raise UnsupportedArgumentError(
            "use_ema: the checkpoint has no ExponentialMovingAverage shadows. Leave it out (command line: --use-ema)."
        )
    plan = LoadPlan()
    for variable in wanted:
        _plan_variable(plan, variable, variables, exclude=exclude, use_ema=use_ema)
    considered = {variable.name for variable in wanted} | set(plan.sources.values())
    for name, kind in kinds.items():
        if name not in considered:
            reason = _reason_unused(name, kind, exclude, accounted or {}, use_ema=use_ema)
            if reason is None:
                plan.unexpected.append(name)
            else:
                plan.unused[name] = reason
    return plan


def _plan_variable(
    plan: LoadPlan, variable: Variable, variables: Mapping[str, VariableInfo], *, exclude: Sequence[str], use_ema: bool
) -> None:
    if in_any_scope(variable.name, exclude):
        plan.fresh.append(variable.name)
        return
    source = ema_name(variable.name) if use_ema else variable.name
    if use_ema and source not in variables and not variable.trainable:
        # An average over the trainable variables alone leaves the moving statistics, averages themselves, as they are.
        source = variable.name
        plan.raw_statistics.append(variable.name)
    info = variables.get(source)
    if info is None:
        plan.missing.append(Variable(source, variable.shape, variable.trainable))
    elif info.shape != variable.shape or info.dtype not in _LOSSLESS_DTYPES:
        plan.wrong_shape.append((variable, info))
    else:
        plan.sources[variable.name] = source


def _reason_unused(
    name: str, kind: VariableKind, exclude: Sequence[str], accounted: Mapping[str, str], *, use_ema: bool
) -> str | None:
    if in_any_scope(name, exclude):
        return "excluded"
    if name in accounted:
        return accounted[name]
    if kind is VariableKind.EMA and use_ema:
        return "EMA shadow of a variable that the network does not have"
    return None if kind is VariableKind.MODEL else kind.value


def _check_exclude(exclude: Sequence[str], wanted: Sequence[str], variables: Mapping[str, VariableInfo]) -> None:
    known = scopes_of((*wanted, *variables))
    for scope in exclude:
        if scope not in known:
            raise UnsupportedArgumentError(
                f"exclude={scope!r} matches nothing in network and checkpoint.{did_you_mean(scope, known)} "
                "A pattern is a scope, whole parts between slashes."
            )


def check_plan(
    plan: LoadPlan,
    net: str,
    num_wanted: int,
    checkpoint: str,
    next_step: str = "",
    *,
    exclude_by: str = EXCLUDE_ANYWHERE,
) -> None:
    """Raise with all that a plan leaves unaccounted for.

    Args:
        net: What to call the network.
        num_wanted: Number of its variables.
        checkpoint: What to call the checkpoint.
        next_step: Advice that is better than to leave scopes out.
        exclude_by: How who asks can leave scopes out; empty if not at all.

    Raises:
        CheckpointMismatchError: ``-`` missing in the checkpoint, ``+`` in the checkpoint only, ``~`` of another shape.
    """
    if plan.fits:
        return
    counts = {
        "missing": len(plan.missing),
        "of another shape or dtype": len(plan.wrong_shape),
        "in the checkpoint only": len(plan.unexpected),
    }
    summary = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    lines = [f"{checkpoint} does not fit {net} ({num_wanted} variables): {summary}."]
    lines += [f"  - {variable.name}   model {variable.shape}" for variable in plan.missing]
    for variable, info in plan.wrong_shape:
        lines.append(f"  ~ {variable.name}   model {variable.shape} float32   checkpoint {info.shape} {info.dtype}")
    lines += [f"  + {name}" for name in plan.unexpected]
    troubled = [variable.name for variable, _ in plan.wrong_shape] + [v.name for v in plan.missing] + plan.unexpected
    layers = list(dict.fromkeys(name.rpartition("/")[0] or name for name in troubled))
    if exclude_by and 0 < len(layers) <= 4:
        how = exclude_by.format(layers=layers, flags=" ".join(f"--exclude {layer}" for layer in layers))
        lines.append(f"To start these layers afresh, or to leave them out: {how}")
    if next_step:
        lines.append(next_step)
    raise CheckpointMismatchError("\n".join(lines))


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
        CheckpointReadError: If the checkpoint is missing, truncated or corrupt.
        CheckpointMismatchError: If a variable of either side is unaccounted for; lists all of them.
        NonFiniteError: If weights are NaN or infinite.
        UnsupportedArgumentError: If a scope in ``exclude`` matches nothing, or the model has no layers to see.

    Example:
        >>> plan = load_checkpoint(model, "model.ckpt-5000", exclude=["net/logits"])
    """
    if not getattr(model, "layers", None):
        raise UnsupportedArgumentError(
            f"load_checkpoint wants a model whose layers it can see. Received: {type(model).__name__}. Make one with "
            "tf_keras.Model(inputs, outputs)."
        )
    options = LoadOptions(exclude, use_ema, allow_nonfinite)
    with open_checkpoint(checkpoint) as opened:
        plan = plan_load(
            wanted_variables(slim_variables(model)),
            opened.variables,
            opened.kinds,
            exclude=options.exclude,
            use_ema=options.use_ema,
        )
        variables = slim_variables(model)
        check_plan(plan, model.name, len(variables), str(opened.given), exclude_by=EXCLUDE_IN_PYTHON)
        apply_load(model, list(planned_values(variables, plan, opened, allow_nonfinite=options.allow_nonfinite)))
    return plan


def wanted_variables(variables: Mapping[str, Any]) -> list[Variable]:
    """Keras variables by slim name, as what a plan asks for."""
    return [Variable(name, tuple(item.shape), item.trainable) for name, item in variables.items()]


def layer_variables(layer: tf_keras.layers.Layer) -> dict[str, Any]:
    """Slim name to Keras variable of every weight of a layer that is named after its slim scope.

    A layer of another library may have two weights of one leaf (``query/kernel``, ``key/kernel``): then the rest of the
    variable's name tells them apart.
    """
    names = [variable.name.split(":")[0] for variable in layer.weights]
    leaves = [name.rpartition("/")[2] for name in names]
    if len(set(leaves)) < len(leaves):
        leaves = [name.removeprefix(f"{layer.name}/") for name in names]
    return {slim_variable_name(layer.name, leaf): item for leaf, item in zip(leaves, layer.weights, strict=True)}


def slim_variables(model: tf_keras.Model) -> dict[str, Any]:
    """Slim name to Keras variable of every weight of a model, in the order of its layers."""
    return {name: variable for layer in all_layers(model) for name, variable in layer_variables(layer).items()}


def all_layers(model: tf_keras.Model) -> Iterator[tf_keras.layers.Layer]:
    """Layers of a model, those of models used as layers too: they keep their slim names there."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from all_layers(layer)
        else:
            yield layer


def planned_values(
    variables: Mapping[str, Any],
    plan: LoadPlan,
    checkpoint: Checkpoint,
    *,
    allow_nonfinite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give every variable of a model the value it is to have, one tensor in memory at a time.

    Args:
        variables: Slim name to Keras variable, which is looked into only where it starts afresh.
        progress: Called with the number of variables done and in all.

    Yields:
        Slim name and float32 array, in the order of ``variables``.

    Raises:
        CheckpointReadError: If a tensor cannot be read.
        NonFiniteError: At the end, if weights are NaN or infinite and ``allow_nonfinite`` is false; lists all of them.
    """
    nonfinite = []
    for done, (name, variable) in enumerate(variables.items(), start=1):
        if name in plan.sources:
            value = checkpoint[plan.sources[name]].astype("float32", copy=False)
            if not allow_nonfinite and not all_finite(value):
                nonfinite.append(plan.sources[name])
            yield name, value
        else:
            yield name, variable.numpy()
        if progress:
            progress(done, len(variables))
    if nonfinite:
        listed = "\n".join(f"  {name}" for name in nonfinite)
        raise NonFiniteError(
            f"{len(nonfinite)} of {len(plan.sources)} variables of {checkpoint.given} are NaN or infinite:\n{listed}\n"
            "Training had diverged: use an earlier checkpoint. To convert it all the same: allow_nonfinite=True "
            "(command line: convert --allow-nonfinite)."
        )


def apply_load(model: tf_keras.Model, values: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
    """Assign values to the variables of a model, by slim name."""
    variables = slim_variables(model)
    for name, value in values:
        variables[name].assign(value)


def all_finite(values: NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite, without an array of booleans the size of the weights."""
    # NaN and infinity survive in a sum of squares, so a finite sum proves finite values; only an overflow needs a look.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(values.ravel(), values.ravel())
    return bool(np.isfinite(total)) or bool(np.isfinite(values).all())
