"""Fine-tuning in half precision: what is float32 all the same, and what overflows."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.errors import NonFiniteLossError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.networks import network_of
from slim2keras.models.precision import precision_of
from slim2keras.optimizers import Adam, GradientDescent
from slim2keras.training.state import state_variables
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images
from tests.training.tuned import LOGITS, NET, X, Y, changed, fit, moving, tuned_model, values


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    import tf_keras

    tf_keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


OPTIONS = {"decay": 0.9, "ema_decay": 0.9, "clip_gradient_norm": 1.0}


@functools.cache
def losses_of_float32() -> list[float]:
    """Of ten epochs, two steps each."""
    return fit(tuned_model(**OPTIONS), epochs=10)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
class TestMixedPrecision:
    def test_twenty_steps_are_near_those_of_float32(self, name: str) -> None:
        """Logits, loss, variables, statistics, slots and shadows are float32, and the loss falls as it would."""
        with policy(name):
            tuned = tuned_model(**OPTIONS)
        assert type(tuned.optimizer).__name__.startswith("LossScaleOptimizer") is (name == "mixed_float16")
        losses = fit(tuned, epochs=10)
        # Half precision has two or three digits, and twenty steps add up: 2e-3 was measured.
        assert losses == pytest.approx(losses_of_float32(), rel=2e-2)
        assert losses[-1] < 0.9 * losses[0]
        assert tuned(X).dtype == "float32"
        assert tuned.get_layer("MobilenetV1/Conv2d_1_pointwise").compute_dtype == name.removeprefix("mixed_")
        state = state_variables(tuned)
        assert {item.dtype.name for key, item in state.items() if key != "global_step"} == {"float32"}
        assert all(np.isfinite(item.numpy()).all() for item in state.values())
        assert state["global_step"].numpy() == 20

    def test_auxiliary_logits_are_float32_too(self, name: str) -> None:
        """Their loss counts as well."""
        with policy(name):
            model = build_ours(NETS["inception_v3"])
        assert [output.dtype.name for output in model.outputs] == ["float32", "float32"]

    def test_the_head_of_a_user_is_judged_in_float32(self, name: str) -> None:
        """A loss and a metric of Keras see logits in float32, whatever gives them."""
        import tensorflow as tf
        import tf_keras

        seen = []

        def loss(labels: Any, logits: Any) -> Any:
            seen.append(logits.dtype)
            return tf_keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

        with policy(name):
            network = build_ours(NET)
            head = tf_keras.layers.Dense(CLASSES, name="head")(network.output)
            tuned = slim2keras.finetune(tf_keras.Model(network.input, head), batch_norm="frozen", train_only=["head"])
            tuned.compile("sgd", loss)
        assert tuned.output.dtype != tf.float32
        tuned.train_on_batch(X, Y)
        tuned.test_on_batch(X, Y)
        assert set(seen) == {tf.float32}

    def test_a_model_from_a_file_computes_as_before(self, name: str, tmp_path: Path) -> None:
        """The policy is saved with the layers, and the network is known again."""
        import tf_keras

        with policy(name):
            model = slim2keras.build("lenet", num_classes=3)
        model.save(tmp_path / "model.keras")
        loaded = tf_keras.models.load_model(tmp_path / "model.keras")
        batch = images(0, (2, 28, 28, 1))
        np.testing.assert_array_equal(loaded(batch), model(batch))
        assert precision_of(loaded) == name
        assert network_of(loaded).net == "lenet"


class TestLossScaling:
    def scaled(self, scale: float, optimizer: Any = None, **options: Any) -> Any:
        import tf_keras

        with policy("mixed_float16"):
            tuned = slim2keras.finetune(build_ours(NET), batch_norm="update", decay=0.9, **options)
            wrapped = tf_keras.mixed_precision.LossScaleOptimizer(optimizer or Adam(0.01), initial_scale=scale)
            tuned.compile(wrapped, SoftmaxCrossEntropy())
        return tuned

    def test_gradients_are_unscaled_before_they_are_clipped(self) -> None:
        """Each variable moves by the norm that was asked for, not by a 1024th of it."""
        tuned = self.scaled(1024.0, GradientDescent(1.0), clip_gradient_norm=1e-3)
        before = values(tuned)
        tuned.train_on_batch(X, Y)
        for name in (f"{LOGITS}/weights", "MobilenetV1/Conv2d_0/weights"):
            assert np.linalg.norm(values(tuned)[name] - before[name]) == pytest.approx(1e-3, rel=1e-2)

    def test_a_step_that_overflows_is_skipped(self) -> None:
        """The scale halves, no weight and no slot moves, and nothing becomes NaN."""
        tuned = self.scaled(2.0**40)
        before = values(tuned)
        tuned.train_on_batch(X, Y)
        assert changed(before, tuned) == moving(before)
        assert float(tuned.optimizer.loss_scale) == 2.0**39
        state = state_variables(tuned)
        assert all(np.isfinite(item.numpy()).all() for item in state.values())
        assert state["beta1_power"].numpy() == np.float32(0.9)

    def test_an_overflow_of_the_network_is_explained(self) -> None:
        """Activations beyond float16 end the step, and the message says which policy would hold them."""
        tuned = self.scaled(1.0)
        message = "(?s)Step 1 was not taken.*mixed_float16 end at 65504; mixed_bfloat16 has the range"
        with pytest.raises(NonFiniteLossError, match=message):
            tuned.train_on_batch(X * 1e5, Y)
