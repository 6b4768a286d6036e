"""Callbacks for ``fit``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras

from slim2keras.batch_norm import (
    AUTO,
    LARGEST_SHARE_LEFT,
    BatchNormMode,
    SettledDecay,
    batch_norm_layers,
    decay_for,
    moving_statistics,
    share_left,
    steps_for,
)
from slim2keras.errors import MovingStatisticsWarning, PreprocessingWarning, UnsupportedArgumentError
from slim2keras.population import UNMIXED, BatchNormProbe, Drift, Measurement
from slim2keras.preprocessing import doubt_about
from slim2keras.recognition import NetSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MovingStatisticsReport(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Says at the start of ``fit`` what the decay means for the steps planned; ``finetune`` adds it.

    Args:
        initial_epoch: Of ``fit``.

    Warns:
        MovingStatisticsWarning: If more than 10 % of the old moving statistics will be left.
    """

    def __init__(self, initial_epoch: int = 0) -> None:
        super().__init__()
        self.initial_epoch = initial_epoch
        self._steps_seen = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Settle ``decay="auto"`` and report, if the number of steps is known."""
        if self.params["steps"] is not None:
            self._report(self.params["steps"])
        elif self.model.options.decay == AUTO:
            raise UnsupportedArgumentError(
                'decay="auto" depends on the number of steps, which this data set does not tell: give fit '
                "steps_per_epoch, or finetune a number."
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps of a data set that does not know its length."""
        self._steps_seen += 1

    def on_train_end(self, logs: Any = None) -> None:
        """Let the model know that the statistics are now those of training."""
        self.model.statistics_record.note()

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
        text = _outlook(layers, steps, _origin(self.model.settled_decay, steps))
        if _largest_share(layers, steps) > LARGEST_SHARE_LEFT:
            warnings.warn(text, MovingStatisticsWarning, stacklevel=2)
        elif self.params["verbose"]:
            print(text, flush=True)  # noqa: T201  (as Keras' own progress, and silent when that is)


def _origin(settled: SettledDecay | None, steps: int) -> str:
    """Where a decay comes from that was not given."""
    if settled is None:
        return ""
    if settled.steps == steps:
        return ' (picked by "auto")'
    return f' (picked by "auto" for the {settled.steps} steps of the run that goes on)'


def _largest_share(layers: Sequence[tf_keras.layers.Layer], steps: int) -> float:
    """Part of the old statistics that the slowest layer still has after so many steps."""
    return share_left(max(layer.momentum for layer in layers), steps)


def _outlook(layers: Sequence[tf_keras.layers.Layer], steps: int, origin: str = "") -> str:
    """What the decay means for the steps planned, and advice if too much of the old statistics will be left."""
    decay = max(layer.momentum for layer in layers)
    left = share_left(decay, steps)
    summary = (
        f"BatchNorm: {len(layers)} layers move their statistics at decay {decay:.6g}{origin}; after the {steps} steps "
        f"planned {left:.1%} of the old statistics will be left."
    )
    if left <= LARGEST_SHARE_LEFT:
        return summary
    better = decay_for(steps, slowest=decay)
    faster = f'Take decay={better:.4g} (or decay="auto") in finetune, or plan' if better < decay else "Plan"
    return (
        f"{summary} evaluate, predict and is_training=False will lag behind what was learned. {faster} "
        f"{steps_for(decay)} steps."
    )


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

    def look(self, spec: NetSpec, images: Any) -> bool:
        """Look at a batch, of several in one execution for the first that raises a doubt; returns whether one did."""
        self.doubt = self.doubt or doubt_about(images, spec)
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


