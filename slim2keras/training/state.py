"""What training keeps beside the weights: slots, step, shadows; and going on from a checkpoint of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.load_plan import LoadPlan, check_plan, plan_load
from slim2keras.checkpoints.loading import apply_load, planned_values
from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.checkpoints.training_record import TrainingRecord, read_record
from slim2keras.errors import CheckpointMismatchError, NonFiniteError, UnsupportedArgumentError
from slim2keras.files.reports import plural
from slim2keras.graphs.graph import Variable
from slim2keras.models.finite import all_finite
from slim2keras.models.variables import assign_stored, slim_variables, stored_shapes, wanted_variables
from slim2keras.scopes import VariableKind, ema_name

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


STEP = "global_step"


def optimizer_of(model: tf_keras.Model) -> Any:
    """The optimizer that a model was compiled with, without the wrapper of mixed precision; ``None`` if it was not."""
    optimizer = getattr(model, "optimizer", None)
    return getattr(optimizer, "inner_optimizer", optimizer)


def slot_variables(model: tf_keras.Model) -> dict[str, Any]:
    """Slim name to variable of the optimizer's slots and power accumulators.

    Raises:
        UnsupportedArgumentError: If the optimizer is none of ours, of tf_keras or Keras 3.
    """
    optimizer = optimizer_of(model)
    if not hasattr(optimizer, "initial_slots"):
        raise UnsupportedArgumentError(
            f"The state of {type(optimizer).__module__.partition('.')[0]}'s {type(optimizer).__name__} has no place in "
            "a slim checkpoint. Compile with one of slim2keras.optimizers; to export the weights alone, give a model "
            "that is not compiled: tf_keras.Model(model.input, model.output)."
        )
    names = {id(variable): name for name, variable in slim_variables(model).items()}
    slots = {
        f"{names[id(variable)]}/{slot}": optimizer.slot(variable, slot)
        for variable in model.trainable_variables
        for slot in optimizer.initial_slots()
    }
    return {**slots, **getattr(optimizer, "powers", {})}


def state_variables(model: tf_keras.Model) -> dict[str, Any]:
    """Slim name to variable of everything that slim's ``Saver`` would write.

    The variables of the network; with ``ema_decay`` their shadows; of a compiled model the optimizer's slots, its power
    accumulators and the step.

    Raises:
        UnsupportedArgumentError: If the optimizer's state cannot be had, or is still waiting for ``compile``.
    """
    if getattr(model, "optimizer_state", None) is not None:
        raise UnsupportedArgumentError(
            f"{model.name} resumes a checkpoint and is not compiled, so its slots and step are not in an optimizer "
            "yet. Compile it first."
        )
    found = {**slim_variables(model), **getattr(model, "shadows", {})}
    if optimizer_of(model) is not None:
        found |= {**slot_variables(model), STEP: model.optimizer.iterations}
    return found


@dataclass(frozen=True)
class OptimizerState:
    """What a checkpoint says of its optimizer, until there is one to take it.

    Attributes:
        source: The checkpoint.
        slots: Slots and power accumulators by slim name.
        step: Training steps done.
        record: What is recorded of the moving statistics.
    """

    source: str
    slots: Mapping[str, NDArray[Any]]
    step: int
    record: TrainingRecord


def resume(model: tf_keras.Model, path: str | Path) -> OptimizerState:
    """Give a model the weights, moving statistics and shadows of a training checkpoint.

    Returns:
        What is left for the optimizer, see ``apply_optimizer_state``.

    Raises:
        CheckpointReadError: If the checkpoint cannot be read.
        CheckpointMismatchError: If a variable is missing, of another shape, or unknown, or there is no step counter.
        NonFiniteError: If a variable, slot or shadow is NaN or infinite.
    """
    shadows = getattr(model, "shadows", {})
    with open_checkpoint(path) as checkpoint:
        step = checkpoint.global_step
        if step is None:
            raise CheckpointMismatchError(
                f"{checkpoint.given} has no step counter, so it is not of a training run and nothing can be resumed. "
                "Use convert, and finetune without resume_from."
            )
        wanted = {**slim_variables(model), **shadows}
        plan = _plan(wanted_variables(wanted, stored_shapes(model)), checkpoint, model.name)
        kept = checkpoint.names(VariableKind.SLOT) + checkpoint.names(VariableKind.POWER)
        slots = {name: checkpoint[name] for name in kept}
        averages = {name: checkpoint[name] for name in shadows}
        _check_finite({**slots, **averages}, str(checkpoint.given))
        apply_load(model, planned_values(slim_variables(model), plan, checkpoint))
        for name, shadow in shadows.items():
            assign_stored(shadow, averages[name])
        return OptimizerState(str(checkpoint.given), slots, step, read_record(checkpoint))


def _check_finite(values: Mapping[str, NDArray[Any]], source: str) -> None:
    broken = [name for name, value in values.items() if not all_finite(value)]
    if broken:
        raise NonFiniteError(
            f"{source} has {plural(len(broken), 'slot or shadow variable')} with NaN or infinite values, first "
            f"{broken[0]}: the next step would carry them into the weights. Resume an earlier checkpoint, or convert "
            "this one and finetune without resume_from."
        )


def _plan(variables: Sequence[Variable], checkpoint: Checkpoint, title: str) -> LoadPlan:
    plan = plan_load(variables, checkpoint.variables, checkpoint.kinds)
    hint = ""
    if any(variable.name == ema_name(variable.name.rpartition("/")[0]) for variable in plan.missing):
        hint = "It was trained without ExponentialMovingAverage: leave ema_decay out, or do not resume."
    check_plan(plan, title, len(variables), str(checkpoint.given), hint, exclude_by="")
    return plan


def apply_optimizer_state(model: tf_keras.Model, state: OptimizerState) -> None:
    """Give the optimizer of a compiled model its slots, power accumulators and step.

    Raises:
        CheckpointMismatchError: If the checkpoint has other slots for the variables that learn; lists them.
    """
    wanted, shapes = slot_variables(model), stored_shapes(model)
    learning = {name.rpartition("/")[0] for name in wanted} or {*slim_variables(model)}
    there = {name: item for name, item in state.slots.items() if name.rpartition("/")[0] in learning or name in wanted}
    # A power accumulator of Adam lies below no variable.
    there |= {name: item for name, item in state.slots.items() if "/" not in name}
    lines = [f"  - {name}   {shapes.of(name, item)}" for name, item in wanted.items() if name not in there]
    lines += [f"  + {name}   {item.shape}" for name, item in there.items() if name not in wanted]
    lines += [
        f"  ~ {name}   optimizer {shapes.of(name, item)}   checkpoint {there[name].shape}"
        for name, item in wanted.items()
        if name in there and shapes.of(name, item) != there[name].shape
    ]
    if lines:
        title = type(optimizer_of(model)).__name__
        more = f"\n  and {len(lines) - 10} more" if len(lines) > 10 else ""
        raise CheckpointMismatchError(
            f"{state.source} does not have the slots of {title} for the variables that learn: {len(lines)} differ.\n"
            + "\n".join(lines[:10])
            + f"{more}\nCompile with the optimizer that the checkpoint was trained with, or leave resume_from out to "
            "start the optimizer afresh."
        )
    for name, variable in wanted.items():
        assign_stored(variable, there[name])
    model.optimizer.iterations.assign(state.step)
