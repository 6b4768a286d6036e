"""What becomes of each variable of network and checkpoint, decided before anything is read.

The plan is pure. It accounts for every variable; whatever it cannot account for is an error that lists all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from slim2keras.errors import CheckpointMismatchError, UnsupportedArgumentError, did_you_mean
from slim2keras.files.reports import Report, plural
from slim2keras.graphs.graph import Variable
from slim2keras.scopes import (
    VariableInfo,
    VariableKind,
    ema_name,
    in_any_scope,
    scopes_of,
)

if TYPE_CHECKING:
    import tf_keras

# Half precision widens to float32 without loss; float64 would not fit.
_LOSSLESS_DTYPES = frozenset({"float32", "float16", "bfloat16"})


EXCLUDE_IN_PYTHON = "exclude={layers}"

EXCLUDE_ANYWHERE = EXCLUDE_IN_PYTHON + "   (command line: {flags})"

EXCLUDE_BY_REQUEST = "request=CheckpointRequest(load=LoadOptions(exclude={layers}))   (command line: {flags})"


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
        exclude_by: How who asks can leave scopes out, with a place for ``layers``, ``flags`` or ``commas``; empty if
            not at all.

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
        flags = " ".join(f"--exclude {layer}" for layer in layers)
        how = exclude_by.format(layers=layers, flags=flags, commas=",".join(layers))
        lines.append(f"To start these layers afresh, or to leave them out: {how}")
    if next_step:
        lines.append(next_step)
    raise CheckpointMismatchError("\n".join(lines))


def load_options_of(model: tf_keras.Model) -> LoadOptions:
    """How ``convert`` loaded the model; the defaults where that is not known."""
    options = getattr(model, "slim_load_options", None)
    return options if isinstance(options, LoadOptions) else LoadOptions()
