"""Going on after a stop is as if there had been none."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import CheckpointMismatchError, UnsupportedArgumentError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.optimizers import Adam, Momentum, RMSProp, exponential_decay
from slim2keras.training.export import export_checkpoint
from slim2keras.training.state import state_variables
from tests.parity.training_runs import build_ours
from tests.reference import first_quick, write_checkpoint
from tests.training.tuned import LOGITS, NET, fit, tuned_model, values

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: Adam(exponential_decay(0.01, steps=3, decay_factor=0.5)),
    "Momentum": lambda: Momentum(exponential_decay(0.01, steps=3, decay_factor=0.5), 0.9),
    "RMSProp": lambda: RMSProp(0.01, 0.9, 0.9, 1.0),
}


def tuned_by(optimizer: str, **options: Any) -> Any:
    own = {"decay": 0.9, "ema_decay": 0.99, "clip_gradient_norm": 1.0, "train_only": [".*Conv2d_[12].*", LOGITS]}
    return tuned_model(optimizer=OPTIMIZERS[optimizer](), **own, **options)


@functools.cache
def whole_run(optimizer: str) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses of six epochs without a stop, and the state at their end; not to be changed."""
    tuned = tuned_by(optimizer)
    return fit(tuned, epochs=6), {name: item.numpy() for name, item in state_variables(tuned).items()}


@pytest.mark.parametrize("optimizer", first_quick(*OPTIMIZERS))
class TestGoingOn:
    """A stop in the middle of a run changes nothing."""

    def test_saved_as_keras_and_loaded(self, optimizer: str, tmp_path: Path) -> None:
        """Losses, variables, slots and shadows are those of the run without a stop."""
        import tf_keras

        losses, state = whole_run(optimizer)
        tuned = tuned_by(optimizer)
        first = fit(tuned, epochs=3)
        tuned.save(tmp_path / "tuned.keras")
        again = tf_keras.models.load_model(tmp_path / "tuned.keras")
        assert again.options == tuned.options
        assert first + fit(again, epochs=6, initial_epoch=3) == losses
        for name, item in state_variables(again).items():
            np.testing.assert_array_equal(item.numpy(), state[name], err_msg=name)

    def test_backup_and_restore(self, optimizer: str, tmp_path: Path) -> None:
        """Keras' own callback, after an interruption."""
        import tf_keras

        class Stop(tf_keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                if epoch == 3:
                    raise KeyboardInterrupt

        losses, state = whole_run(optimizer)
        backup = tf_keras.callbacks.BackupAndRestore(tmp_path / "backup")
        with pytest.raises(KeyboardInterrupt):
            fit(
                tuned_by(optimizer),
                epochs=6,
                callbacks=[backup, Stop()],
            )
        again = tuned_by(optimizer)
        backup = tf_keras.callbacks.BackupAndRestore(tmp_path / "backup")
        assert fit(again, epochs=6, callbacks=[backup]) == losses[3:]
        for name, item in state_variables(again).items():
            np.testing.assert_array_equal(item.numpy(), state[name], err_msg=name)

    def test_exported_to_slim_and_resumed(self, optimizer: str, tmp_path: Path) -> None:
        """Through a checkpoint of slim the losses go on as if nothing had happened."""
        losses, _ = whole_run(optimizer)
        tuned = tuned_by(optimizer)
        first = fit(tuned, epochs=3)
        export_checkpoint(tuned, tmp_path / "model.ckpt-6")
        again = tuned_by(optimizer, resume_from=tmp_path)
        assert again.optimizer.iterations == 6
        assert first + fit(again, epochs=6, initial_epoch=3) == losses


class TestResume:
    def test_a_checkpoint_without_step_is_refused(self, tmp_path: Path) -> None:
        """It is not the middle of a run."""
        path = write_checkpoint(tmp_path / "model.ckpt", values(build_ours(NET)))
        with pytest.raises(CheckpointMismatchError, match="has no step counter"):
            tuned_model(resume_from=path)

    def test_missing_shadows_are_refused(self, tmp_path: Path) -> None:
        """Averages are not started anew in silence."""
        export_checkpoint(tuned_model(), tmp_path / "model.ckpt-0")
        with pytest.raises(CheckpointMismatchError, match="without ExponentialMovingAverage: leave ema_decay out"):
            tuned_model(resume_from=tmp_path / "model.ckpt-0", ema_decay=0.9)

    def test_missing_variables_are_listed(self, tmp_path: Path) -> None:
        """A run does not go on with half of its network."""
        kept = {name: item for name, item in values(build_ours(NET)).items() if LOGITS not in name}
        path = write_checkpoint(tmp_path / "model.ckpt-3", {**kept, "global_step": np.int64(3)})
        with pytest.raises(CheckpointMismatchError, match=f"- {LOGITS}/weights"):
            tuned_model(resume_from=path)

    def test_slots_of_another_shape_are_refused(self, tmp_path: Path) -> None:
        """With both shapes."""
        state = {name: item.numpy() for name, item in state_variables(tuned_model()).items()}
        state[f"{LOGITS}/biases/Momentum"] = np.zeros(3, "float32")
        path = write_checkpoint(tmp_path / "model.ckpt-3", state)
        with pytest.raises(
            CheckpointMismatchError, match=rf"~ {LOGITS}/biases/Momentum   optimizer \(5,\)   checkpoint"
        ):
            tuned_model(resume_from=path)

    def test_an_export_before_compile_would_lose_the_slots(self, tmp_path: Path) -> None:
        """So it is refused."""
        export_checkpoint(tuned_model(), tmp_path / "model.ckpt-0")
        tuned = slim2keras.finetune(build_ours(NET), batch_norm="update", resume_from=tmp_path / "model.ckpt-0")
        with pytest.raises(UnsupportedArgumentError, match="is not compiled, so its slots"):
            export_checkpoint(tuned, tmp_path / "model.ckpt-1")

    def test_it_is_done_once_not_at_every_compile(self, tmp_path: Path) -> None:
        """A new optimizer starts afresh."""
        export_checkpoint(tuned_model(), tmp_path / "model.ckpt-0")
        tuned = tuned_model(resume_from=tmp_path / "model.ckpt-0")
        fit(tuned)
        tuned.compile(Adam(0.01), SoftmaxCrossEntropy())
        assert tuned.optimizer.iterations == 0
