"""``finetune`` behind Keras' API: what learns, what the user is told, what is refused, and going on after a stop."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.batch_norm.decay import SMALLEST_AUTO_DECAY
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import (
    CheckpointMismatchError,
    MovingStatisticsWarning,
    NonFiniteLossError,
    OutputError,
    TrainingDataError,
    UnsupportedArgumentError,
)
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.building import build_model
from slim2keras.models.networks import network_of
from slim2keras.models.precision import precision_of
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.optimizers import Adam, GradientDescent, Momentum, RMSProp, exponential_decay
from slim2keras.training.export import export_checkpoint
from slim2keras.training.state import state_variables
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import assign_values, images, labels, values_of, write_checkpoint

NET = NETS["separable"]
LOGITS = "MobilenetV1/Logits"
X, Y = images(0, (16, *NET.shape)), labels(1, CLASSES, 16)


def tuned_model(
    model: Any = None, *, batch_norm: Any = "update", optimizer: Any = None, run_eagerly: bool = False, **options: Any
) -> Any:
    tuned = slim2keras.finetune(model or build_ours(NET), batch_norm=batch_norm, **options)
    tuned.compile(optimizer or Momentum(0.01, 0.9), SoftmaxCrossEntropy(), run_eagerly=run_eagerly)
    return tuned


def values(model: Any) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in slim_variables(model).items()}


def changed(before: dict[str, np.ndarray], model: Any) -> set[str]:
    return {name for name, value in values(model).items() if not np.array_equal(value, before[name])}


def moving(names: Any) -> set[str]:
    return {name for name in names if name.rpartition("/")[2].startswith("moving_")}


def fit(tuned: Any, **options: Any) -> list[float]:
    options = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MovingStatisticsWarning)
        found: list[float] = tuned.fit(X, Y, **options).history["loss"]
    return found


class TestWhatLearns:
    def test_a_scope_alone(self) -> None:
        tuned = tuned_model(train_only=[LOGITS])
        before = values(tuned)
        fit(tuned)
        logits = {f"{LOGITS}/weights", f"{LOGITS}/biases"}
        assert changed(before, tuned) == logits | moving(before)
        assert len(tuned.trainable_variables) == 2
        assert len(tuned.non_trainable_variables) == len(before) - 2

    def test_all_but_a_scope(self) -> None:
        tuned = tuned_model(exclude_from_training=["MobilenetV1/Conv2d_0", ".*/BatchNorm"])
        before = values(tuned)
        fit(tuned)
        fixed = {name for name in before if "Conv2d_0/" in name or name.endswith(("gamma", "beta"))}
        assert changed(before, tuned) == set(before) - (fixed - moving(before))

    @pytest.mark.parametrize("mode", ["update", "batch", "frozen"])
    def test_gamma_and_beta_learn_whatever_the_mode(self, mode: str) -> None:
        tuned = tuned_model(batch_norm=mode)
        before = values(tuned)
        fit(tuned)
        assert changed(before, tuned) == set(before) - (set() if mode == "update" else moving(before))

    def test_trainable_flags_of_convolutions_are_honoured(self) -> None:
        model = build_ours(NET)
        model.get_layer("MobilenetV1/Conv2d_0").trainable = False
        tuned = tuned_model(model)
        before = values(tuned)
        fit(tuned)
        assert changed(before, tuned) == set(before) - {"MobilenetV1/Conv2d_0/weights"}

    def test_a_flag_that_is_set_later_is_honoured_too(self) -> None:
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
        model = build_ours(NET)
        model.trainable = False
        with pytest.raises(UnsupportedArgumentError, match="Nothing would learn"):
            slim2keras.finetune(model, batch_norm="frozen")

    def test_dropout_is_active_in_every_mode(self) -> None:
        model = build_ours(NETS["vgg"])
        model.get_layer("vgg_a/dropout6").rate = 0.5
        tuned = tuned_model(model, batch_norm="frozen", optimizer=GradientDescent(0.0), run_eagerly=True)
        batch, target = images(0, (8, *NETS["vgg"].shape)), labels(1, CLASSES, 8)
        assert tuned.train_on_batch(batch, target) != tuned.train_on_batch(batch, target)

    def test_the_model_given_learns_too_and_stays_plain(self, tmp_path: Path) -> None:
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
        import tf_keras

        inputs = tf_keras.Input((32, 32, 3))
        features = slim2keras.build("mobilenet_v1_025", num_classes=0, input_shape=(32, 32, 3))
        logits = tf_keras.layers.Dense(CLASSES, name="head")(tf_keras.layers.Flatten()(features(inputs)))
        tuned = tuned_model(tf_keras.Model(inputs, logits), batch_norm={"MobilenetV1": "update"}, train_only=["head"])
        before = values(tuned)
        tuned.train_on_batch(images(0, (8, 32, 32, 3)), labels(1, CLASSES, 8))
        assert changed(before, tuned) == {"head/weights", "head/biases"} | moving(before)
        assert len(moving(before)) == 54

    def test_drop_path_follows_the_step(self) -> None:
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


class TestAuxiliaryLogits:
    NET = NETS["inception_v3"]
    BATCH = images(0, (8, *NET.shape)), labels(1, CLASSES, 8)

    def total(self, loss_weights: Any = None, **options: Any) -> float:
        tuned = slim2keras.finetune(build_ours(self.NET), batch_norm="batch", **options)
        tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy(), loss_weights=loss_weights, metrics=["accuracy"])
        return float(tuned.train_on_batch(*self.BATCH, return_dict=True)["loss"])

    def test_they_share_labels_and_loss_at_their_weight(self) -> None:
        without, default, double = self.total(aux_weight=0.0), self.total(), self.total(aux_weight=0.8)
        assert double - without == pytest.approx(2 * (default - without), rel=1e-4)
        assert self.total([1.0, 0.8]) == pytest.approx(double, rel=1e-6)

    def test_evaluate_and_labels_given_twice(self) -> None:
        tuned = slim2keras.finetune(build_ours(self.NET), batch_norm="frozen")
        tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy())
        batch, target = self.BATCH
        once = tuned.evaluate(batch, target, verbose=0)
        assert tuned.evaluate(batch, [target, target], verbose=0) == once


class TestDecay:
    def test_it_goes_to_the_layers_that_move_and_no_others(self) -> None:
        modes = {"MobilenetV1/Conv2d_0": "frozen", "MobilenetV1/Conv2d_1.*": "batch", ".*": "update"}
        tuned = tuned_model(batch_norm=modes, decay=0.95)
        decays = {layer.name.split("/")[1]: layer.momentum for layer in batch_norm_layers(tuned)}
        assert decays["Conv2d_0"] == decays["Conv2d_1_depthwise"] == NET.decay
        assert decays["Conv2d_2_depthwise"] == decays["Conv2d_3_pointwise"] == 0.95

    def test_the_user_is_told_what_is_left(self, capsys: pytest.CaptureFixture[str]) -> None:
        tuned_model(decay=0.5).fit(X, Y, batch_size=8, epochs=5, verbose=2)
        text = capsys.readouterr().out
        assert "7 layers move their statistics at decay 0.5; after the 10 steps planned 0.1% of the old" in text

    def test_and_warned_if_it_is_much(self) -> None:
        with pytest.warns(MovingStatisticsWarning, match=r"decay 0\.9997; after the 6 steps planned 99\.8%") as caught:
            tuned_model().fit(X, Y, batch_size=8, epochs=3, verbose=0)
        assert 'Take decay=0.9 (or decay="auto") in finetune, or plan 7675 steps.' in str(caught[0].message)

    def test_epochs_done_do_not_count(self) -> None:
        with pytest.warns(MovingStatisticsWarning, match="after the 2 steps planned"):
            tuned_model().fit(X, Y, batch_size=8, epochs=3, initial_epoch=2, verbose=0)

    def test_a_data_set_of_unknown_length_is_counted(self) -> None:
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
        with pytest.raises(UnsupportedArgumentError, match="which only fit knows"):
            tuned_model(decay="auto").train_on_batch(X, Y)

    @pytest.mark.parametrize("decay", [-0.1, 1.5, "fast", np.nan])
    def test_a_decay_that_is_none_is_refused(self, decay: Any) -> None:
        with pytest.raises(UnsupportedArgumentError, match="fraction kept, from 0 to 1"):
            tuned_model(decay=decay)

    def test_a_decay_for_no_layer_is_refused(self) -> None:
        with pytest.raises(UnsupportedArgumentError, match="there are none"):
            tuned_model(batch_norm="frozen", decay=0.9)


class TestBadArguments:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"train_only": ["MobilenetV1/Logit"]},
                r"train_only: 'MobilenetV1/Logit' matches none .* MobilenetV1/Logits",
            ),
            ({"train_only": LOGITS}, "must be a list of scopes"),
            ({"train_only": []}, "empty list"),
            ({"train_only": [".*/moving_mean"]}, "matches none"),
            ({"exclude_from_training": ["Conv2d_0"]}, "exclude_from_training: 'Conv2d_0' matches none"),
            ({"exclude_from_training": ["MobilenetV1"]}, "Nothing would learn"),
            ({"gradient_multipliers": {"MobilenetV1/x": 2.0}}, "gradient_multipliers: 'MobilenetV1/x' matches none"),
            ({"train_only": [LOGITS], "gradient_multipliers": {"MobilenetV1/Conv2d_0": 2.0}}, "matches none of 2"),
            ({"clip_gradient_norm": -1.0}, "clip_gradient_norm must be a number, 0 or greater"),
            ({"clip_gradient_norm": float("nan")}, "clip_gradient_norm must be a number"),
            ({"aux_weight": -0.4}, "aux_weight must be"),
            ({"ema_decay": 1.0}, "ema_decay must lie between 0 and 1"),
            ({"batch_norm": "training"}, "must be one of update, batch, frozen"),
        ],
    )
    def test_is_refused_by_name(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UnsupportedArgumentError, match=message):
            tuned_model(**options)

    def test_a_model_whose_layers_cannot_be_seen_is_refused(self) -> None:
        import tf_keras

        class Own(tf_keras.Model):  # type: ignore[misc]
            pass

        with pytest.raises(UnsupportedArgumentError, match="wants a functional model"):
            slim2keras.finetune(Own(), batch_norm="update")

    def test_the_mode_of_batch_norm_has_no_default(self) -> None:
        with pytest.raises(TypeError, match="batch_norm"):
            slim2keras.finetune(build_ours(NET))  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        "loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "class", "function"]
    )
    def test_a_loss_of_probabilities_is_refused(self, loss: str) -> None:
        import tf_keras

        given = {
            "class": tf_keras.losses.SparseCategoricalCrossentropy(),
            "function": tf_keras.losses.sparse_categorical_crossentropy,
        }
        tuned = slim2keras.finetune(slim2keras.build("lenet"), batch_norm="update")
        with pytest.raises(UnsupportedArgumentError, match="gives logits, and the loss takes probabilities"):
            tuned.compile("sgd", given.get(loss, loss))
        tuned.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@pytest.mark.parametrize("run_eagerly", [False, True])
class TestFailedSteps:
    def fails(self, tuned: Any, error: type[Exception], message: str, x: np.ndarray, y: np.ndarray) -> None:
        """The step raises, and nothing has changed; the next good one is taken."""
        before = {name: item.numpy() for name, item in state_variables(tuned).items()}
        with pytest.raises(error, match=message):
            tuned.train_on_batch(x, y)
        for name, item in state_variables(tuned).items():
            np.testing.assert_array_equal(item.numpy(), before[name], err_msg=name)

    def test_images_that_are_not_finite(self, run_eagerly: bool) -> None:
        tuned = tuned_model(run_eagerly=run_eagerly, ema_decay=0.9)
        tuned.train_on_batch(X, Y)
        broken = X.copy()
        broken[3, 2, 1, 0] = np.nan
        self.fails(tuned, NonFiniteLossError, "Step 2 was not taken: .*the images have such values already", broken, Y)
        tuned.train_on_batch(X, Y)
        assert tuned.optimizer.iterations == 2

    def test_a_variable_that_is_not_finite_is_named(self, run_eagerly: bool) -> None:
        tuned = tuned_model(run_eagerly=run_eagerly)
        slim_variables(tuned)[f"{LOGITS}/biases"].assign([np.inf] * CLASSES)
        self.fails(tuned, NonFiniteLossError, f"1 variables have such values already, the first {LOGITS}/biases", X, Y)

    def test_the_layer_where_it_begins_is_named(self, run_eagerly: bool) -> None:
        tuned = tuned_model(run_eagerly=run_eagerly)
        slim_variables(tuned)["MobilenetV1/Conv2d_2_pointwise/weights"].assign(np.full((1, 1, 16, 16), 1e38))
        self.fails(tuned, NonFiniteLossError, "first layer with such an output is MobilenetV1/Conv2d_2_pointwise", X, Y)

    def test_a_gradient_that_is_not_finite(self, run_eagerly: bool) -> None:
        import tensorflow as tf
        import tf_keras

        inputs = tf_keras.Input((3,))
        dense = tf_keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False, name="dense")
        tuned = slim2keras.finetune(tf_keras.Model(inputs, dense(inputs)), batch_norm="update")
        # The root has a value at zero, and no slope.
        tuned.compile(GradientDescent(0.1), lambda y, x: tf.reduce_mean(tf.sqrt(tf.abs(x))), run_eagerly=run_eagerly)
        message = "the loss is finite, but the gradient of dense/weights is NaN or infinite"
        self.fails(tuned, NonFiniteLossError, message, np.ones((2, 3), "float32"), np.ones((2, 1), "float32"))

    def test_labels_that_are_no_classes(self, run_eagerly: bool) -> None:
        tuned = tuned_model(run_eagerly=run_eagerly)
        self.fails(tuned, TrainingDataError, "Step 1 has labels from 3 to 7, but the network has 5 classes", X, Y + 3)
        self.fails(tuned, TrainingDataError, "labels from -1 to", X, Y - 1)
        with pytest.raises(TrainingDataError, match="but the network has 5 classes"):
            tuned.test_on_batch(X, Y + 3)

    def test_labels_with_other_columns(self, run_eagerly: bool) -> None:
        import tf_keras

        tuned = tuned_model(run_eagerly=run_eagerly)
        message = "labels have 7 classes and the network 5"
        self.fails(tuned, TrainingDataError, message, X, np.eye(7, dtype="float32")[Y])
        tuned.compile("sgd", tf_keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=run_eagerly)
        with pytest.raises(TrainingDataError, match=message):
            tuned.train_on_batch(X, np.eye(7, dtype="float32")[Y])

    @pytest.mark.parametrize("size", [(1, 1), (None, None)])
    def test_one_value_a_channel(self, run_eagerly: bool, size: tuple[int | None, int | None]) -> None:
        import tf_keras

        inputs = tf_keras.Input((*size, 4))
        x = tf_keras.layers.BatchNormalization(name="net/BatchNorm", momentum=0.9)(inputs)
        logits = tf_keras.layers.Dense(CLASSES)(tf_keras.layers.GlobalAveragePooling2D()(x))
        tuned = tuned_model(tf_keras.Model(inputs, logits), run_eagerly=run_eagerly)
        one, two = images(0, (1, 1, 1, 4)), images(0, (2, 1, 1, 4))
        message = "Step 1 has one value per channel in 1 BatchNorm layers, the first net/BatchNorm: a batch of 1"
        self.fails(tuned, TrainingDataError, message, one, Y[:1])
        tuned.train_on_batch(two, Y[:2])
        assert np.isfinite(tuned.get_layer("net/BatchNorm").moving_variance.numpy()).all()
        tuned_model(tf_keras.Model(inputs, logits), batch_norm="batch", run_eagerly=run_eagerly).train_on_batch(
            one, Y[:1]
        )


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Momentum": lambda: Momentum(exponential_decay(0.01, steps=3, decay_factor=0.5), 0.9),
    "RMSProp": lambda: RMSProp(0.01, 0.9, 0.9, 1.0),
    "Adam": lambda: Adam(0.01),
}


def tuned_by(optimizer: str, **options: Any) -> Any:
    own = {"decay": 0.9, "ema_decay": 0.99, "clip_gradient_norm": 1.0, "train_only": [".*Conv2d_[123].*", LOGITS]}
    return tuned_model(optimizer=OPTIMIZERS[optimizer](), **own, **options)


@functools.cache
def whole_run(optimizer: str) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses of six epochs without a stop, and the state at their end; not to be changed."""
    tuned = tuned_by(optimizer)
    return fit(tuned, epochs=6), {name: item.numpy() for name, item in state_variables(tuned).items()}


