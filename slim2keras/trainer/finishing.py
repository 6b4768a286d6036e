"""The end of a training: the best model judged, pictures and report written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.conversion.report import versions_of_all
from slim2keras.evaluation.plots import plot_confusion
from slim2keras.extras import is_installed
from slim2keras.files.json_values import finite_or_none
from slim2keras.files.output_files import whole_or_not_at_all
from slim2keras.files.reports import plural
from slim2keras.files.run_layout import RunLayout
from slim2keras.trainer.curves import plot_curves
from slim2keras.trainer.epochs import EpochWork
from slim2keras.trainer.judging import Judge
from slim2keras.trainer.monitoring import old_statistics_left
from slim2keras.trainer.preparing import Training
from slim2keras.trainer.result import TrainingResult
from slim2keras.training.export import export_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def finish(training: Training, layout: RunLayout, work: EpochWork) -> TrainingResult:
    """Judge ``model.keras`` of a run whose steps are done, and write report and pictures.

    Raises:
        ModelReadError: If there is none.
        OutputError: If something cannot be written; what was trained stays.
    """
    judgement = Judge(training, layout, work).judge()
    result = TrainingResult(
        run=layout.directory,
        plan=training.plan,
        options=training.request.options(),
        state=work.state,
        ended=_why_ended(work),
        judgement=judgement,
        old_statistics_left=_statistics_left(training, work),
        slim=_export(training, layout, work.state.step) if training.request.loop.export_slim else None,
        versions=versions_of_all(),
    )
    if training.team.is_chief:
        _write(result, layout)
    return result


def _statistics_left(training: Training, work: EpochWork) -> float | None:
    has_any = bool(batch_norm_layers(training.model))
    return old_statistics_left(training.model, work.state.step) if has_any else None


def _why_ended(work: EpochWork) -> str:
    done = f"{plural(work.state.step, 'step')} done"
    early = f", ended early: no better validation in {plural(work.state.waited, 'epoch')}"
    return done + (early if work.is_impatient else "")


def _export(training: Training, layout: RunLayout, step: int) -> Path:
    prefix = layout.slim / f"model.ckpt-{step}"
    export_checkpoint(training.model, prefix, overwrite=True)
    return prefix


def _write(result: TrainingResult, layout: RunLayout) -> None:
    if is_installed("matplotlib"):
        recalibrated = result.accuracy if result.judgement.is_recalibrated else None
        plot_curves(result.state.rows, layout.curves, recalibrated)
        plot_confusion(result.judgement.evaluation, layout.confusion, overwrite=True)
    with whole_or_not_at_all(layout.report) as (draft,):
        draft.write_text(json.dumps(_finite(result.to_json()), indent=2) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    """Plain values without NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return finite_or_none(value) if isinstance(value, float) else value
