"""A look at the first images of a ``fit``: whether they are such as the network wants."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf
import tf_keras

from slim2keras.errors import PreprocessingWarning
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.doubts import doubt_about


class FirstImages:
    """What is seen of the first batch of each ``fit``, from within its step: data cannot be looked at before.

    A generator would lose the batch, and a shuffled data set would come in another order.

    Attributes:
        is_wanted: Whether the next batch is to be looked at.
        doubt: What was seen, ``None`` if nothing was.
    """

    def __init__(self) -> None:
        self.is_wanted = tf.Variable(initial_value=False, trainable=False)
        self.doubt: str | None = None

    def look(self, network: Network, images: Any) -> bool:
        """Look at a batch, of several in one execution for the first that raises a doubt; returns whether one did."""
        self.doubt = self.doubt or doubt_about(images, network)
        return self.doubt is not None


class ImagesReport(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Warns after the first step of ``fit`` if its images are hardly such as the network wants; ``finetune`` adds it.

    Warns:
        PreprocessingWarning: What is seen of them, and what the network wants.
    """

    _supports_tf_logs = True

    def on_train_begin(self, logs: Any = None) -> None:
        """Ask for the first batch."""
        self._is_waiting = True
        self._first.doubt = None
        self._first.is_wanted.assign(True)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Tell what was seen of it."""
        if self._is_waiting:
            self._is_waiting = False
            self._first.is_wanted.assign(False)
            if self._first.doubt is not None:
                warnings.warn(self._first.doubt, PreprocessingWarning, stacklevel=2)

    @property
    def _first(self) -> FirstImages:
        return self.model.first_images  # type: ignore[no-any-return]