@pytest.mark.parametrize("optimizer", ["Adam", "Momentum", pytest.param("RMSProp", marks=pytest.mark.slow)])
class TestGoingOn:
    """A stop in the middle of a run changes nothing."""

    def test_saved_as_keras_and_loaded(self, optimizer: str, tmp_path: Path) -> None:
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
        losses, _ = whole_run(optimizer)
        tuned = tuned_by(optimizer)
        first = fit(tuned, epochs=3)
        export_checkpoint(tuned, tmp_path / "model.ckpt-6")
        again = tuned_by(optimizer, resume_from=tmp_path)
        assert again.optimizer.iterations == 6
        assert first + fit(again, epochs=6, initial_epoch=3) == losses


class TestResume:
    def test_a_checkpoint_without_step_is_refused(self, tmp_path: Path) -> None:
        path = write_checkpoint(tmp_path / "model.ckpt", values(build_ours(NET)))
        with pytest.raises(CheckpointMismatchError, match="has no step counter"):
            tuned_model(resume_from=path)

    def test_missing_shadows_are_refused(self, tmp_path: Path) -> None:
        export_checkpoint(tuned_model(), tmp_path / "model.ckpt-0")
        with pytest.raises(CheckpointMismatchError, match="without ExponentialMovingAverage: leave ema_decay out"):
            tuned_model(resume_from=tmp_path / "model.ckpt-0", ema_decay=0.9)

    def test_missing_variables_are_listed(self, tmp_path: Path) -> None:
        kept = {name: item for name, item in values(build_ours(NET)).items() if LOGITS not in name}
        path = write_checkpoint(tmp_path / "model.ckpt-3", {**kept, "global_step": np.int64(3)})
        with pytest.raises(CheckpointMismatchError, match=f"- {LOGITS}/weights"):
            tuned_model(resume_from=path)

    def test_slots_of_another_shape_are_refused(self, tmp_path: Path) -> None:
        state = {name: item.numpy() for name, item in state_variables(tuned_model()).items()}
        state[f"{LOGITS}/biases/Momentum"] = np.zeros(3, "float32")
        path = write_checkpoint(tmp_path / "model.ckpt-3", state)
        with pytest.raises(
            CheckpointMismatchError, match=rf"~ {LOGITS}/biases/Momentum   optimizer \(5,\)   checkpoint"
        ):
            tuned_model(resume_from=path)

    def test_an_export_before_compile_would_lose_the_slots(self, tmp_path: Path) -> None:
        export_checkpoint(tuned_model(), tmp_path / "model.ckpt-0")
        tuned = slim2keras.finetune(build_ours(NET), batch_norm="update", resume_from=tmp_path / "model.ckpt-0")
        with pytest.raises(UnsupportedArgumentError, match="is not compiled, so its slots"):
            export_checkpoint(tuned, tmp_path / "model.ckpt-1")

    def test_it_is_done_once_not_at_every_compile(self, tmp_path: Path) -> None:
        export_checkpoint(tuned_model(), tmp_path / "model.ckpt-0")
        tuned = tuned_model(resume_from=tmp_path / "model.ckpt-0")
        fit(tuned)
        tuned.compile(Adam(0.01), SoftmaxCrossEntropy())
        assert tuned.optimizer.iterations == 0


