"""Loss and accuracy of the validation images after an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from slim2keras.batch_norm.batches import batches_of_worker
from slim2keras.data.images import ImageBatches
from slim2keras.losses import wide
from slim2keras.progress import ImageProgress
from slim2keras.trainer.preparing import Training

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Validation:
    """Judges a model that trains, each image once, with moving statistics; the devices of its team share the images.

    Args:
        training: Whose model it is.
        images: Of the validation.
    """

    def __init__(self, training: Training, images: ImageBatches) -> None:
        self._training, self._images, model = training, images, training.model
        self._run = tf.function(lambda images: model(images, training=False), autograph=False, reduce_retracing=True)

    def measure(self, progress: ImageProgress | None = None) -> dict[str, float]:
        """Mean loss, with everything that training counts, and accuracy, by name.

        Args:
            progress: Called after each batch with its number of images.
        """
        team = self._training.team
        rows = [np.empty((0, 2))]
        batches = batches_of_worker(self._images, team, progress)
        for _, labels, outputs in team.mapped(self._run, batches):
            rows.append(self._judged(np.asarray(labels), tf.nest.flatten(outputs)))
        loss, accuracy = team.gathered(np.concatenate(rows)).mean(0)
        regularization = float(tf.add_n(self._training.model.losses)) if self._training.model.losses else 0.0
        return {"loss": float(loss) + regularization, "accuracy": float(accuracy)}

    def _judged(self, labels: NDArray[Any], outputs: list[tf.Tensor]) -> NDArray[np.float64]:
        """Loss without regularization, and whether the class is right, a row an image."""
        judged = self._training.model.loss.call
        weights = [1.0, *[self._training.request.step.aux_weight] * (len(outputs) - 1)]
        losses = [
            weight * judged(labels, wide(output)).numpy() for weight, output in zip(weights, outputs, strict=True)
        ]
        classes = outputs[0].numpy().reshape(len(labels), -1).argmax(1)
        return np.stack([np.sum(losses, axis=0, dtype=np.float64), classes == labels], axis=1)
