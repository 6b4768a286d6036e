"""The options of ``finetune``: those of a training request, by their names, with its defaults and types."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from slim2keras.cli.console import parse_image_size
from slim2keras.cli.options import IMAGES
from slim2keras.errors import UnsupportedArgumentError

MODES, LOOP, RATE, OPTIMIZER, LOSS = (
    "BatchNorm",
    "How long, and what is kept",
    "Learning rate",
    "Optimizer",
    "What learns, and from what",
)


@dataclass(frozen=True)
class Row:
    """An option of a training request on the command line.

    Attributes:
        name: Of the option.
        panel: Its group in the help.
        text: Of the help.
        metavar: Of its value; by its type if left out.
    """

    name: str
    panel: str
    text: str
    metavar: str | None = None


ROWS = (
    Row("split", IMAGES, "Split of DATA to train on.", "NAME"),
    Row("validation", IMAGES, "Images to validate with that lie elsewhere.", "DATA"),
    Row("validation_split", IMAGES, "Part kept back to validate with, where DATA has no split for it."),
    Row("labels_offset", IMAGES, "Taken off the labels of DATA."),
    Row("batch_size", IMAGES, "Images a step."),
    Row("image_size", IMAGES, "Pixels of the images; the network's if left out.", "N or H,W"),
    Row("preprocessing_name", IMAGES, "A network whose preprocessing is taken, or a pipeline: vgg.", "NAME"),
    Row("fast_mode", IMAGES, "Of inception: distort brightness and saturation alone."),
    Row("crop_image", IMAGES, "Of inception: crop boxes at random."),
    Row("use_grayscale", IMAGES, "Make images grey."),
    Row("augment", IMAGES, "Distort images at random, as slim does."),
    Row("shuffle", IMAGES, "Take images in another order each epoch."),
    Row("limit", IMAGES, "At most so many images of each split."),
    Row("class_weights", IMAGES, "Weigh images so that each class counts alike: balanced.", "WEIGHTS"),
    Row("skip_broken", IMAGES, "Leave out images that cannot be read, and list them."),
    Row("exif_orientation", IMAGES, "Turn images as their EXIF tag says; slim and TensorFlow do not."),
    Row("workers", IMAGES, "Images prepared at once; TensorFlow decides if left out."),
    Row(
        "batch_norm",
        MODES,
        "update, frozen or batch; has no default. Or SCOPE=MODE, repeatable, the first that matches: "
        "'resnet_v1_50/block[1-3]=frozen' '.*=update'.",
        "MODE",
    ),
    Row("decay", MODES, "Fraction of the moving statistics that a step keeps; auto picks one for the steps.", "DECAY"),
    Row("recalibrate", MODES, "Estimate moving statistics anew at the end if they cost over a point of accuracy."),
    Row("checkpoint_exclude_scopes", LOSS, "Scopes to start afresh.", "SCOPE,..."),
    Row("trainable_scopes", LOSS, "Scopes that learn; all if left out.", "SCOPE,..."),
    Row("exclude_from_training", LOSS, "Scopes that do not.", "SCOPE,..."),
    Row("weight_decay", LOSS, "Of L2 regularization; 4e-5 if left out, slim's."),
    Row("label_smoothing", LOSS, "Of the labels."),
    Row("aux_weight", LOSS, "Weight of the loss of auxiliary logits."),
    Row("clip_gradient_norm", LOSS, "Norm to clip the gradient of each variable to; 0 does not."),
    Row("moving_average_decay", LOSS, "Of ExponentialMovingAverage shadows, which are what is validated and kept."),
    Row("accumulate", LOSS, "Batches whose mean gradient makes one step."),
    Row("precision", LOSS, "float32, mixed_bfloat16 or mixed_float16.", "POLICY"),
    Row("learning_rate", RATE, "At the start."),
    Row(
        "learning_rate_decay_type",
        RATE,
        "fixed, exponential, polynomial or cosine; for short --schedule.",
        "TYPE",
    ),
    Row("learning_rate_decay_factor", RATE, "Of exponential."),
    Row("num_epochs_per_decay", RATE, "Of exponential; polynomial ends after them."),
    Row("end_learning_rate", RATE, "Of polynomial and cosine."),
    Row("warmup_epochs", RATE, "Over which the rate grows from 0."),
    Row("optimizer", OPTIMIZER, "adadelta, adagrad, adam, ftrl, momentum, sgd or rmsprop.", "NAME"),
    Row("momentum", OPTIMIZER, "Of momentum."),
    Row("opt_epsilon", OPTIMIZER, "Of adadelta, adam and rmsprop."),
    Row("rmsprop_momentum", OPTIMIZER, "Of rmsprop."),
    Row("rmsprop_decay", OPTIMIZER, "Of rmsprop."),
    Row("adam_beta1", OPTIMIZER, "Of adam."),
    Row("adam_beta2", OPTIMIZER, "Of adam."),
    Row("adadelta_rho", OPTIMIZER, "Of adadelta."),
    Row("adagrad_initial_accumulator_value", OPTIMIZER, "Of adagrad."),
    Row("ftrl_learning_rate_power", OPTIMIZER, "Of ftrl."),
    Row("ftrl_initial_accumulator_value", OPTIMIZER, "Of ftrl."),
    Row("ftrl_l1", OPTIMIZER, "Of ftrl."),
    Row("ftrl_l2", OPTIMIZER, "Of ftrl."),
    Row("epochs", LOOP, "To train."),
    Row("max_number_of_steps", LOOP, "Steps after which training ends, instead of --epochs."),
    Row("patience", LOOP, "Epochs without a better validation after which training ends."),
    Row("seed", LOOP, "Of split, order, distortions, dropout and what starts afresh."),
    Row("deterministic", LOOP, "Give the same bits each time, which may take longer."),
    Row("save_steps", LOOP, "Write the last state every so many steps too, not only each epoch.", "STEPS"),
    Row("export_slim", LOOP, "Write a slim checkpoint of the last state too, RUN/slim."),
)
"""In the order of the help."""


@dataclass(frozen=True)
class _Field:
    """An option as the request has it."""

    kind: Any
    default: Any


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose ``**training`` gets the options of a request by their names, ``None`` where they are not given.

    In its help they stand before what is asked of a checkpoint.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
    place = [item.name for item in own].index("net")
    found = _fields()
    parameters = [*own[:place], *(_parameter(row, found[row.name]) for row in ROWS), *own[place:]]
    keywords = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in parameters]
    command.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
    return command


def _fields() -> dict[str, _Field]:
    """Type and default of every option of a request."""
    from slim2keras.trainer.request import GROUPS

    return {
        item.name: _Field(hints[item.name], None if item.default is MISSING else item.default)
        for kind in GROUPS.values()
        for hints in [typing.get_type_hints(kind)]
        for item in fields(kind)
    }


def _parameter(row: Row, its: _Field) -> inspect.Parameter:
    """``None`` stands for an option that is not given: a run that goes on keeps to its own."""
    name = row.name.replace("_", "-")
    kind = _kind_of(row.name, its.kind)
    names = f"--{name}/--no-{name}" if kind is bool and its.default else f"--{name}"
    declared: dict[str, Any] = {
        "help": row.text + _told_default(its.default),
        "metavar": "" if kind is bool else row.metavar,
        "rich_help_panel": row.panel,
    }
    annotation: Any = Annotated[kind | None, typer.Option(names, **declared)]
    return inspect.Parameter(row.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _told_default(default: Any) -> str:
    """In words; what is off needs none."""
    if default is None or default is False or default == ():
        return ""
    return " On by default." if default is True else f" Default: {default}."


def _kind_of(name: str, kind: Any) -> Any:
    """What click parses: whole words where a value is more than a number."""
    if name == "batch_norm":
        return list[str]
    parts = set(typing.get_args(kind) if isinstance(kind, types.UnionType) else [kind]) - {type(None)}
    simple = parts.pop() if len(parts) == 1 else str
    return simple if simple in (bool, int, float, Path) else str


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as a request takes them.

    Raises:
        UnsupportedArgumentError: If a value cannot be.
    """
    found = {name: value for name, value in options.items() if value is not None and value != []}
    for name, parse in _PARSERS.items():
        if name in found:
            found[name] = parse(found[name])
    return found


def _parse_decay(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise UnsupportedArgumentError(f"--decay must be a fraction, or auto. Received: --decay {text}") from None


def _parse_modes(words: Iterable[str]) -> str | dict[str, str]:
    """One mode for all, or modes by scope."""
    split = [word.rpartition("=") for word in words]
    if len(split) == 1 and not split[0][0]:
        return split[0][2]
    bare = [mode for scope, _, mode in split if not scope]
    if bare:
        raise UnsupportedArgumentError(
            f"--batch-norm is one mode for all, or SCOPE=MODE each time. Received: --batch-norm {bare[0]} beside "
            "others; for the rest of the layers give '.*=MODE', last."
        )
    return {scope: mode for scope, _, mode in split}


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "image_size": parse_image_size,
    "decay": _parse_decay,
    "batch_norm": _parse_modes,
}