class TestExport:
    def test_a_plain_model_gives_what_it_was_made_of(self, small_checkpoint: Path, tmp_path: Path) -> None:
        model = slim2keras.convert(small_checkpoint)
        written = export_checkpoint(model, tmp_path / "model.ckpt-5000")
        assert [path.name for path in written.files] == ["model.ckpt-5000.index", "model.ckpt-5000.data-00000-of-00001"]
        with open_checkpoint(small_checkpoint) as theirs, open_checkpoint(tmp_path) as ours:
            assert set(theirs) - set(ours) == {"global_step"}
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])

    def test_the_first_one_is_the_latest_of_its_directory(self, tmp_path: Path) -> None:
        model = build_ours(NETS["vgg"])
        export_checkpoint(model, tmp_path / "model.ckpt-1")
        assert (tmp_path / "checkpoint").read_text().startswith('model_checkpoint_path: "model.ckpt-1"')
        export_checkpoint(model, tmp_path / "model.ckpt-2")
        assert '"model.ckpt-1"' in (tmp_path / "checkpoint").read_text()

    @pytest.mark.parametrize("version", ["V1", "V2"])
    def test_nothing_is_overwritten_unless_asked(self, version: str, tmp_path: Path) -> None:
        first, second = build_ours(NETS["vgg"]), build_ours(NETS["vgg"])
        second.get_layer("vgg_a/fc8").bias.assign(np.ones(CLASSES))
        prefix = tmp_path / "model.ckpt-1"
        export_checkpoint(first, prefix, version=version)
        with pytest.raises(OutputError, match="exists already"):
            export_checkpoint(second, prefix, version=version)
        with open_checkpoint(prefix) as checkpoint:
            assert checkpoint.location.version == version
            np.testing.assert_array_equal(checkpoint["vgg_a/fc8/biases"], first.get_layer("vgg_a/fc8").bias.numpy())
        export_checkpoint(second, prefix, version=version, overwrite=True)
        with open_checkpoint(prefix) as checkpoint:
            np.testing.assert_array_equal(checkpoint["vgg_a/fc8/biases"], np.ones(CLASSES))
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []

    @pytest.mark.parametrize("name", ["model.keras", "model.ckpt-3.index", "no/where/model.ckpt-3"])
    def test_a_name_that_is_none_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(OutputError):
            export_checkpoint(build_ours(NETS["vgg"]), tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_an_optimizer_that_slim_does_not_have_is_refused(self, tmp_path: Path) -> None:
        import tf_keras

        tuned = tuned_model(optimizer=tf_keras.optimizers.SGD(0.1, 0.9))
        with pytest.raises(UnsupportedArgumentError, match="tf_keras's SGD has no place in a slim checkpoint"):
            export_checkpoint(tuned, tmp_path / "model.ckpt-1")
        assert list(tmp_path.iterdir()) == []


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


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    import tf_keras

    tf_keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
class TestMixedPrecision:
    def test_twenty_steps_are_near_those_of_float32(self, name: str) -> None:
        """Logits, loss, variables, statistics, slots and shadows are float32, and the loss falls as it would."""
        options = {"decay": 0.9, "ema_decay": 0.9, "clip_gradient_norm": 1.0}
        with policy(name):
            tuned = tuned_model(**options)
        assert type(tuned.optimizer).__name__.startswith("LossScaleOptimizer") is (name == "mixed_float16")
        exact = fit(tuned_model(**options), epochs=10)
        losses = fit(tuned, epochs=10)
        # Half precision has two or three digits, and twenty steps add up: 2e-3 was measured.
        assert losses == pytest.approx(exact, rel=2e-2)
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


class TestLogitsOfPixels:
    """``num_classes=0`` gives features with height and width, and a head on top logits with them."""

    def head(self, *between: Any) -> Any:
        import tf_keras

        features = slim2keras.build("mobilenet_v1_025", num_classes=0, input_shape=(32, 32, 3))
        x = features.output
        for layer in between:
            x = layer(x)
        model = tf_keras.Model(features.input, tf_keras.layers.Dense(CLASSES, name="head")(x))
        return slim2keras.finetune(model, batch_norm="frozen", train_only=["head"])

    BATCH = images(0, (8, 32, 32, 3)), labels(1, CLASSES, 8)

    @pytest.mark.parametrize("loss", ["slim's", "Keras'", "mse"])
    def test_labels_of_images_are_refused(self, loss: str) -> None:
        """In training and in evaluation, and the message says how to flatten; then the same head trains."""
        import tf_keras

        batch, target = self.BATCH
        given = {"slim's": SoftmaxCrossEntropy(), "Keras'": "sparse_categorical_crossentropy", "mse": "mse"}[loss]
        target = np.eye(CLASSES, dtype="float32")[target] if loss == "mse" else target
        tuned = self.head()
        tuned.compile(GradientDescent(0.1), given, metrics=["accuracy"])
        message = r"logits of .* are \(\w+, 1, 1, 5\), of pixels, .* Put tf_keras.layers.Flatten\(\)"
        with pytest.raises(TrainingDataError, match=message):
            tuned.fit(batch, target, batch_size=8, verbose=0)
        with pytest.raises(TrainingDataError, match=message):
            tuned.evaluate(batch, target, batch_size=8, verbose=0)
        flat = self.head(tf_keras.layers.Flatten())
        flat.compile(GradientDescent(0.1), given if loss == "mse" else SoftmaxCrossEntropy(), metrics=["accuracy"])
        flat.fit(batch, target, batch_size=8, verbose=0)

    def test_labels_of_pixels_are_taken(self) -> None:
        """A head for segmentation has a label for each pixel."""
        import tf_keras

        tuned = self.head(tf_keras.layers.UpSampling2D(2))
        tuned.compile(GradientDescent(0.1), SoftmaxCrossEntropy())
        assert np.isfinite(tuned.train_on_batch(self.BATCH[0], np.zeros((8, 2, 2), "int64")))

    def test_slims_own_logits_of_one_pixel_are_judged_without_it(self) -> None:
        """DenseNet's, and those of a network without spatial_squeeze: loss and accuracy are those of the squeezed."""
        found = []
        for squeeze in (True, False):
            spec = NetSpec.make("mobilenet_v1_025", (32, 32, 3), {"num_classes": CLASSES, "spatial_squeeze": squeeze})
            model = build_model(spec)
            assign_values(model, values_of(spec.trace().variables()))
            tuned = slim2keras.finetune(model, batch_norm="frozen")
            tuned.compile(GradientDescent(0.0), SoftmaxCrossEntropy(), metrics=["accuracy"])
            found.append(tuned.evaluate(*self.BATCH, verbose=0))
            assert tuned.output.shape.rank == (2 if squeeze else 4)
        assert found[0] == found[1]


def test_labels_of_some_outputs_alone_are_taken_as_keras_takes_them() -> None:
    """A loss for one of two outputs, labels by its name."""
    import tf_keras

    inputs = tf_keras.Input((6,))
    outputs = [tf_keras.layers.Dense(3, name=name)(inputs) for name in ("first", "second")]
    tuned = slim2keras.finetune(tf_keras.Model(inputs, outputs), batch_norm="update")
    tuned.compile(slim2keras.optimizers.GradientDescent(0.1), loss={"first": "mse"})
    history = tuned.fit(np.ones((8, 6), "float32"), {"first": np.zeros((8, 3), "float32")}, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_outputs_by_name_get_their_own_labels() -> None:
    """Keras sorts them by name; so do the labels."""
    import tf_keras

    inputs = tf_keras.Input((6,))
    outputs = {name: tf_keras.layers.Dense(size, name=name)(inputs) for name, size in {"b": 2, "a": 3}.items()}
    tuned = slim2keras.finetune(tf_keras.Model(inputs, outputs), batch_norm="update")
    tuned.compile(slim2keras.optimizers.GradientDescent(0.1), loss={"a": "mse", "b": "mse"})
    labels = {"a": np.zeros((8, 3), "float32"), "b": np.zeros((8, 2), "float32")}
    history = tuned.fit(np.ones((8, 6), "float32"), labels, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
