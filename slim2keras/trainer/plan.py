"""Everything that decides the result of a training, before its first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from slim2keras.batch_norm.decay import LARGEST_SHARE_LEFT, share_left
from slim2keras.conversion.facts import FactSource, describe_input
from slim2keras.files.json_values import check_fields
from slim2keras.files.reports import Report, plural

_SHOWN = 6


@dataclass(frozen=True, repr=False)
class TrainingPlan(Report):
    """Everything that decides the result, as plain values.

    Attributes:
        source: Where the network is from: the checkpoint as given, and its step.
        net: Name of the network, and its arguments that are not slim's defaults, in words.
        input_shape: (height, width, channels).
        input_shape_source: Where that is from: given, published, from the .meta, from the weights, or default.
        preprocessing: slim's pipeline, and what it gives in evaluation, in words; empty of images that are prepared.
        augmentation: What is done to training images besides, in words.
        classes: Name of each class, in the order of their numbers.
        numbering: How they were numbered, in words.
        images: Number of training and of validation images, and where the latter are from.
        fingerprint: SHA-256 over both, see ``data.examples``.
        left_out: Images that cannot be read, left out as asked.
        classifier: Whether the checkpoint's classifier is kept, in words.
        fresh: Variables that start afresh.
        variables: Number of variables that learn and of all, and of parameters of both.
        modes: Number of BatchNorm layers by mode.
        decay: Largest fraction of the moving statistics that a move keeps, ``None`` where none moves.
        decay_is_auto: Whether it was picked for the number of steps.
        steps_per_epoch: Steps an epoch.
        total_steps: Of the whole training.
        epochs: The last one may be cut short.
        batch_size: Images of a micro-batch.
        accumulate: Micro-batches a step.
        schedule: Learning rate, in words.
        optimizer: With its constants, in words.
        regularization: Weight decay, label smoothing, clipping, averages and weights of classes, in words.
        precision: Policy of Keras.
        seed: Of everything drawn.
        deterministic: Whether every op gives the same bits each time.
        of_graph: What must be known of the graph that the network was imported from.
        first_step: Steps that lie behind, of a run that goes on.
        devices: That share each step, of all workers.
        workers: Processes that they are in.
    """

    source: Mapping[str, Any]
    net: str
    input_shape: tuple[int | None, ...]
    input_shape_source: str
    preprocessing: str
    augmentation: str
    classes: tuple[str, ...]
    numbering: str
    images: Mapping[str, Any]
    fingerprint: str
    left_out: tuple[str, ...]
    classifier: str
    fresh: tuple[str, ...]
    variables: Mapping[str, int]
    modes: Mapping[str, int]
    decay: float | None
    decay_is_auto: bool
    steps_per_epoch: int
    total_steps: int
    epochs: int
    batch_size: int
    accumulate: int
    schedule: str
    optimizer: str
    regularization: str
    precision: str
    seed: int
    deterministic: bool
    of_graph: tuple[str, ...] = ()
    first_step: int = 0
    devices: int = 1
    workers: int = 1

    @property
    def images_per_step(self) -> int:
        """Of all micro-batches together."""
        return self.batch_size * self.accumulate

    @property
    def old_statistics_left(self) -> float | None:
        """Part of the moving statistics of the checkpoint that will be left at the end, ``None`` where none moves."""
        return None if self.decay is None else share_left(self.decay, self.total_steps * self.accumulate)

    @property
    def lags(self) -> bool:
        """Whether too much of the old statistics will be left: pit two."""
        left = self.old_statistics_left
        return left is not None and left > LARGEST_SHARE_LEFT

    def summary(self) -> str:
        """In one line."""
        return f"{self.net}, {len(self.classes)} classes, {plural(self.total_steps, 'step')}"

    def page(self) -> Iterator[RenderableType]:
        """A line for each thing that decides."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for name, text in self._lines():
            table.add_row(name, Text(text))
        yield table
        for text in self.remarks():
            yield Text(f"remark: {text}", "yellow")

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "network", f"{self.net}, from {self.source['path']}"
        size = describe_input(self.input_shape, self.input_shape_source)
        yield "input", f"{size}; {self.preprocessing or 'images as they are prepared'}"
        yield "augmentation", self.augmentation
        yield "images", self._images()
        yield "classes", f"{_shortened(self.classes)}; {self.numbering}"
        yield "classifier", self.classifier
        if self.fresh:
            yield "afresh", _shortened(self.fresh)
        yield "learning", self._learning()
        yield "BatchNorm", self._batch_norm()
        yield "steps", self._steps()
        yield "learning rate", self.schedule
        yield "optimizer", f"{self.optimizer}; {self.regularization}"
        if self.devices > 1:
            yield "devices", self._devices()
        yield "precision", f"{self.precision}{', deterministic' if self.deterministic else ''}; seed {self.seed}"

    def _devices(self) -> str:
        where = f" in {self.workers} processes" if self.workers > 1 else ""
        share = f"{self.devices} devices{where}, {self.images_per_step // self.devices} images of a step each"
        if set(self.modes) <= {"frozen"}:
            return share
        return f"{share}; each normalises with its own {self.batch_size // self.devices}, as slim's clones do"

    def _images(self) -> str:
        found = self.images
        return f"{found['training']:,} to train, {found['validation']:,} to validate ({found['origin']})"

    def _learning(self) -> str:
        found = self.variables
        return (
            f"{found['learning']:,} of {found['all']:,} variables, {found['learning_parameters']:,} of "
            f"{found['parameters']:,} parameters"
        )

    def _batch_norm(self) -> str:
        if not self.modes:
            return "none"
        modes = ", ".join(f"{plural(count, 'layer')} in mode {mode!r}" for mode, count in self.modes.items())
        if self.decay is None:
            return f"{modes}; the moving statistics stay as they are"
        picked = ', picked by "auto"' if self.decay_is_auto else ""
        left = f"{self.old_statistics_left:.1%} of the old statistics will be left"
        return f"{modes}; decay {self.decay:.6g}{picked}: {left}"

    def _steps(self) -> str:
        micro = f" in {self.accumulate} micro-batches of {self.batch_size}" if self.accumulate > 1 else ""
        behind = f", {self.first_step:,} of them done" if self.first_step else ""
        return (
            f"{plural(self.epochs, 'epoch')} of {plural(self.steps_per_epoch, 'step')}, {self.total_steps:,} in all"
            f"{behind}; {self.images_per_step} images a step{micro}"
        )

    def remarks(self) -> Iterator[str]:
        """What the user should know before the first step."""
        yield from self.of_graph
        if self.input_shape_source == FactSource.DEFAULT.value and self.preprocessing:
            yield (
                "the checkpoint does not tell the size of the images that it was trained on, so it is the network's "
                "usual one: if it was another, give image_size (command line: --image-size)."
            )
        if self.lags:
            yield self.describe_lag()
        if self.modes.get("batch"):
            yield (
                f"the statistics of {plural(self.modes['batch'], 'layer')} in mode 'batch' do not move (pit one): "
                "recalibrate at the end (command line: --recalibrate)."
            )
        if self.left_out:
            yield f"{plural(len(self.left_out), 'image')} left out, which cannot be read: {_shortened(self.left_out)}"

    def describe_lag(self) -> str:
        """Pit two in words, and what to do."""
        instead = "" if self.decay_is_auto else 'take decay="auto" (command line: --decay auto), or '
        return (
            f"after {plural(self.total_steps, 'step')} at decay {self.decay:.6g} {self.old_statistics_left:.1%} of the "
            f"old moving statistics will be left (pit two): {instead}train more steps, or recalibrate at the end "
            "(command line: --recalibrate)."
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines; ``from_json`` takes them back."""
        return {**asdict(self), "old_statistics_left": self.old_statistics_left}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TrainingPlan:
        """The reverse.

        Raises:
            KeyError, TypeError: If it is no such plan.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        del values["old_statistics_left"]
        check_fields(cls, values)
        for name, kinds in _WITHIN.items():
            wrong = [key for key, kind in kinds.items() if not isinstance(values[name].get(key), kind)]
            if wrong:
                raise TypeError(f"{name} has no {', '.join(wrong)}")
        return cls(**values)


_WITHIN: Mapping[str, Mapping[str, type]] = {
    "source": {"path": str},
    "images": {"training": int, "validation": int, "origin": str},
    "variables": dict.fromkeys(("learning", "all", "learning_parameters", "parameters"), int),
}
"""What a page of the plan takes out of its attributes."""


def _shortened(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
