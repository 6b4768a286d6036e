"""What learns in ``fit``, and that the ways of running it agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.optimizers import GradientDescent, Momentum
from slim2keras.training.state import state_variables
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels
from tests.training.tuned import LOGITS, NET, X, changed, fit, moving, tuned_model, values


class TestWhatLearns:
    def test_a_scope_alone(self) -> None:
        """Its variables learn, moving statistics move everywhere, and nothing else changes."""
        tuned = tuned_model(train_only=[LOGITS])
        before = values(tuned)
        fit(tuned)
        logits = {f"{LOGITS}/weights", f"{LOGITS}/biases"}
        assert changed(before, tuned) == logits | moving(before)
        assert len(tuned.trainable_variables) == 2
        assert len(tuned.non_trainable_variables) == len(before) - 2

    def test_all_but_a_scope(self) -> None:
        """What is excluded keeps its values; its statistics still move."""
        tuned = tuned_model(exclude_from_training=["MobilenetV1/Conv2d_0", ".*/BatchNorm"])
        before = values(tuned)
        fit(tuned)
        fixed = {name for name in before if "Conv2d_0/" in name or name.endswith(("gamma", "beta"))}
        assert changed(before, tuned) == set(before) - (fixed - moving(before))

    @pytest.mark.parametrize("mode", ["update", "batch", "frozen"])
    def test_gamma_and_beta_learn_whatever_the_mode(self, mode: str) -> None:
        """Only the moving statistics depend on it."""
        tuned = tuned_model(batch_norm=mode)
        before = values(tuned)
        fit(tuned)
        assert changed(before, tuned) == set(before) - (set() if mode == "update" else moving(before))

    def test_trainable_flags_of_convolutions_are_honoured(self) -> None:
        """As Keras has them, when the model is handed over."""
        model = build_ours(NET)
        model.get_layer("MobilenetV1/Conv2d_0").trainable = False
        tuned = tuned_model(model)
        before = values(tuned)
        fit(tuned)
        assert changed(before, tuned) == set(before) - {"MobilenetV1/Conv2d_0/weights"}

    def test_a_flag_that_is_set_later_is_honoured_too(self) -> None:
        """And one that contradicts the mode is refused then."""
        tuned = slim2keras.finetune(build_ours(NET), batch_norm="update")
        tuned.get_layer("MobilenetV1/Conv2d_0").trainable = False
        tuned.compile(Momentum(0.01, 0.9), SoftmaxCrossEntropy())
        before = values(tuned)
        fit(tuned)
        assert "MobilenetV1/Conv2d_0/weights" not in changed(before, tuned)
        tuned.get_layer("MobilenetV1/Conv2d_0/BatchNorm").trainable = False
        tuned.compile(Momentum(0.01, 0.9), SoftmaxCrossEntropy())
        with pytest.raises(UnsupportedArgumentError, match="trainable = False, which in Keras means moving statistics"):
            fit(tuned)

    def test_a_whole_model_that_is_not_trainable_is_refused(self) -> None:
        """Training would change nothing."""
        model = build_ours(NET)
        model.trainable = False
        with pytest.raises(UnsupportedArgumentError, match="Nothing would learn"):
            slim2keras.finetune(model, batch_norm="frozen")

    def test_dropout_is_active_in_every_mode(self) -> None:
        """Frozen statistics do not make it inference."""
        model = build_ours(NETS["vgg"])
        model.get_layer("vgg_a/dropout6").rate = 0.5
        tuned = tuned_model(model, batch_norm="frozen", optimizer=GradientDescent(0.0), run_eagerly=True)
        batch, target = images(0, (8, *NETS["vgg"].shape)), labels(1, CLASSES, 8)
        assert tuned.train_on_batch(batch, target) != tuned.train_on_batch(batch, target)

    def test_the_model_given_learns_too_and_stays_plain(self, tmp_path: Path) -> None:
        """It has the same numbers, and loads without slim2keras."""
        import tf_keras

        model = build_ours(NET)
        tuned = tuned_model(model, decay=0.9)
        fit(tuned)
        np.testing.assert_array_equal(model(X, training=False), tuned(X, training=False))
        model.save(tmp_path / "plain.keras")
        plain = tf_keras.models.load_model(tmp_path / "plain.keras")
        assert type(plain).__module__.startswith("tf_keras")
        np.testing.assert_array_equal(plain(X, training=False), tuned(X, training=False))
        assert {layer.momentum for layer in batch_norm_layers(plain)} == {0.9}

    def test_a_head_of_ones_own_on_a_network_used_as_a_layer(self) -> None:
        """The head learns, and the statistics of the network within move."""
        import tf_keras

        inputs = tf_keras.Input((32, 32, 3))
        features = slim2keras.build("mobilenet_v1_025", num_classes=0, input_shape=(32, 32, 3))
        logits = tf_keras.layers.Dense(CLASSES, name="head")(tf_keras.layers.Flatten()(features(inputs)))
        tuned = tuned_model(tf_keras.Model(inputs, logits), batch_norm={"MobilenetV1": "update"}, train_only=["head"])
        before = values(tuned)
        tuned.train_on_batch(images(0, (8, 32, 32, 3)), labels(1, CLASSES, 8))
        assert changed(before, tuned) == {"head/weights", "head/biases"} | moving(before)
        assert len(moving(before)) == 54

    @pytest.mark.slow
    def test_drop_path_follows_the_step(self) -> None:
        """Nothing is dropped at the first step, paths are at a late one."""
        model = slim2keras.build(
            "nasnet_cifar",
            input_shape=(16, 16, 3),
            num_classes=CLASSES,
            num_cells=3,
            num_conv_filters=4,
            use_aux_head=0,
            dense_dropout_keep_prob=1.0,
            drop_path_keep_prob=0.3,
        )
        tuned = tuned_model(model, batch_norm="batch", optimizer=GradientDescent(0.0))
        batch, target = images(0, (4, 16, 16, 3)), labels(1, CLASSES, 4)

        def loss_at(step: int) -> float:
            tuned.reset_metrics()
            tuned.optimizer.iterations.assign(step)
            return float(tuned.train_on_batch(batch, target))

        assert loss_at(0) == pytest.approx(loss_at(0), rel=1e-6)
        assert loss_at(10**6) != pytest.approx(loss_at(10**6), rel=1e-6)


class TestWaysOfRunning:
    @pytest.mark.parametrize(
        "options", [{"steps_per_execution": 2}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)]
    )
    def test_the_same_steps_are_taken(self, options: dict[str, Any]) -> None:
        """By several steps an execution, and by XLA."""

        def run(**options: Any) -> dict[str, np.ndarray]:
            tuned = slim2keras.finetune(build_ours(NET), batch_norm="update", decay=0.9, ema_decay=0.9)
            tuned.compile(Momentum(1e-3, 0.9), SoftmaxCrossEntropy(), **options)
            fit(tuned, epochs=2)
            return {name: item.numpy() for name, item in state_variables(tuned).items()}

        wanted = run()
        for name, value in run(**options).items():
            np.testing.assert_allclose(value, wanted[name], rtol=1e-3, atol=1e-4, err_msg=name)
