"""Where a training runs: the devices that share a step, and who of them writes files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slim2keras.models.overrides import Overrides
from slim2keras.slim.runtime import deterministic_ops
from slim2keras.trainer.request import TrainingRequest


@dataclass(frozen=True)
class Workplace:
    """One process of a training.

    Attributes:
        worker: Number of this process.
        workers: Processes that share each batch.
    """

    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the RUN."""
        return self.worker == 0

    @property
    def slices(self) -> tuple[int, int]:
        """Which part of each batch this process reads, see ``data.batches.training_batches``."""
        return self.worker, self.workers

    def scope(self) -> Any:
        """Within it a model is built and compiled."""
        import tensorflow as tf

        return tf.distribute.get_strategy().scope()


@contextlib.contextmanager
def settings_of(request: TrainingRequest) -> Iterator[None]:
    """Within it Keras has the precision and the seed of a request, and ops its determinism; then as it was found.

    The seed of TensorFlow, Keras, Python and NumPy stays: there is none to be found.
    """
    import tf_keras

    with Overrides() as overrides:
        overrides.callback(tf_keras.mixed_precision.set_global_policy, tf_keras.mixed_precision.global_policy())
        tf_keras.mixed_precision.set_global_policy(request.network.precision)
        tf_keras.utils.set_random_seed(request.loop.seed)
        if request.loop.deterministic:
            overrides.enter_context(deterministic_ops())
        yield
