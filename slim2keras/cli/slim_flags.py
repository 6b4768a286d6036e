"""slim's own flags on the command line: their spelling, other names for them, and those that have no meaning any more.

Sources: research/slim/train_image_classifier.py, eval_image_classifier.py; absl/flags/_flag.py, ``BooleanFlag``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")


@dataclass(frozen=True)
class Option:
    """A word of the command line.

    Attributes:
        word: As it was typed.
        name: Of an option, with dashes; empty of anything else. A single dash before a long name is absl's too; ``-o``
            and numbers below 0 are left alone.
        separator: ``=`` where a value follows.
        value: The value.
    """

    word: str
    name: str = ""
    separator: str = ""
    value: str = ""

    @classmethod
    def parsed(cls, word: str) -> Option:
        typed, separator, value = word.partition("=")
        name = typed.removeprefix("-").removeprefix("-").replace("_", "-")
        is_option = typed.startswith("-") and len(name) > 1 and name[:1].isalpha()
        return cls(word, name, separator, value) if is_option else cls(word)

    def with_value(self, remaining: Iterator[str], *, is_boolean: bool = False) -> Option:
        """The same with its value, which may be the next word."""
        is_whole = self.separator or is_boolean
        return self if is_whole else replace(self, separator="=", value=next(remaining, ""))


@dataclass(frozen=True)
class Renamed:
    """A flag whose meaning another option has; ``option`` is empty where it is the argument of the command."""

    option: str = ""


@dataclass(frozen=True)
class Refused:
    """A flag that has no meaning any more.

    Attributes:
        default: slim's own, which asks for nothing and is passed over; ``None`` where any value asks for something.
        instead: What to do.
        is_boolean: Whether it stands without a value.
    """

    default: str | None
    instead: str
    is_boolean: bool = False

    def faults(self, option: Option) -> list[str]:
        """What is wrong with the flag as it was given; nothing where it asks for slim's default."""
        is_off = option.name.startswith("no") or option.value.lower() in _FALSE
        is_default = is_off if self.is_boolean else option.value == self.default
        return [] if is_default else [f"{option.word.partition('=')[0]}: {self.instead}."]


Flags: TypeAlias = Mapping[str, Renamed | Refused]

_SHARED = "Leave it out: there are no parameter servers and clones any more; --strategy shares each step"
_READING = "give --workers, the number of images that are prepared at once"
_SAVING = "the state is saved each epoch; give --save-steps for more often"
_NO_QUANTIZATION = "train in floating-point numbers and quantize afterwards, as TensorFlow Lite does"
_NO_NAME = "the data says itself what it is, by its folders or its .tfrecord files and labels.txt: leave it out"

_OF_BOTH: Flags = {
    "master": Refused("", _SHARED),
    "dataset_name": Refused(None, _NO_NAME),
    "dataset_dir": Renamed("--data"),
    "dataset_split_name": Renamed("--split"),
    "model_name": Renamed("--net"),
    "checkpoint_path": Renamed(),
    "num_preprocessing_threads": Refused("4", _READING),
}

TRAINING_FLAGS: Flags = {
    **_OF_BOTH,
    "train_dir": Renamed("--output"),
    "train_image_size": Renamed("--image-size"),
    "num_clones": Refused("1", _SHARED),
    "clone_on_cpu": Refused("false", _SHARED, is_boolean=True),
    "worker_replicas": Refused("1", _SHARED),
    "num_ps_tasks": Refused("0", _SHARED),
    "task": Refused("0", _SHARED),
    "sync_replicas": Refused("false", _SHARED, is_boolean=True),
    "replicas_to_aggregate": Refused("1", f"{_SHARED}; --accumulate N adds up the gradients of N batches"),
    "num_readers": Refused("4", _READING),
    "save_interval_secs": Refused("600", _SAVING),
    "save_summaries_secs": Refused("600", "summaries for TensorBoard are written each epoch, to RUN/tensorboard"),
    "quantize_delay": Refused("-1", _NO_QUANTIZATION),
    "ignore_missing_vars": Refused(
        "false", "name what starts afresh: --checkpoint-exclude-scopes SCOPE,SCOPE", is_boolean=True
    ),
}
"""Flags of slim's trainer that are no options of ``finetune`` by the same name."""

