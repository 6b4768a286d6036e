"""slim's flags: every one of its two programs is taken or refused by name, in all spellings of absl."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from slim2keras.cli.app import app
from slim2keras.cli.slim_flags import (
    EVALUATION_FLAGS,
    FLAGS_OF_COMMAND,
    TRAINING_FLAGS,
    Flags,
    Refused,
    Renamed,
    Spelling,
    Switch,
)
from tests.cli.running import Result

TRAINING = """
    master train_dir warmup_epochs num_clones clone_on_cpu worker_replicas num_ps_tasks num_readers
    num_preprocessing_threads log_every_n_steps save_summaries_secs save_interval_secs task weight_decay optimizer
    adadelta_rho adagrad_initial_accumulator_value adam_beta1 adam_beta2 opt_epsilon ftrl_learning_rate_power
    ftrl_initial_accumulator_value ftrl_l1 ftrl_l2 momentum rmsprop_momentum rmsprop_decay quantize_delay
    learning_rate_decay_type learning_rate end_learning_rate label_smoothing learning_rate_decay_factor
    num_epochs_per_decay sync_replicas replicas_to_aggregate moving_average_decay dataset_name dataset_split_name
    dataset_dir labels_offset model_name preprocessing_name batch_size train_image_size max_number_of_steps
    use_grayscale checkpoint_path checkpoint_exclude_scopes trainable_scopes ignore_missing_vars
"""
EVALUATION = """
    batch_size max_num_batches master checkpoint_path eval_dir num_preprocessing_threads dataset_name
    dataset_split_name dataset_dir labels_offset model_name preprocessing_name moving_average_decay eval_image_size
    quantize use_grayscale
"""
"""``tf.app.flags.DEFINE_*`` of research/slim/train_image_classifier.py and eval_image_classifier.py."""


def options_of(command: str) -> set[str]:
    group: Any = typer.main.get_command(app)
    return {name for parameter in group.commands[command].params for name in parameter.opts}


@pytest.mark.parametrize(
    ("command", "names", "flags"), [("finetune", TRAINING, TRAINING_FLAGS), ("evaluate", EVALUATION, EVALUATION_FLAGS)]
)
def test_every_flag_of_slim_is_taken_or_refused(command: str, names: str, flags: Flags) -> None:
    """By its own name, another, or with what to do instead; and the table has none that slim has not."""
    options = options_of(command)
    for name in names.split():
        flag = flags.get(name)
        if flag is None:
            assert f"--{name.replace('_', '-')}" in options, name
        elif isinstance(flag, Renamed):
            assert not flag.option or flag.option in options, name
    assert flags.keys() <= {*names.split()}


@pytest.mark.parametrize(("command", "flags"), [("finetune", TRAINING_FLAGS), ("evaluate", EVALUATION_FLAGS)])
def test_what_is_refused_says_what_to_do_instead(command: str, flags: Flags) -> None:
    """All of it at once, with exit code 2; an option that is named instead is one of the command."""
    refused = {name: flag for name, flag in flags.items() if isinstance(flag, Refused)}
    words = [f"--{name}" if flag.is_boolean else f"--{name}=7" for name, flag in refused.items()]
    result = Result(command, "checkpoint", *words)
    assert result.status == 2
    said = " ".join(result.err.replace("│", " ").split())
    for name, flag in refused.items():
        assert f"--{name}: {flag.instead}." in said
        for word in flag.instead.replace(",", " ").replace(":", " ").replace(";", " ").split():
            assert not word.startswith("--") or word in options_of(command)


def test_slims_own_defaults_ask_for_nothing() -> None:
    """A script that spells them out goes on."""
    spelling = Spelling(frozenset(), {}, TRAINING_FLAGS)
    assert spelling.rewritten(["--num_clones=1", "--task", "0", "--nosync_replicas", "--clone_on_cpu=False"]) == []
    with pytest.raises(ValueError, match="num_clones"):
        spelling.rewritten(["--num_clones", "2"])


SPELLING = Spelling(
    frozenset({"learning-rate", "output", "data"}),
    {"shuffle": Switch("--shuffle", "--no-shuffle"), "use-grayscale": Switch("--use-grayscale")},
    {"train_dir": Renamed("--output"), "checkpoint_path": Renamed()},
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--learning_rate 0.1", "--learning-rate 0.1"),
        ("--learning_rate=-0.1", "--learning-rate=-0.1"),
        ("-learning_rate=1e-3", "--learning-rate=1e-3"),
        ("--learning-rate -5", "--learning-rate -5"),
        ("--train_dir=run -o run", "--output=run -o run"),
        ("--train-dir run", "--output run"),
        ("--data d --checkpoint_path=model.ckpt", "model.ckpt --data d"),
        ("--data d --checkpoint_path model.ckpt", "model.ckpt --data d"),
        ("--shuffle=False", "--no-shuffle"),
        ("--noshuffle --no-shuffle --shuffle=t", "--no-shuffle --no-shuffle --shuffle"),
        ("--use_grayscale=False", ""),
        ("--nouse_grayscale --use_grayscale", "--use-grayscale"),
        ("-- --learning_rate", "-- --learning_rate"),
        ("--nonsense=a_b a_b", "--nonsense=a_b a_b"),
    ],
)
def test_absls_spellings_are_ours_too(typed: str, meant: str) -> None:
    """Underscores, single dashes, ``=False`` and ``--no``; what is unknown is left to click."""
    assert SPELLING.rewritten(typed.split()) == meant.split()


def test_the_schedule_has_a_short_name() -> None:
    """Ours, which slim does not have."""
    spelling = Spelling(frozenset({"learning-rate-decay-type"}), {}, FLAGS_OF_COMMAND["finetune"])
    assert spelling.rewritten(["--schedule=cosine"]) == ["--learning-rate-decay-type=cosine"]


def test_a_misspelled_option_is_told_the_right_one() -> None:
    """By click, whichever dashes were typed."""
    result = CliRunner().invoke(app, ["finetune", "checkpoint", "--lerning_rate=1"])
    assert result.exit_code == 2
    assert "--learning-rate" in result.stderr
