"""The best model of a run, judged as it will be used, and its moving statistics repaired if that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.batch_norm.probe import SMALLEST_FELT_GAP, BatchNormProbe, Gap, Measurement
from slim2keras.conversion.reading import load_model
from slim2keras.doctor.recalibration import assign_statistics
from slim2keras.evaluation import Evaluation
from slim2keras.evaluation.scores import score_images
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.best_model import validated_values, write_whole
from slim2keras.trainer.datasets import evaluation_images
from slim2keras.trainer.epochs import EpochWork
from slim2keras.trainer.images import limited
from slim2keras.trainer.preparing import Training
from slim2keras.trainer.state import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slim2keras.data.examples import Examples

Values: TypeAlias = Mapping[str, "NDArray[Any]"]
"""Of every variable, by slim name."""

GAP_IMAGES = 1000
"""Of the validation images, on which batch and moving statistics are compared."""


@dataclass(frozen=True)
class Judgement:
    """How good ``model.keras`` is.

    Attributes:
        evaluation: On the validation images, with moving statistics.
        gap: Between batch and moving statistics, ``None`` where no layer normalised with the batch in training.
        lost_at_end: Accuracy that the moving statistics cost after the last epoch, ``None`` if no more than a point.
        recalibration: What was done to the statistics, in words; empty if nothing was.
        is_recalibrated: Whether ``model.keras`` is the recalibrated network.
    """

    evaluation: Evaluation
    gap: Gap | None
    lost_at_end: float | None = None
    recalibration: str = ""
    is_recalibrated: bool = False

    @property
    def accuracy_lost(self) -> float | None:
        """To the moving statistics, here or at the end, where it is more than a point; else ``None``."""
        here = self.gap.accuracy_lost if self.gap is not None and self.gap.is_felt else None
        return max((lost for lost in (here, self.lost_at_end) if lost is not None), default=None)


def accuracy_lost_at_end(rows: Sequence[Row]) -> float | None:
    """What the moving statistics cost after the last epoch, on the images that are watched, if more than a point."""
    lost = rows[-1].get("bn_accuracy_gap", 0.0)
    return lost if lost > SMALLEST_FELT_GAP else None


class Judge:
    """Judges ``model.keras`` of a run whose steps are done.

    Args:
        training: That made it, with the last state.
        layout: Where it lies.
        work: What followed the training.

    Raises:
        ModelReadError: If there is none.
    """

    def __init__(self, training: Training, layout: RunLayout, work: EpochWork) -> None:
        self._training, self._path, self._validation, self._state = training, layout.model, work.validation, work.state
        self._model = load_model(layout.model)
        modes = training.model.plan.modes
        layers = batch_norm_layers(self._model)
        # Frozen layers were trained with the statistics that they have.
        self._layers = [layer for layer in layers if modes[layer.name] is not BatchNormMode.FROZEN]

    def judge(self) -> Judgement:
        """Judge it, and repair it if that was asked for and is a gain."""
        found = Judgement(self._evaluate(), self._gap(), accuracy_lost_at_end(self._state.rows))
        if not self._training.request.loop.recalibrate:
            return found
        if found.gap is None:
            return replace(found, recalibration="Not recalibrated: no layer was trained on statistics of the batch.")
        if found.accuracy_lost is None:
            return replace(found, recalibration="Not recalibrated: there was no gap to speak of.")
        return self._recalibrated(found)

    def _recalibrated(self, before: Judgement) -> Judgement:
        images, kept = self._training.images.training, self._values()
        # With statistics that were off, which epoch was the best one was not seen: the last may be the better one.
        candidates = {f"epoch {self._state.best.epoch}": kept, f"epoch {self._state.epoch}": self._last_values()}
        repaired = {title: self._repaired(values, images) for title, values in candidates.items()}
        title, (evaluation, values) = max(repaired.items(), key=lambda item: (item[1][0].accuracy, -item[1][0].loss))
        change = f"accuracy {before.evaluation.accuracy:.1%} before, {evaluation.accuracy:.1%} after"
        if evaluation.accuracy <= before.evaluation.accuracy:
            return replace(before, recalibration=f"Recalibration was no gain and was not kept: {change}.")
        self._assign(values)
        write_whole(self._model, values.items(), self._path, {"recalibrated_on": len(images), "of": title})
        text = f"Recalibrated the network of {title} on {len(images):,} training images: {change}."
        return Judgement(evaluation, self._gap(), None, text, is_recalibrated=True)

    def _repaired(self, values: Values, images: Examples) -> tuple[Evaluation, Values]:
        self._assign(values)
        assign_statistics(self._layers, self._measure(images).populations)
        return self._evaluate(), self._values()

    def _values(self) -> Values:
        return {name: variable.numpy() for name, variable in slim_variables(self._model).items()}

    def _last_values(self) -> Values:
        return {name: variable.numpy() for name, variable in validated_values(self._training.model).items()}

    def _assign(self, values: Values) -> None:
        for name, variable in slim_variables(self._model).items():
            variable.assign(values[name])

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