EVALUATION_FLAGS: Flags = {
    **_OF_BOTH,
    "eval_dir": Refused(None, "the result is printed; give --json, --csv FILE or --plot FILE to keep it"),
    "eval_image_size": Renamed("--image-size"),
    "quantize": Refused("false", _NO_QUANTIZATION, is_boolean=True),
}
"""Flags of slim's evaluation that are no options of ``evaluate`` by the same name."""


@dataclass(frozen=True)
class Switch:
    """How an option without a value is spelled here; ``off`` is empty where leaving it out is all there is."""

    on: str
    off: str = ""


@dataclass(frozen=True)
class Spelling:
    """The options of a command, and what is told by other names.

    Attributes:
        options: Names of the options that take a value, with dashes.
        switches: Options that do not, by their names with dashes.
        flags: slim's flags that are none of them.
    """

    options: frozenset[str]
    switches: Mapping[str, Switch]
    flags: Flags

    @classmethod
    def of(cls, parameters: Sequence[Any], flags: Flags) -> Spelling:
        """From the parameters of a command, click's."""
        options, switches = set(), {}
        for parameter in parameters:
            names = [name for name in parameter.opts if name.startswith("--")]
            off = next(iter(parameter.secondary_opts), "")
            for name in names:
                if getattr(parameter, "is_flag", False):
                    switches[name[2:]] = Switch(name, off)
                else:
                    options.add(name[2:])
        return cls(frozenset(options), switches, flags)

    def rewritten(self, words: Sequence[str]) -> list[str]:
        """The command line in our own spelling.

        Raises:
            ValueError: With every flag that has no meaning any more, and what to do instead.
        """
        remaining, arguments, found, faults = iter(words), [], [], []
        for word in remaining:
            if word == "--":
                found += [word, *remaining]
                break
            option = Option.parsed(word)
            flag = self._flag(option)
            if isinstance(flag, Refused):
                faults += flag.faults(option.with_value(remaining, is_boolean=flag.is_boolean))
            elif isinstance(flag, Renamed) and not flag.option:
                arguments.append(option.with_value(remaining).value)
            elif isinstance(flag, Renamed):
                found.append(flag.option + option.separator + option.value)
            else:
                found += self._spelled(option)
        if faults:
            raise ValueError("\n".join(faults))
        return [*arguments, *found]

    def _flag(self, option: Option) -> Renamed | Refused | None:
        """What a flag of slim means, as absl spells it: a boolean one also with ``no`` before it."""
        name = option.name.replace("-", "_")
        negated = self.flags.get(name.removeprefix("no"))
        is_negated = isinstance(negated, Refused) and negated.is_boolean
        return self.flags.get(name) or (negated if is_negated else None)

    def _spelled(self, option: Option) -> Iterator[str]:
        if option.name in self.options:
            yield f"--{option.name}{option.separator}{option.value}"
            return
        switch, is_on = self.switches.get(option.name), True
        if switch is None and option.name.startswith("no"):
            switch, is_on = self.switches.get(option.name[2:].removeprefix("-")), False
        if switch is None or (option.separator and option.value.lower() not in (*_TRUE, *_FALSE)):
            yield option.word
            return
        spelled = switch.on if is_on and option.value.lower() not in _FALSE else switch.off
        if spelled:
            yield spelled


_OF_FINETUNE: Flags = {**TRAINING_FLAGS, "schedule": Renamed("--learning-rate-decay-type")}
FLAGS_OF_COMMAND: Mapping[str, Flags] = {"finetune": _OF_FINETUNE, "evaluate": EVALUATION_FLAGS}


class SlimSpelling:
    """A command that takes options as absl has them: ``--learning_rate``, ``--use_grayscale=False``, and more."""

    name: str | None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's, of the command line in our own spelling."""
        flags = FLAGS_OF_COMMAND.get(self.name or "", {})
        try:
            words = Spelling.of(self.get_params(ctx), flags).rewritten(args)  # type: ignore[attr-defined]
        except ValueError as error:
            ctx.fail(str(error))
        return super().parse_args(ctx, words)  # type: ignore[misc,no-any-return]
