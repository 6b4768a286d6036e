"""The best model of a run, judged as it will be used, and its moving statistics repaired if that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.batch_norm.probe import BatchNormProbe, Gap, Measurement
from slim2keras.conversion.reading import load_model
from slim2keras.doctor.recalibration import assign_statistics
from slim2keras.evaluation import Evaluation
from slim2keras.evaluation.scores import score_images
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.best_model import write_whole
from slim2keras.trainer.datasets import evaluation_images
from slim2keras.trainer.images import limited
from slim2keras.trainer.preparing import Training

if TYPE_CHECKING:
    from slim2keras.data.examples import Examples
    from slim2keras.data.images import ImageBatches

GAP_IMAGES = 1000
"""Of the validation images, on which batch and moving statistics are compared."""


@dataclass(frozen=True)
class Judgement:
    """How good ``model.keras`` is.

    Attributes:
        evaluation: On the validation images, with moving statistics.
        gap: Between batch and moving statistics, ``None`` where no layer normalised with the batch in training.
        recalibration: What was done to the statistics, in words; empty if nothing was.
    """

    evaluation: Evaluation
    gap: Gap | None
    recalibration: str = ""


class Judge:
    """Judges ``model.keras`` of a run.

    Args:
        training: That made it.
        layout: Where it lies.
        validation: Batches of the validation images.

    Raises:
        ModelReadError: If there is none.
    """

    def __init__(self, training: Training, layout: RunLayout, validation: ImageBatches) -> None:
        self._training, self._path, self._validation = training, layout.model, validation
        self._model = load_model(layout.model)
        modes = training.model.plan.modes
        layers = batch_norm_layers(self._model)
        # Frozen layers were trained with the statistics that they have.
        self._layers = [layer for layer in layers if modes[layer.name] is not BatchNormMode.FROZEN]

    def judge(self) -> Judgement:
        """Judge it, and repair it if that was asked for and is a gain."""
        found = Judgement(self._evaluate(), self._gap())
        if not self._training.request.loop.recalibrate or found.gap is None:
            return found
        if not found.gap.is_felt:
            return Judgement(found.evaluation, found.gap, "Not recalibrated: there was no gap to speak of.")
        return self._recalibrated(found)

    def _recalibrated(self, before: Judgement) -> Judgement:
        images = self._training.images.training
        assign_statistics(self._layers, self._measure(images).populations)
        evaluation = self._evaluate()
        change = f"accuracy {before.evaluation.accuracy:.1%} before, {evaluation.accuracy:.1%} after"
        if evaluation.accuracy <= before.evaluation.accuracy:
            return Judgement(before.evaluation, before.gap, f"Recalibration was no gain and was not kept: {change}.")
        values = ((name, variable.numpy()) for name, variable in slim_variables(self._model).items())
        write_whole(self._model, values, self._path, {"recalibrated_on": len(images)})
        return Judgement(evaluation, self._gap(), f"Recalibrated on {len(images):,} training images: {change}.")

    def _evaluate(self) -> Evaluation:
        training, validation = self._training, self._training.images.validation
        return Evaluation(
            source=str(self._path),
            data=training.images.origin,
            scores=score_images(self._model, self._validation),
            class_names=training.images.class_names,
            names=validation.names,
            numbering=validation.numbering,
            preprocessing=training.plan.preprocessing,
            left_out=training.plan.left_out,
        )

    def _gap(self) -> Gap | None:
        if not self._layers:
            return None
        return self._measure(
            limited(self._training.images.validation, GAP_IMAGES, self._training.request.loop.seed)
        ).gap

    def _measure(self, images: Examples) -> Measurement:
        """Batch against moving statistics, on images in mixed order."""
        data = evaluation_images(self._training, images, shuffle_seed=self._training.request.loop.seed)
        return BatchNormProbe(self._model, self._layers).measure(data)
