"""What Keras and TensorFlow are set to for a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from slim2keras.models.overrides import Overrides
from slim2keras.slim.runtime import deterministic_ops
from slim2keras.trainer.request import TrainingRequest


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
