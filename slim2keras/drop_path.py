"""Drop-path, which NASNet and PNASNet train with: its rate grows with the training step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from slim2keras.models.networks import network_of
from slim2keras.models.overrides import Overrides
from slim2keras.nets.arguments import is_drop_path

if TYPE_CHECKING:
    import tf_keras


@contextlib.contextmanager
def scheduled_drop_path(model: tf_keras.Model, step: Any) -> Iterator[None]:
    """Within it the model drops paths at the rate that slim has at a training step.

    slim scales the rate by the depth of the cell and lets it grow over ``total_training_steps``. A model of ``build``
    or ``convert`` has the rates of the end of that schedule; at inference nothing is dropped at any step. A network
    without drop-path is left as it is.

    Args:
        model: NASNet or PNASNet of slim2keras.
        step: Training step, a number or a scalar tensor (``optimizer.iterations``), so that it may be used in a
            ``tf.function``.

    Examples:
        >>> model = slim2keras.build("nasnet_cifar", input_shape=(32, 32, 3))
        >>> with slim2keras.drop_path.scheduled_drop_path(model, step=1000):
        ...     logits, auxiliary = model(tf.zeros((1, 32, 32, 3)), training=True)

    Source: research/slim/nets/nasnet/nasnet_utils.py, ``_apply_drop_path``, version v3.
    """
    import tensorflow as tf

    layers = [layer for layer in model.layers if is_drop_path(vars(layer))]
    total = network_of(model).drop_path_steps if layers else None
    with Overrides() as overrides:
        if total is not None:
            ratio = tf.minimum(1.0, tf.cast(step, tf.float32) / float(total))
            for layer in layers:
                overrides.set(layer, "rate", layer.rate * ratio)
        yield
