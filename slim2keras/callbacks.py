"""Callbacks for ``fit``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tf_keras

from slim2keras.batch_norm.batches import UNMIXED
from slim2keras.batch_norm.decay import LARGEST_SHARE_LEFT
from slim2keras.batch_norm.drift import Drift
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, moving_statistics
from slim2keras.batch_norm.outlook import describe_outlook, largest_share
from slim2keras.batch_norm.probe import BatchNormProbe, Measurement
from slim2keras.errors import MovingStatisticsWarning
from slim2keras.training.plan import FineTuningPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

    Attributes:
        measured: What the last epoch's measurement of ``validation_data`` found; ``None`` before the first.

    Raises:
        TrainingDataError: When ``fit`` begins, if the batches are not such as the model takes.

    Warns:
        MovingStatisticsWarning: When the moving statistics do not move (pit one), will not keep up (pit two), or lose
            accuracy on the validation data.

    Examples:
        >>> tuned = slim2keras.finetune(slim2keras.load_model("run/model.keras"), batch_norm="update")
        >>> tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
        >>> flowers = slim2keras.data.open_dataset("flowers/", network=tuned, batch_size=12, training=True)
        >>> validation = slim2keras.data.open_dataset("flowers/", network=tuned, batch_size=12)
        >>> monitor = slim2keras.callbacks.BatchNormMonitor(validation)
        >>> history = tuned.fit(flowers, steps_per_epoch=10, callbacks=[monitor], verbose=0)
        >>> "bn_accuracy_gap" in history.history
        True
    """

    _supports_tf_logs = True

    def __init__(self, validation_data: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.validation_data = validation_data
        self.measured: Measurement | None = None
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
        self._probe = self.measured = None
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
        logs["bn_old_statistics_left"] = (
            largest_share(moving, self._steps, self._moves) if moving and not stuck else 1.0
        )
        self._tell_of_pit_one(stuck)
        self._tell_of_pit_two(moving, epoch)
        if self._probe is not None:
            seen = self.measured = self._probe.measure(self.validation_data)  # type: ignore[arg-type]
            drifts = seen.drifts(self._layers)
            if self._opens("unmixed", is_open=not seen.is_mixed):
                self._warn(f"validation_data: {UNMIXED} Until then what is logged of the batch means little.")
            logs.update(_as_logs(seen, drifts))
            self._tell_of_gap(seen, drifts, epoch)

    def _plan(self) -> Any:
        """That of ``finetune``, which lets a layer normalise with the batch and not move; plain Keras does not."""
        plan = getattr(self.model, "plan", None)
        return plan if isinstance(plan, FineTuningPlan) else None

    @property
    def _moves(self) -> int:
        """How often the moving statistics move in a step."""
        return 1 if self._plan() is None else int(self.model.options.accumulate)

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
        lags = bool(moving) and largest_share(moving, planned, self._moves) > LARGEST_SHARE_LEFT
        is_told_by_finetune = self._plan() is not None
        if self._opens("pit two", is_open=lags) and not is_told_by_finetune:
            self._warn(f"pit two: {describe_outlook(moving, planned, moves=self._moves)}")

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
