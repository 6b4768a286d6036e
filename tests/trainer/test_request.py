import json
from collections import Counter
from dataclasses import fields

import pytest

from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import CheckpointReadError, UnsupportedArgumentError
from slim2keras.files.run_layout import RunLayout, is_run
from slim2keras.trainer.request import GROUPS, TrainingRequest, training_request
from slim2keras.trainer.resuming import resumed_request


def request(tmp_path, **options) -> TrainingRequest:
    return training_request("checkpoint", "images", tmp_path / "run", **{"batch_norm": "update", **options})


def stored(tmp_path, **options) -> TrainingRequest:
    asked = request(tmp_path, **options)
    layout = RunLayout(asked.output)
    layout.directory.mkdir()
    layout.request.write_text(json.dumps(asked.to_json()))
    return asked


def test_option_names_are_unique():
    """An option is found by its name alone, whichever group it is in."""
    names = Counter(item.name for kind in GROUPS.values() for item in fields(kind))
    assert set(names.values()) == {1}


def test_defaults_are_those_of_slims_trainer(tmp_path):
    """What slim's trainer has a flag for has slim's default."""
    slims = {
        "optimizer": "rmsprop",
        "adadelta_rho": 0.95,
        "adagrad_initial_accumulator_value": 0.1,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "opt_epsilon": 1.0,
        "ftrl_learning_rate_power": -0.5,
        "ftrl_initial_accumulator_value": 0.1,
        "ftrl_l1": 0.0,
        "ftrl_l2": 0.0,
        "momentum": 0.9,
        "rmsprop_momentum": 0.9,
        "rmsprop_decay": 0.9,
        "learning_rate_decay_type": "exponential",
        "learning_rate": 0.01,
        "end_learning_rate": 0.0001,
        "label_smoothing": 0.0,
        "learning_rate_decay_factor": 0.94,
        "num_epochs_per_decay": 2.0,
        "moving_average_decay": None,
        "labels_offset": 0,
        "batch_size": 32,
        "max_number_of_steps": None,
        "warmup_epochs": 0.0,
    }
    options = request(tmp_path).options()
    assert {name: options[name] for name in slims} == slims


def test_batch_norm_has_no_default(tmp_path):
    """Without a mode the error explains the three."""
    with pytest.raises(UnsupportedArgumentError, match=r"(?s)\n  update .*\n  frozen .*\n  batch "):
        training_request("checkpoint", "images", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number, 1 or greater"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"seed": 2**32}, "seed must be a whole number, 0 to 4294967295"),
        ({"optimizer": "adm"}, "Did you mean adam"),
        ({"epoch": 3}, "Did you mean epochs"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "above 0"),
        ({"learning_rate": 1e39}, "at most 3.4e"),
        ({"momentum": 1.5}, "momentum must be a number, from 0 to 1. Received: momentum=1.5"),
        ({"momentum": True}, "momentum must be a number"),
        ({"ftrl_l1": 10**400}, "ftrl_l1 must be a number"),
        ({"adam_beta1": 1.0}, "adam_beta1 must be a number, from 0 to less than 1. Received: adam_beta1=1.0"),
        ({"opt_epsilon": 0.0}, "opt_epsilon must be a number, greater than 0"),
        ({"adagrad_initial_accumulator_value": 0.0}, "adagrad_initial_accumulator_value must be a number, greater"),
        ({"ftrl_learning_rate_power": 0.5}, "ftrl_learning_rate_power must be a number, 0 or less"),
        ({"ftrl_l2": 1e39}, "ftrl_l2 must be a number"),
        ({"label_smoothing": 1.0}, "between 0 and 1"),
        ({"image_size": (1, 2, 3)}, "height and width"),
        ({"class_weights": "even"}, "balanced"),
        ({"batch_norm": {".*": "updated"}}, "Did you mean update"),
    ],
)
def test_values_that_cannot_be(tmp_path, options, message):
    """An option that cannot have a value is refused by its name."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        request(tmp_path, **options)


def test_spellings(tmp_path):
    """One number is height and width, and scopes may be slim's comma list."""
    asked = request(tmp_path, image_size=96, trainable_scopes="vgg/fc8, vgg/fc7/", checkpoint_exclude_scopes="vgg/fc8")
    assert asked.images.image_size == (96, 96)
    assert asked.step.trainable_scopes == ("vgg/fc8", "vgg/fc7")
    assert asked.network.checkpoint_exclude_scopes == ("vgg/fc8",)


def test_resumed_request_is_that_of_the_run(tmp_path):
    """A run that goes on has the options of its request, every one of them."""
    options = {"image_size": (64, 96), "batch_norm": {"a": "frozen", ".*": "update"}, "trainable_scopes": ["a", "b"]}
    asked = stored(tmp_path, validation="elsewhere", **options)
    found = resumed_request(asked.output, epochs=20)
    assert found.is_resumed
    assert found.of_checkpoint == CheckpointRequest()
    assert found.options() == {**asked.options(), "epochs": 20}


def test_resumed_request_refuses_what_decides_steps_already_done(tmp_path):
    """Another learning rate is another run, told with both values; the same one is no change."""
    run = stored(tmp_path, learning_rate=0.1).output
    assert resumed_request(run, learning_rate=0.1).schedule.learning_rate == 0.1
    with pytest.raises(UnsupportedArgumentError, match=r"learning_rate: 0.1 in the run, 0.01 now"):
        resumed_request(run, learning_rate=0.01)


def test_what_is_no_run(tmp_path):
    """A directory without a request, or with one that is damaged, is named."""
    assert not is_run(tmp_path)
    with pytest.raises(CheckpointReadError, match="is no RUN"):
        resumed_request(tmp_path)
    RunLayout(tmp_path).request.write_text('{"checkpoint": ')
    assert is_run(tmp_path)
    with pytest.raises(CheckpointReadError, match="JSONDecodeError"):
        resumed_request(tmp_path)
