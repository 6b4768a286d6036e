"""What a user asks of a training, by slim's names and defaults where slim's trainer has them.

Source: research/slim/train_image_classifier.py.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from slim2keras.batch_norm.decay import check_decay
from slim2keras.batch_norm.modes import BatchNormMode, ModeArgument
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.trainer.checks import check_choice, check_count, check_fraction, check_number, scope_list
from slim2keras.update_rules import check_constant

CONSTANTS: Mapping[str, Mapping[str, str]] = {
    "adadelta": {"adadelta_rho": "rho", "opt_epsilon": "epsilon"},
    "adagrad": {"adagrad_initial_accumulator_value": "initial_accumulator_value"},
    "adam": {"adam_beta1": "beta1", "adam_beta2": "beta2", "opt_epsilon": "epsilon"},
    "ftrl": {
        "ftrl_learning_rate_power": "learning_rate_power",
        "ftrl_initial_accumulator_value": "initial_accumulator_value",
        "ftrl_l1": "l1_regularization_strength",
        "ftrl_l2": "l2_regularization_strength",
    },
    "momentum": {"momentum": "momentum"},
    "sgd": {},
    "rmsprop": {"rmsprop_decay": "decay", "rmsprop_momentum": "momentum", "opt_epsilon": "epsilon"},
}
"""Of each optimizer: its options, and what its class in ``slim2keras.optimizers`` calls them."""
OPTIMIZERS = tuple(CONSTANTS)
DECAY_TYPES = ("fixed", "exponential", "polynomial", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
BALANCED = "balanced"

LARGEST_SEED = 2**32 - 1
"""That NumPy takes."""

CHOOSE_A_MODE = """batch_norm has no default (command line: --batch-norm), because both pits of slim lie in it. Choose:
  update   normalise with the batch and move the moving statistics, slim's is_training=True with its update ops;
           for data enough to fill batches of 16 and more
  frozen   normalise with the moving statistics of the checkpoint, slim's is_training=False; for small batches or
           few images
  batch    normalise with the batch and leave the moving statistics, slim without update ops, pit one: recalibrate
           after it
