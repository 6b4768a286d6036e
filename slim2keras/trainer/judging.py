"""The best model of a run, judged as it will be used, and its moving statistics repaired if that was asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers
from slim2keras.batch_norm.probe import SMALLEST_FELT_GAP, BatchNormProbe, Gap, Measurement
from slim2keras.conversion.reading import load_model
from slim2keras.doctor.recalibration import assign_statistics
from slim2keras.evaluation import Evaluation
from slim2keras.evaluation.scores import Scores, score_images
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.best_model import validated_values, write_whole
from slim2keras.trainer.datasets import evaluation_images
from slim2keras.trainer.epochs import BestSeen, EpochWork
from slim2keras.trainer.monitoring import monitored_images
from slim2keras.trainer.preparing import Training
from slim2keras.trainer.state import Row

if TYPE_CHECKING:
    from pathlib import Path

    import tf_keras
    from numpy.typing import NDArray

    from slim2keras.data.examples import Examples
    from slim2keras.data.images import ImageBatches

Values: TypeAlias = Mapping[str, "NDArray[Any]"]
"""Of every variable, by slim name."""


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
        work: What followed the training. What it saw of ``model.keras`` is not looked at again.
    """

    def __init__(self, training: Training, layout: RunLayout, work: EpochWork) -> None:
        self._training, self._path, self._work = training, layout.model, work

    def judge(self) -> Judgement:
        """Judge it, and repair it if that was asked for and is a gain.

        Raises:
            ModelReadError: If it has to be read, and there is none.
        """
        seen = self._work.best
        if seen is None:
            seen = BestSeen(self._read.scores(), self._read.gap())
        found = Judgement(self._evaluation(seen.scores), seen.gap, accuracy_lost_at_end(self._work.state.rows))
        if not self._training.request.loop.recalibrate:
            return found
        if found.gap is None:
            return replace(found, recalibration="Not recalibrated: no layer was trained on statistics of the batch.")
        if found.accuracy_lost is None:
            return replace(found, recalibration="Not recalibrated: there was no gap to speak of.")
        return self._recalibrated(found)

    @functools.cached_property
    def _read(self) -> _ReadModel:
        return _ReadModel(load_model(self._path), self._training, self._work.validation)

    def _recalibrated(self, before: Judgement) -> Judgement:
        images, state, model = self._training.images.training, self._work.state, self._read
        # With statistics that were off, which epoch was the best one was not seen: the last may be the better one.
        candidates = {f"epoch {state.best.epoch}": model.values(), f"epoch {state.epoch}": self._last_values()}
        repaired = {title: model.repaired(values, images) for title, values in candidates.items()}
        judged = {title: self._evaluation(scores) for title, (scores, _) in repaired.items()}
        title, evaluation = max(judged.items(), key=lambda item: (item[1].accuracy, -item[1].loss))
        change = f"accuracy {before.evaluation.accuracy:.1%} before, {evaluation.accuracy:.1%} after"
        if evaluation.accuracy <= before.evaluation.accuracy:
            return replace(before, recalibration=f"Recalibration was no gain and was not kept: {change}.")
        model.assign(repaired[title][1])
        model.write(self._path, {"recalibrated_on": len(images), "of": title})
        text = f"Recalibrated the network of {title} on {len(images):,} training images: {change}."
        return Judgement(evaluation, model.gap(), None, text, is_recalibrated=True)

    def _last_values(self) -> Values:
        return {name: variable.numpy() for name, variable in validated_values(self._training.model).items()}

    def _evaluation(self, scores: Scores) -> Evaluation:
        training, validation = self._training, self._training.images.validation
        return Evaluation(
            source=str(self._path),
            data=training.images.origin,
            scores=scores,
            class_names=training.images.class_names,
            names=validation.names,
            numbering=validation.numbering,
            preprocessing=training.plan.preprocessing,
            left_out=training.plan.left_out,
        )


class _ReadModel:
    """``model.keras``, read.

    Args:
        model: As read.
        training: That made it.
        validation: Batches of the validation images.
    """

    def __init__(self, model: tf_keras.Model, training: Training, validation: ImageBatches) -> None:
        self._model, self._training, self._validation = model, training, validation
        modes = training.model.plan.modes
        # Frozen layers were trained with the statistics that they have.
        self._layers = [layer for layer in batch_norm_layers(model) if modes[layer.name] is not BatchNormMode.FROZEN]

    def scores(self) -> Scores:
        return score_images(self._model, self._validation)

    def gap(self) -> Gap | None:
        return self._measure(monitored_images(self._training)).gap if self._layers else None

    def _measure(self, images: ImageBatches) -> Measurement:
        return BatchNormProbe(self._model, self._layers).measure(images)

    def values(self) -> Values:
        return {name: variable.numpy() for name, variable in slim_variables(self._model).items()}

    def assign(self, values: Values) -> None:
        for name, variable in slim_variables(self._model).items():
            variable.assign(values[name])

    def repaired(self, values: Values, images: Examples) -> tuple[Scores, Values]:
        """What it says with these values and statistics of these images, and all values then."""
        self.assign(values)
        mixed = evaluation_images(self._training, images, shuffle_seed=self._training.request.loop.seed)
        assign_statistics(self._layers, self._measure(mixed).populations)
        return self.scores(), self.values()

    def write(self, path: Path, facts: Mapping[str, Any]) -> None:
        write_whole(self._model, self.values().items(), path, facts)
