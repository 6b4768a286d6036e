"""The end of a training: the best model judged, its statistics looked at, pictures and report written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.batch_norm.probe import BatchNormProbe, Gap
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.report import versions_of_all
from slim2keras.doctor.recalibration import recalibrate
from slim2keras.errors import ModelReadError
from slim2keras.evaluation import Evaluation
from slim2keras.evaluation.plots import plot_confusion
from slim2keras.evaluation.scores import score_images
from slim2keras.files.json_values import finite_or_none
from slim2keras.files.output_files import whole_or_not_at_all
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.best_model import write_whole
from slim2keras.trainer.curves import plot_curves
from slim2keras.trainer.datasets import evaluation_dataset
from slim2keras.trainer.images import limited
from slim2keras.trainer.monitoring import old_statistics_left
from slim2keras.trainer.preparing import Training
from slim2keras.trainer.result import TrainingResult
from slim2keras.trainer.state import RunState
from slim2keras.training.export import export_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import tf_keras

GAP_IMAGES = 1000
"""Of the validation images, on which batch and moving statistics of the best model are compared."""


def finish(training: Training, layout: RunLayout, state: RunState) -> TrainingResult:
    """Judge ``model.keras`` of a run whose steps are done, and write report and pictures.

    Raises:
        ModelReadError: If there is none.
        OutputError: If something cannot be written; what was trained stays.
    """
    model = _best_model(layout)
    evaluation, gap = _evaluate(training, layout, model), _measure(training, model)
    recalibration = ""
    if training.request.loop.recalibrate and gap is not None:
        evaluation, gap, recalibration = _recalibrated(training, layout, model, evaluation, gap)
    result = TrainingResult(
        run=layout.directory,
        plan=training.plan,
        options=training.request.options(),
        state=state,
        ended=_why_ended(training, state),
        evaluation=evaluation,
        gap=gap,
        old_statistics_left=old_statistics_left(training.model) if batch_norm_layers(training.model) else None,
        recalibration=recalibration,
        slim=_export(training, layout, state),
        versions=versions_of_all(),
    )
    if training.workplace.is_chief:
        _write(result, layout)
    return result


def _best_model(layout: RunLayout) -> tf_keras.Model:
    if not layout.model.is_file():
        raise ModelReadError(f"{layout.directory} has no {layout.model.name}: no epoch was validated yet.")
    return load_model(layout.model)


def _evaluate(training: Training, layout: RunLayout, model: tf_keras.Model) -> Evaluation:
    validation = training.images.validation
    return Evaluation(
        source=str(layout.model),
        data=training.images.origin,
        scores=score_images(model, evaluation_dataset(training, validation)),
        class_names=training.images.class_names,
        names=validation.names,
        numbering=validation.numbering,
        preprocessing=training.plan.preprocessing,
        left_out=training.plan.left_out,
    )


def _measure(training: Training, model: tf_keras.Model) -> Gap | None:
    """Batch against moving statistics, in the layers that normalised with the batch in training."""
    modes = training.model.plan.modes
    layers = [layer for layer in batch_norm_layers(model) if modes[layer.name] is not BatchNormMode.FROZEN]
    if not layers:
        return None
    seed = training.request.loop.seed
    few = limited(training.images.validation, GAP_IMAGES, seed)
    return BatchNormProbe(model, layers).measure(evaluation_dataset(training, few, shuffle_seed=seed)).gap


def _recalibrated(
    training: Training, layout: RunLayout, model: tf_keras.Model, evaluation: Evaluation, gap: Gap
) -> tuple[Evaluation, Gap | None, str]:
    """``model.keras`` with statistics of the training images, if it is the better for them; and what was done."""
    before = f"accuracy {evaluation.accuracy:.1%}"
    if not gap.is_felt:
        return evaluation, gap, f"Not recalibrated: moving statistics cost no more than a point ({before})."
    recalibrate(model, evaluation_dataset(training, training.images.training, training.request.loop.seed))
    after = _evaluate(training, layout, model)
    if after.accuracy <= evaluation.accuracy:
        return evaluation, gap, f"Recalibration was no gain, {after.accuracy:.1%} after {before}: not kept."
    values = ((name, variable.numpy()) for name, variable in slim_variables(model).items())
    write_whole(model, values, layout.model, {"recalibrated": True})
    text = f"Recalibrated on {len(training.images.training):,} training images: {before} before, now "
    return after, _measure(training, model), f"{text}{after.accuracy:.1%}."


def _why_ended(training: Training, state: RunState) -> str:
    done = f"{state.step:,} steps done"
    if state.step < training.steps.total:
        return f"{done}, ended early: no better validation in {state.waited} epochs"
    return done


def _export(training: Training, layout: RunLayout, state: RunState) -> Path | None:
    if not training.request.loop.export_slim:
        return None
    prefix = layout.slim / f"model.ckpt-{state.step}"
    export_checkpoint(training.model, prefix, overwrite=True)
    return prefix


def _write(result: TrainingResult, layout: RunLayout) -> None:
    plot_curves(result.state.rows, layout.curves)
    plot_confusion(result.evaluation, layout.confusion, overwrite=True)
    with whole_or_not_at_all(layout.report) as (draft,):
        draft.write_text(json.dumps(_finite(result.to_json()), indent=2) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    """Plain values without NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return finite_or_none(value) if isinstance(value, float) else value