class BatchNormMonitor(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Logs after each epoch of any ``fit`` whether the moving statistics can be trusted; warns when a pit opens.

    What it adds to the logs, so that ``TensorBoard``, ``CSVLogger`` and ``History`` have it too if they stand behind
    it in the list of callbacks:

    - ``bn_old_statistics_left``: part of the moving statistics that is still the value that ``fit`` started from, of
      the layer where it is largest; 1 if none moves.

    With ``validation_data``, of the layer where it is largest:

    - ``bn_mean_shift``: of the moving mean from that of the data, in standard deviations;
    - ``bn_variance_ratio``: between the moving variance and that of the data, 1 or greater;
    - ``bn_agreement``: part of the images with the same class from moving and from batch statistics;

    and with labels:

    - ``bn_accuracy_moving``, ``bn_accuracy_batch``, ``bn_accuracy_gap``: the gap is what moving statistics lose.

    Args:
        validation_data: Batches of (images, labels) or of images, e.g. a ``tf.data.Dataset``; gone through once an
            epoch. ``dataset.take(10)`` makes it cheap.

    Raises:
        TrainingDataError: When ``fit`` begins, if the batches are not such as the model takes.

    Warns:
        MovingStatisticsWarning: When the moving statistics do not move (pit one), will not keep up (pit two), or lose
            accuracy on the validation data.

    Example:
        >>> tuned.fit(dataset, callbacks=[BatchNormMonitor(validation), tf_keras.callbacks.CSVLogger("log.csv")])
    """

    _supports_tf_logs = True

    def __init__(self, validation_data: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.validation_data = validation_data
        self._probe: BatchNormProbe | None = None
        self._unmoved: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        self._steps = self._last_batch = self._epochs = 0
        self._open: set[str] = set()

    def on_train_begin(self, logs: Any = None) -> None:
        """Note the statistics that training starts from."""
        self._layers = [layer for layer in batch_norm_layers(self.model) if self._normalises_with_batch(layer)]
        self._unmoved = {layer.name: moving_statistics(layer) for layer in self._layers}
        self._open = set()
        self._steps = self._epochs = 0
        self._probe = None
        if self.validation_data is not None and self._layers:
            self._probe = BatchNormProbe(self.model, self._layers)
            self._probe.check(self.validation_data)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count steps."""
        self._last_batch = batch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log and warn."""
        logs = {} if logs is None else logs
        self._steps += self._last_batch + 1
        self._epochs += 1
        for layer in self._layers:
            start = self._unmoved.get(layer.name)
            if start is not None and not all(map(np.array_equal, moving_statistics(layer), start)):
                del self._unmoved[layer.name]
        moving = [layer for layer in self._layers if layer.name not in self._unmoved]
        stuck = [layer for layer in self._layers if layer.name in self._unmoved and self._plan() is not None]
        logs["bn_old_statistics_left"] = _largest_share(moving, self._steps) if moving and not stuck else 1.0
        self._tell_of_pit_one(stuck)
        self._tell_of_pit_two(moving, epoch)
        if self._probe is not None:
            seen = self._probe.measure(self.validation_data)  # type: ignore[arg-type]
            drifts = seen.drifts(self._layers)
            if self._opens("unmixed", is_open=not seen.is_mixed):
                self._warn(f"validation_data: {UNMIXED} Until then what is logged of the batch means little.")
            logs.update(_as_logs(seen, drifts))
            self._tell_of_gap(seen, drifts, epoch)

    def _plan(self) -> Any:
        """That of ``finetune``, which lets a layer normalise with the batch and not move; plain Keras does not."""
        from slim2keras.finetuning import FineTunedModel

        return self.model.plan if isinstance(self.model, FineTunedModel) else None

    def _normalises_with_batch(self, layer: tf_keras.layers.Layer) -> bool:
        plan = self._plan()
        return bool(layer.trainable if plan is None else plan.modes[layer.name] is not BatchNormMode.FROZEN)

    def _tell_of_pit_one(self, stuck: Sequence[tf_keras.layers.Layer]) -> None:
        if self._opens("pit one", is_open=bool(stuck)):
            self._warn(
                f"pit one: {len(stuck)} of {len(self._layers)} BatchNorm layers normalise with the batch, but their "
                f"moving statistics have not moved in {self._steps} steps; evaluate, predict and is_training=False "
                'are not what was learned. Take batch_norm="update" in finetune, or recalibrate at the end.'
            )

    def _tell_of_pit_two(self, moving: Sequence[tf_keras.layers.Layer], epoch: int) -> None:
        planned = self._steps * (self._epochs + self.params["epochs"] - epoch - 1) // self._epochs
        lags = bool(moving) and _largest_share(moving, planned) > LARGEST_SHARE_LEFT
        is_told_by_finetune = self._plan() is not None
        if self._opens("pit two", is_open=lags) and not is_told_by_finetune:
            self._warn(f"pit two: {_outlook(moving, planned)}")

    def _tell_of_gap(self, seen: Measurement, drifts: dict[str, Drift], epoch: int) -> None:
        off = [name for name, drift in drifts.items() if not drift.is_small]
        if self._opens("gap", is_open=bool(off) and seen.gap.is_felt):
            worst = max(off, key=lambda name: drifts[name].size)
            self._warn(
                f"After epoch {epoch + 1}: {seen.gap.describe()}; {len(off)} of {len(drifts)} BatchNorm layers are "
                f"off, furthest {worst} ({drifts[worst].describe()}). Take a smaller decay, or recalibrate at the end."
            )

    def _opens(self, pit: str, *, is_open: bool) -> bool:
        """Whether a pit was not open an epoch ago and is now."""
        was_open = pit in self._open
        (self._open.add if is_open else self._open.discard)(pit)
        return is_open and not was_open

    def _warn(self, text: str) -> None:
        warnings.warn(text, MovingStatisticsWarning, stacklevel=3)


def _as_logs(seen: Measurement, drifts: dict[str, Drift]) -> dict[str, float]:
    gap = seen.gap
    found = {
        "bn_mean_shift": float(np.max([drift.shift for drift in drifts.values()])),
        "bn_variance_ratio": float(np.max([drift.ratio for drift in drifts.values()])),
        "bn_agreement": gap.agreement,
    }
    if gap.accuracy_batch is not None and gap.accuracy_moving is not None and gap.accuracy_lost is not None:
        found |= {
            "bn_accuracy_moving": gap.accuracy_moving,
            "bn_accuracy_batch": gap.accuracy_batch,
            "bn_accuracy_gap": gap.accuracy_lost,
        }
    return found
