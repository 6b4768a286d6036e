"""The decay of the moving statistics: whom it goes to, what it leaves, what the user is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.batch_norm.decay import SMALLEST_AUTO_DECAY
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.errors import MovingStatisticsWarning, UnsupportedArgumentError
from tests.training.tuned import NET, X, Y, fit, tuned_model


class TestDecay:
    def test_it_goes_to_the_layers_that_move_and_no_others(self) -> None:
        """The others keep the decay of the network."""
        modes = {"MobilenetV1/Conv2d_0": "frozen", "MobilenetV1/Conv2d_1.*": "batch", ".*": "update"}
        tuned = tuned_model(batch_norm=modes, decay=0.95)
        decays = {layer.name.split("/")[1]: layer.momentum for layer in batch_norm_layers(tuned)}
        assert decays["Conv2d_0"] == decays["Conv2d_1_depthwise"] == NET.decay
        assert decays["Conv2d_2_depthwise"] == decays["Conv2d_2_pointwise"] == 0.95

    def test_the_user_is_told_what_is_left(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Before the first step, in one line."""
        tuned_model(decay=0.5).fit(X, Y, batch_size=8, epochs=5, verbose=2)
        text = capsys.readouterr().out
        assert "5 layers move their statistics at decay 0.5; after the 10 steps planned 0.1% of the old" in text

    def test_and_warned_if_it_is_much(self) -> None:
        """With the decay or the steps that would do."""
        told = r"decay 0\.9997; after the 6 steps planned 99\.8%"
        advice = r'Take decay=0\.9 \(or decay="auto"\) in finetune, or plan 7675 steps\.'
        with pytest.warns(MovingStatisticsWarning, match=f"{told}.*{advice}"):
            tuned_model().fit(X, Y, batch_size=8, epochs=3, verbose=0)

    def test_epochs_done_do_not_count(self) -> None:
        """Only the steps that are left."""
        with pytest.warns(MovingStatisticsWarning, match="after the 2 steps planned"):
            tuned_model().fit(X, Y, batch_size=8, epochs=3, initial_epoch=2, verbose=0)

    def test_a_data_set_of_unknown_length_is_counted(self) -> None:
        """After its first epoch; ``"auto"`` asks for the number instead."""
        import tensorflow as tf

        data = tf.data.Dataset.from_generator(
            lambda: iter([(X, Y)] * 3), output_signature=(tf.TensorSpec(X.shape), tf.TensorSpec(Y.shape, tf.int64))
        )
        with pytest.warns(MovingStatisticsWarning, match="after the 6 steps planned"):
            tuned_model().fit(data, epochs=2, verbose=0)
        with pytest.raises(UnsupportedArgumentError, match="steps_per_epoch"):
            tuned_model(decay="auto").fit(data, epochs=2, verbose=0)

    @pytest.mark.parametrize("mode", ["batch", "frozen"])
    def test_nothing_is_said_where_nothing_moves(self, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A line about statistics would mislead."""
        tuned_model(batch_norm=mode).fit(X, Y, batch_size=8, verbose=2)
        assert "BatchNorm" not in capsys.readouterr().out

    def test_auto_picks_one_for_the_steps_of_each_fit(self) -> None:
        """A trial of one epoch does not decide about the run after it, and the step is traced with the new number."""
        tuned = tuned_model(decay="auto")
        fit(tuned, epochs=1)
        assert {layer.momentum for layer in batch_norm_layers(tuned)} == {SMALLEST_AUTO_DECAY}
        tuned.fit(X, Y, batch_size=8, epochs=60, verbose=0)
        decay = tuned.settled_decay.decay
        assert tuned.options.decay == "auto"
        assert decay**120 == pytest.approx(1e-4)
        assert {layer.momentum for layer in batch_norm_layers(tuned)} == {decay}
        layer = batch_norm_layers(tuned)[0]
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, 1000.0))
        tuned.train_on_batch(X, Y)
        np.testing.assert_allclose(layer.moving_mean.numpy(), 1000.0 * decay, rtol=1e-2)

    @pytest.mark.slow
    def test_a_run_that_goes_on_keeps_what_auto_picked(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Resumed in the same process or loaded from a file, for whatever is left; the run after it settles anew."""
        import tf_keras

        def auto(tuned: Any, **options: Any) -> float:
            fit(tuned, verbose=2, **options)
            return float(tuned.settled_decay.decay)

        tuned = tuned_model(decay="auto")
        first = auto(tuned, epochs=60)
        assert auto(tuned, epochs=62, initial_epoch=60) == first
        tuned.save(tmp_path / "tuned.keras")
        again = tf_keras.models.load_model(tmp_path / "tuned.keras")
        assert again.settled_decay == tuned.settled_decay
        assert {layer.momentum for layer in batch_norm_layers(again)} == {first}
        capsys.readouterr()
        assert auto(again, epochs=61) == first
        told = '(picked by "auto" for the 120 steps of the run that goes on); after the 122 steps planned'
        assert told in capsys.readouterr().out
        assert auto(again, epochs=90) == pytest.approx(1e-4 ** (1 / 180))

    def test_the_user_is_told_what_auto_picked(self) -> None:
        """A short trial is warned about, with the steps that the number was picked for."""
        told = r'decay 0\.9 \(picked by "auto"\); after the 2 steps planned 81\.0% of the old'
        with pytest.warns(MovingStatisticsWarning, match=told):
            tuned_model(decay="auto").fit(X, Y, batch_size=8, verbose=0)

    def test_auto_without_fit_is_refused(self) -> None:
        """Nothing else knows how many steps there will be."""
        with pytest.raises(UnsupportedArgumentError, match="which only fit knows"):
            tuned_model(decay="auto").train_on_batch(X, Y)

    @pytest.mark.parametrize("decay", [-0.1, 1.5, "fast", np.nan])
    def test_a_decay_that_is_none_is_refused(self, decay: Any) -> None:
        """Out of range, a word or NaN."""
        with pytest.raises(UnsupportedArgumentError, match="fraction kept, from 0 to 1"):
            tuned_model(decay=decay)

    def test_a_decay_for_no_layer_is_refused(self) -> None:
        """It would be ignored."""
        with pytest.raises(UnsupportedArgumentError, match="there are none"):
            tuned_model(batch_norm="frozen", decay=0.9)
