"""What a decay means for the steps planned: said at the start of ``fit``, before they are trained."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.decay import (
    AUTO,
    LARGEST_SHARE_LEFT,
    SettledDecay,
    decay_for,
    settle,
    share_left,
    steps_for,
)
from slim2keras.errors import MovingStatisticsWarning, UnsupportedArgumentError
from slim2keras.files.reports import plural
from slim2keras.models.finite import all_finite


def _origin(settled: SettledDecay | None, steps: int) -> str:
    """Where a decay comes from that was not given."""
    if settled is None:
        return ""
    if settled.steps == steps:
        return ' (picked by "auto")'
    return f' (picked by "auto" for the {settled.steps} steps of the run that goes on)'


def largest_share(layers: Sequence[Any], steps: int, moves: int = 1) -> float:
    """Part of the old statistics that the slowest layer still has after so many steps of ``moves`` micro-batches."""
    return share_left(max(layer.momentum for layer in layers), steps * moves)


def describe_outlook(layers: Sequence[Any], steps: int, origin: str = "", moves: int = 1) -> str:
    """What the decay means for the steps planned, and advice if too much of the old statistics will be left."""
    decay = max(layer.momentum for layer in layers)
    left = share_left(decay, steps * moves)
    summary = (
        f"BatchNorm: {len(layers)} layers move their statistics at decay {decay:.6g}{origin}; after the {steps} steps "
        f"planned {left:.1%} of the old statistics will be left."
    )
    if left <= LARGEST_SHARE_LEFT:
        return summary
    better = decay_for(steps * moves, slowest=decay)
    faster = f'Take decay={better:.4g} (or decay="auto") in finetune, or plan' if better < decay else "Plan"
    return (
        f"{summary} evaluate, predict and is_training=False will lag behind what was learned. {faster} "
        f"{math.ceil(steps_for(decay) / moves)} steps."
    )


def describe_nonfinite(layers: Sequence[str]) -> str:
    """What it means to train layers whose moving statistics are NaN or infinite."""
    return (
        f"BatchNorm: the moving statistics of {plural(len(layers), 'layer')} have NaN or infinite values, first "
        f"{layers[0]}. No step makes them finite: training goes on with the statistics of the batch, and evaluate, "
        "predict and is_training=False give no answer. Recalibrate first: slim2keras.recalibrate."
    )


def _is_finite(layer: Any) -> bool:
    return all(all_finite(np.asarray(item)) for item in (layer.moving_mean, layer.moving_variance))


class MovingDecay:
    """What a model does about the decay of its moving statistics; a class of tf_keras' models, or of Keras 3's.

    The class has ``options``, of ``finetune``, ``moving_layers()`` and ``make_train_function()``.

    Attributes:
        settled_decay: What a decay ``"auto"`` became in the last ``fit``, ``None`` before the first.
    """

    options: Any
    settled_decay: SettledDecay | None = None
    _is_loaded = False

    def moves_in_step(self) -> int:
        """How often a step moves the statistics."""
        return 1

    def settle_decay(self, steps: int, *, is_resumed: bool) -> None:
        """Turn a decay ``"auto"`` into the number for the steps planned.

        Args:
            steps: Of this ``fit``.
            is_resumed: Whether it goes on with a run, whose decay is kept then. So does the first ``fit`` of a model
                that was saved in a run and loaded.
        """
        if self.options.decay != AUTO:
            return
        before = self.settled_decay
        if before is not None and (is_resumed or self._is_loaded):
            self._is_loaded = False
            return
        decays = (layer.momentum for layer in self.moving_layers())
        self.settled_decay = settle(before, steps, decays, self.moves_in_step())
        self.set_decay(self.settled_decay.decay)
        if before is not None and before.decay != self.settled_decay.decay:
            # The step was traced with the decay as a constant.
            self.make_train_function(force=True)

    def set_decay(self, decay: float) -> None:
        """Give every layer in mode ``"update"`` a decay.

        Raises:
            UnsupportedArgumentError: If there is none.
        """
        layers = self.moving_layers()
        if not layers:
            raise UnsupportedArgumentError(
                f"decay={decay} concerns BatchNorm layers in mode 'update', and there are none. Leave it out."
            )
        for layer in layers:
            layer.momentum = decay

    def take_settled(self, config: Mapping[str, Any] | None) -> None:
        """Take what a saved model settled, ``None`` if nothing; the first ``fit`` keeps it."""
        if config is not None:
            self.settled_decay, self._is_loaded = SettledDecay(**config), True

    def check_settled(self) -> None:
        """Refuse a step outside of ``fit`` before a decay ``"auto"`` is settled.

        Raises:
            UnsupportedArgumentError: If it is not.
        """
        if self.options.decay == AUTO and self.settled_decay is None:
            raise UnsupportedArgumentError(
                'decay="auto" depends on the number of steps, which only fit knows. Finetune with a number, or use fit.'
            )

    if TYPE_CHECKING:

        def moving_layers(self) -> Sequence[Any]: ...
        def make_train_function(self, force: bool = False) -> Any: ...


class OutlookReport:
    """What a callback says at the start of ``fit``; a class of tf_keras' callbacks, or of Keras 3's, is to come behind.

    Its model is a ``MovingDecay``.

    Args:
        initial_epoch: Of ``fit``.

    Warns:
        MovingStatisticsWarning: If more than 10 % of the old moving statistics will be left, or they are NaN.
    """

    model: Any
    params: Any

    def __init__(self, initial_epoch: int = 0) -> None:
        super().__init__()
        self.initial_epoch = initial_epoch
        self._steps_seen = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Settle ``decay="auto"`` and report, if the number of steps is known; say what no step can mend."""
        if broken := [layer.name for layer in self.model.moving_layers() if not _is_finite(layer)]:
            warnings.warn(describe_nonfinite(broken), MovingStatisticsWarning, stacklevel=2)
        if self.params["steps"] is not None:
            self._report(self.params["steps"])
        elif self.model.options.decay == AUTO:
            raise UnsupportedArgumentError(
                'decay="auto" depends on the number of steps, which this data set does not tell: give fit '
                "steps_per_epoch, or finetune a number."
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps of a data set that does not know its length."""
        self._steps_seen = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report after the first epoch of such a data set."""
        if self.params["steps"] is None and epoch == self.initial_epoch:
            self._report(self._steps_seen)

    def _report(self, steps_per_epoch: int) -> None:
        steps = steps_per_epoch * (self.params["epochs"] - self.initial_epoch)
        layers = self.model.moving_layers()
        if not layers or steps <= 0:
            return
        self.model.settle_decay(steps, is_resumed=self.initial_epoch > 0)
        moves = self.model.moves_in_step()
        text = describe_outlook(layers, steps, _origin(self.model.settled_decay, steps), moves)
        if largest_share(layers, steps, moves) > LARGEST_SHARE_LEFT:
            warnings.warn(text, MovingStatisticsWarning, stacklevel=2)
        elif self.params["verbose"]:
            print(text, flush=True)  # noqa: T201  (as Keras' own progress, and silent when that is)