One for all layers, or by scope, the first that matches: {"resnet_v1_50/block[1-3]": "frozen", ".*": "update"}
(command line: --batch-norm 'resnet_v1_50/block[1-3]=frozen' --batch-norm '.*=update')."""


@dataclass(frozen=True)
class DataOptions:
    """Which images, and how they are read.

    Attributes:
        split: Name of the training images where the data has splits, slim's ``dataset_split_name``.
        validation: Validation images that lie elsewhere: any path that training images may have.
        validation_split: Share of the training images that validates where the data has no validation images.
        labels_offset: Taken off the labels of TFRecords, as in slim.
        batch_size: Images a step; of a micro-batch where gradients are accumulated.
        image_size: Height and width, slim's ``train_image_size``; the network's if left out. One number gives both.
        preprocessing_name: slim's pipeline, of another network than the one trained.
        fast_mode: slim's, of inception preprocessing: bilinear only, brightness and saturation.
        crop_image: slim's, of inception preprocessing: whether training crops boxes, and evaluation the centre.
        use_grayscale: Whether images become grey.
        augment: Whether images are distorted at random in training; else they are preprocessed as in evaluation.
        shuffle: Whether training images come in another order each epoch; else as they are listed.
        limit: At most so many images of each split, stratified by class.
        class_weights: ``"balanced"`` weighs an image by n / (classes * images of its class).
        skip_broken: Leave out images that cannot be decoded, and list them.
        exif_orientation: Turn images as their EXIF tag says; slim and TensorFlow do not.
        workers: Threads that read and preprocess; TensorFlow decides if left out.
    """

    split: str = "train"
    validation: Path | None = None
    validation_split: float = 0.2
    labels_offset: int = 0
    batch_size: int = 32
    image_size: tuple[int, int] | None = None
    preprocessing_name: str | None = None
    fast_mode: bool = True
    crop_image: bool = True
    use_grayscale: bool = False
    augment: bool = True
    shuffle: bool = True
    limit: int | None = None
    class_weights: str | None = None
    skip_broken: bool = False
    exif_orientation: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.image_size, int):
            object.__setattr__(self, "image_size", (self.image_size, self.image_size))
        elif self.image_size is not None:
            object.__setattr__(self, "image_size", tuple(self.image_size))
        if self.validation is not None:
            object.__setattr__(self, "validation", Path(self.validation))
        _check_size(self.image_size)
        check_fraction("validation_split", self.validation_split)
        for name in ("batch_size", "limit", "workers"):
            check_count(name, getattr(self, name))
        if self.class_weights is not None:
            check_choice("class_weights", self.class_weights, (BALANCED,))


def _check_size(size: tuple[int, ...] | None) -> None:
    if size is None:
        return
    if len(size) != 2:
        raise UnsupportedArgumentError(f"image_size must be one number, or height and width. Received: {size!r}")
    for part in size:
        check_count("image_size", part)


@dataclass(frozen=True)
class NetworkOptions:
    """What becomes of the checkpoint's network.

    Attributes:
        checkpoint_exclude_scopes: Scopes that start afresh; slim's comma list, or a list. Whole scopes where slim takes
            prefixes: ``block1`` is not ``block10``. A classifier whose size is not that of the data starts afresh by
            itself.
        weight_decay: Of L2 regularization; if left out slim's 4e-5 where the network takes it, and its own elsewhere.
        precision: Policy of Keras: ``float32``, ``mixed_bfloat16`` or ``mixed_float16``.
    """

    checkpoint_exclude_scopes: tuple[str, ...] = ()
    weight_decay: float | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "checkpoint_exclude_scopes", scope_list(self.checkpoint_exclude_scopes))
        check_number("weight_decay", self.weight_decay)
        check_choice("precision", self.precision, PRECISIONS)


@dataclass(frozen=True)
class StepOptions:
    """What a step does; ``slim2keras.finetune`` describes most of it.

    Attributes:
        batch_norm: Mode of BatchNorm, one or by scope; it has no default.
        decay: Of the moving statistics: a fraction, or ``"auto"``; that of the network if left out.
        trainable_scopes: Scopes that learn, a regular expression of whole scopes each; all if empty.
        exclude_from_training: Scopes that do not.
        label_smoothing: As in slim.
        clip_gradient_norm: To which the gradient of each variable is clipped; 0 for no clipping.
        aux_weight: Of the loss of auxiliary logits.
        moving_average_decay: slim's, of ExponentialMovingAverage shadows, which validation and ``model.keras`` take.
        accumulate: Micro-batches whose mean gradient makes one step; the statistics of BatchNorm move with each.
    """

    batch_norm: ModeArgument | None = None
    decay: float | str | None = None
    trainable_scopes: tuple[str, ...] = ()
    exclude_from_training: tuple[str, ...] = ()
    label_smoothing: float = 0.0
    clip_gradient_norm: float = 0.0
    aux_weight: float = 0.4
    moving_average_decay: float | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.batch_norm is None:
            raise UnsupportedArgumentError(CHOOSE_A_MODE)
        modes = [self.batch_norm] if isinstance(self.batch_norm, str) else self.batch_norm.values()
        for mode in modes:
            check_choice("batch_norm", mode, [item.value for item in BatchNormMode])
        check_decay(self.decay, auto=True)
        for name in ("trainable_scopes", "exclude_from_training"):
            object.__setattr__(self, name, scope_list(getattr(self, name)))
        for name in ("clip_gradient_norm", "aux_weight"):
            check_number(name, getattr(self, name))
        if self.label_smoothing:
            check_fraction("label_smoothing", self.label_smoothing)
        check_fraction("moving_average_decay", self.moving_average_decay)
        check_count("accumulate", self.accumulate)


@dataclass(frozen=True)
class OptimizerOptions:
    """slim's optimizer, and the constants of each; ``slim2keras.optimizers`` has them.

    Attributes:
        optimizer: adadelta, adagrad, adam, ftrl, momentum, sgd or rmsprop.
        opt_epsilon: Of adadelta, adam and rmsprop.
        momentum: Of momentum.
    """

    optimizer: str = "rmsprop"
    adadelta_rho: float = 0.95
    adagrad_initial_accumulator_value: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    opt_epsilon: float = 1.0
    ftrl_learning_rate_power: float = -0.5
    ftrl_initial_accumulator_value: float = 0.1
    ftrl_l1: float = 0.0
    ftrl_l2: float = 0.0
    momentum: float = 0.9
    rmsprop_momentum: float = 0.9
    rmsprop_decay: float = 0.9

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        for rule, constants in CONSTANTS.items():
            for option, name in constants.items():
                check_constant(rule, name, getattr(self, option), option)


@dataclass(frozen=True)
class ScheduleOptions:
    """The learning rate.

    Attributes:
        learning_rate: At the start.
        learning_rate_decay_type: slim's ``exponential``, ``fixed`` and ``polynomial``; or ``cosine``, over all steps.
        end_learning_rate: Of polynomial and cosine.
        learning_rate_decay_factor: Of exponential.
        num_epochs_per_decay: Of exponential and polynomial, which ends after them.
        warmup_epochs: Over which the rate grows from 0, slim's.
    """

    learning_rate: float = 0.01
    learning_rate_decay_type: str = "exponential"
    end_learning_rate: float = 0.0001
    learning_rate_decay_factor: float = 0.94
    num_epochs_per_decay: float = 2.0
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        check_choice("learning_rate_decay_type", self.learning_rate_decay_type, DECAY_TYPES)
        check_number("learning_rate", self.learning_rate, above=0.0)
        check_number("learning_rate_decay_factor", self.learning_rate_decay_factor, above=0.0, most=1.0)
        check_number("num_epochs_per_decay", self.num_epochs_per_decay, above=0.0)
        for name in ("end_learning_rate", "warmup_epochs"):
            check_number(name, getattr(self, name))


@dataclass(frozen=True)
class LoopOptions:
    """How long, and what is written meanwhile.

    Attributes:
        epochs: To train, an epoch of the training images each.
        max_number_of_steps: slim's: steps after which training ends, instead of ``epochs``.
        patience: Epochs without a better validation after which training ends; never if left out.
        seed: Of split, order, augmentation, dropout and what starts afresh.
        deterministic: Whether every op gives the same bits each time, which may take longer.
        save_steps: Steps after which the last state is written, beside every epoch's end.
        recalibrate: Whether moving statistics that cost accuracy at the end are estimated anew.
        export_slim: Whether the last state becomes a slim checkpoint too.
    """

    epochs: int = 10
    max_number_of_steps: int | None = None
    patience: int | None = None
    seed: int = 0
    deterministic: bool = False
    save_steps: int | None = None
    recalibrate: bool = False
    export_slim: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "max_number_of_steps", "patience", "save_steps"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0, most=LARGEST_SEED)


@dataclass(frozen=True)
class TrainingRequest:
    """A training to be done by ``slim2keras.train``; ``training_request`` makes one from options by name.

    Attributes:
        checkpoint: slim checkpoint, graph, model file of ours, or RUN, whose ``model.keras`` is taken.
        data: Folder of images, slim's TFRecords, or ``.npz``, see ``data.listing.list_examples``.
        output: The RUN to write.
        step: What a step does; the mode of BatchNorm in it has no default.
        images: How the data is read.
        network: What becomes of the network.
        optimizer: With its constants.
        schedule: Of the learning rate.
        loop: How long.
        of_checkpoint: What is asked of the checkpoint, such as ``net``.
        is_resumed: Whether ``output`` is a RUN to go on with, see ``resuming.resumed_request``.
        strategy: Who shares each step, see ``models.strategies.open_team``; a run may go on with others.
    """

    checkpoint: Path
    data: Path
    output: Path
    step: StepOptions
    images: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    loop: LoopOptions = field(default_factory=LoopOptions)
    of_checkpoint: CheckpointRequest = field(default_factory=CheckpointRequest, repr=False)
    is_resumed: bool = False
    strategy: str | None = None

    def __post_init__(self) -> None:
        for name in ("checkpoint", "data", "output"):
            object.__setattr__(self, name, Path(getattr(self, name)))

    def options(self) -> dict[str, Any]:
        """Every option by its name, as plain values."""
        groups = [getattr(self, group) for group in GROUPS]
        return {item.name: _plain(getattr(group, item.name)) for group in groups for item in fields(group)}

    def to_json(self) -> dict[str, Any]:
        """As plain values; ``training_request`` takes them back."""
        paths = {name: os.path.abspath(getattr(self, name)) for name in ("checkpoint", "data", "output")}
        return {**paths, "options": self.options()}


GROUPS: Mapping[str, type] = {
    "step": StepOptions,
    "images": DataOptions,
    "network": NetworkOptions,
    "optimizer": OptimizerOptions,
    "schedule": ScheduleOptions,
    "loop": LoopOptions,
}
"""Field of ``TrainingRequest`` to its class; no two have an option of the same name."""

OPTIONS: Mapping[str, str] = {item.name: group for group, kind in GROUPS.items() for item in fields(kind)}
"""Name of every option to the group that it is in."""


def training_request(
    checkpoint: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    of_checkpoint: CheckpointRequest | None = None,
    **options: Any,
) -> TrainingRequest:
    """A request from options by their names, whichever group they are in.

    Args:
        checkpoint: To start from: of slim, or a graph that holds its values itself.
        data: Images with labels: a folder, slim's TFRecords, or an ``.npz``.
        output: The RUN to write, which must not exist.
        of_checkpoint: What is asked of the checkpoint, as ``convert`` asks it.
        options: Attributes of ``DataOptions``, ``StepOptions``, ``OptimizerOptions``, ``ScheduleOptions`` and
            ``LoopOptions``, by name: those of ``slim2keras finetune`` with underscores.

    Raises:
        UnsupportedArgumentError: If there is no such option, or it cannot have that value.

    Examples:
        >>> request = slim2keras.training_request("train_dir/", "flowers/", "new_run/", batch_norm="update", epochs=5)
        >>> request.loop.epochs
        5
    """
    _check_names(options)
    groups = {group: kind(**_of_group(group, options)) for group, kind in GROUPS.items()}
    return TrainingRequest(
        Path(checkpoint),
        Path(data),
        Path(output),
        **groups,
        of_checkpoint=of_checkpoint or CheckpointRequest(),
    )


def with_options(request: TrainingRequest, options: Mapping[str, Any]) -> TrainingRequest:
    """The same request with other values of some options.

    Raises:
        UnsupportedArgumentError: As ``training_request``.
    """
    _check_names(options)
    changed = {group: replace(getattr(request, group), **_of_group(group, options)) for group in GROUPS}
    return replace(request, **changed)


def _of_group(group: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if OPTIONS[name] == group}


def _check_names(names: Collection[str]) -> None:
    for name in names:
        if name not in OPTIONS:
            raise UnsupportedArgumentError(f"There is no option {name!r} of a training.{did_you_mean(name, OPTIONS)}")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return os.path.abspath(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value
