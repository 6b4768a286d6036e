"""Loss and accuracy of the validation images after an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from slim2keras.batch_norm.batches import batches_of_worker
from slim2keras.data.images import ImageBatches
from slim2keras.evaluation.classifiers import check_classifier
from slim2keras.evaluation.scores import Scores, log_probabilities, scores_of_all_workers
from slim2keras.losses import wide
from slim2keras.progress import ImageProgress
from slim2keras.trainer.preparing import Training

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Validated:
    """What a validation found.

    Attributes:
        loss: Mean, with everything that training counts.
        scores: What the network says of each image.
    """

    loss: float
    scores: Scores

    @property
    def accuracy(self) -> float:
        """Part of the images that are recognised."""
        assert self.scores.labels is not None
        return float((self.scores.predicted == self.scores.labels).mean())

    @property
    def is_finite(self) -> bool:
        """Whether the network gives numbers for each image, and no NaN."""
        assert self.scores.losses is not None
        return bool(np.isfinite(self.scores.losses).all())


class Validation:
    """Judges a model that trains, each image once, with moving statistics; the devices of its team share the images.

    Args:
        training: Whose model it is.
        images: Of the validation.
    """

    def __init__(self, training: Training, images: ImageBatches) -> None:
        model = training.model
        self._training, self._images, self._model = training, images, model
        self._gives_probabilities = check_classifier(model)
        self._run = tf.function(lambda images: model(images, training=False), autograph=False, reduce_retracing=True)

    def measure(self, progress: ImageProgress | None = None) -> Validated:
        """Go through the images once.

        Args:
            progress: Called after each batch with its number of images.
        """
        team, model = self._training.team, self._model
        losses = [np.empty((0, 1))]
        scores: list[Scores] = []
        batches = batches_of_worker(self._images, team, progress)
        for _, given, outputs in team.mapped(self._run, batches):
            labels = np.asarray(given)
            losses.append(self._losses(labels, tf.nest.flatten(outputs)))
            found = log_probabilities(outputs, gives_probabilities=self._gives_probabilities).numpy()[:, 0]
            scores.append(Scores.of(found, labels))
        regularization = float(tf.add_n(model.losses)) if model.losses else 0.0
        loss = float(team.gathered(np.concatenate(losses)).mean()) + regularization
        return Validated(loss, scores_of_all_workers(scores, team, model.outputs[0].shape[-1]))

    def _losses(self, labels: NDArray[Any], outputs: list[tf.Tensor]) -> NDArray[np.float64]:
        """Without regularization, a row an image."""
        judged = self._training.model.loss.call
        weights = [1.0, *[self._training.request.step.aux_weight] * (len(outputs) - 1)]
        losses = [
            weight * judged(labels, wide(output)).numpy() for weight, output in zip(weights, outputs, strict=True)
        ]
        return np.asarray(np.sum(losses, axis=0, dtype=np.float64)).reshape(-1, 1)
