"""What ``finetune`` refuses, by name."""

from __future__ import annotations

from typing import Any

import pytest

import slim2keras
from slim2keras.errors import UnsupportedArgumentError
from tests.parity.training_runs import build_ours
from tests.training.tuned import LOGITS, NET, tuned_model


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
        """The message names the argument, and close names where nothing matches."""
        with pytest.raises(UnsupportedArgumentError, match=message):
            tuned_model(**options)

    def test_a_model_whose_layers_cannot_be_seen_is_refused(self) -> None:
        """A subclass with a call of its own."""
        import tf_keras

        class Own(tf_keras.Model):  # type: ignore[misc]
            pass

        with pytest.raises(UnsupportedArgumentError, match="wants a functional model"):
            slim2keras.finetune(Own(), batch_norm="update")

    def test_the_mode_of_batch_norm_has_no_default(self) -> None:
        """Forgetting it is an error, not a wrong number."""
        with pytest.raises(TypeError, match="batch_norm"):
            slim2keras.finetune(build_ours(NET))  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        "loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "class", "function"]
    )
    def test_a_loss_of_probabilities_is_refused(self, loss: str) -> None:
        """By name, class or function; with ``from_logits`` it is taken."""
        import tf_keras

        given = {
            "class": tf_keras.losses.SparseCategoricalCrossentropy(),
            "function": tf_keras.losses.sparse_categorical_crossentropy,
        }
        tuned = slim2keras.finetune(slim2keras.build("lenet"), batch_norm="update")
        with pytest.raises(UnsupportedArgumentError, match="gives logits, and the loss takes probabilities"):
            tuned.compile("sgd", given.get(loss, loss))
        tuned.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
