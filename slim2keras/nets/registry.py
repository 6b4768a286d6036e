"""What a network is to the rest of slim2keras: a row of facts and a function that lays its layers."""

from __future__ import annotations

import functools
import inspect
import numbers
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.graphs import layers
from slim2keras.graphs.graph import LayerGraph, Shape, Tensor
from slim2keras.nets.arguments import AtLeast, OneOf
from slim2keras.nets.slim_function import SlimFunction

VariableShapes = Mapping[str, tuple[int, ...]]

_REFUSED = {
    **dict.fromkeys(("inputs", "images", "input_tensor"), "give input_shape"),
    "is_training": "the mode is chosen when the model is called (training=...) or fine-tuned",
    "reuse": "a Keras model shares its layers when it is called again",
    "prediction_fn": 'the predictions are softmax; apply another function to the end point "Logits"',
    "activation_fn": "the network's published activation is built in",
    "data_format": "inputs are channels last (NHWC)",
    "batch_norm_updates_collections": "the moving statistics move in training mode, see the three BatchNorm modes",
}
"""What a Keras model has no use for, or has in its own way, whatever the network."""

_Mark = TypeVar("_Mark")


@dataclass(frozen=True)
class Net:
    """A network of slim's ``nets_factory``.

    Attributes:
        name: Key in ``nets_factory.networks_map``, or in that style.
        lay: Lays the layers on the input, records end points, and returns the outputs, logits first.
        scope: slim's default root scope.
        image_size: ``default_image_size`` of the slim function.
        channels: Of the images that the network was made for.
        frames: Of the videos, ``None`` for a network of images.
        preprocessing: Key of ``preprocessing_factory`` that the published checkpoints want.
        labels_offset: What slim's ``train_image_classifier`` takes off the labels of ImageNet: 1 where there is no
            background class.
        anchor: A variable that each network of the family has, below the root scope; where it lies, the root is.
        read_arguments: From variables below the root scope, candidates for the arguments that decide about variables.
        beside: Scopes of the network that lie beside its root scope.
        slim_name: Key in ``nets_factory.networks_map`` of the function that this is with other arguments, for a row
            that the factory does not have; its own name if left out, ``None`` where slim has no such network.
        slim: How slim has it, where its factory and its function do not tell.
        refused: Arguments of slim's function that this network does not take, and why.
        defaults: slim's arguments and their defaults.
        annotations: And what they are: type and marks of ``slim2keras.nets.arguments``.
    """

    name: str
    lay: Callable[..., list[Tensor]]
    scope: str
    image_size: int
    preprocessing: str
    labels_offset: int
    anchor: str
    read_arguments: Callable[[VariableShapes], Iterator[dict[str, Any]]]
    channels: int = 3
    frames: int | None = None
    beside: tuple[str, ...] = ()
    slim_name: str | None = ""
    slim: SlimFunction = field(default_factory=SlimFunction)
    refused: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(init=False)
    annotations: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        if self.slim_name == "":
            object.__setattr__(self, "slim_name", self.name)
        parameters = inspect.signature(self.lay).parameters.values()
        defaults = {item.name: item.default for item in parameters if item.kind is inspect.Parameter.KEYWORD_ONLY}
        function = self.lay.func if isinstance(self.lay, functools.partial) else self.lay
        object.__setattr__(self, "defaults", {**defaults, "scope": self.scope})
        object.__setattr__(self, "annotations", typing.get_type_hints(function, include_extras=True))

    @property
    def row_arguments(self) -> frozenset[str]:
        """Arguments whose defaults make this network of its family's function, e.g. the ``_050`` of a MobileNet."""
        return frozenset(self.lay.keywords) if isinstance(self.lay, functools.partial) else frozenset()

    @property
    def default_input_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the network as published, the frames first where it is one of videos."""
        images = (self.image_size, self.image_size, self.channels)
        return images if self.frames is None else (self.frames, *images)

    def marked(self, kind: type[_Mark]) -> dict[str, _Mark]:
        """The arguments that have a mark of this kind, with their marks."""
        marks = {name: _types_and_marks(self.annotations[name])[1] for name in self.defaults}
        return {name: mark for name, its_marks in marks.items() for mark in its_marks if isinstance(mark, kind)}

    def check_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Fill in slim's defaults.

        Raises:
            UnsupportedArgumentError: If slim's function has no such argument, or not of this type or value.
        """
        checked = dict(self.defaults)
        refused = {**_REFUSED, **self.refused}
        for name, value in arguments.items():
            if name in refused and name not in self.defaults:
                raise UnsupportedArgumentError(f"slim's argument {name} is not supported: {refused[name]}.")
            if name not in self.defaults:
                raise UnsupportedArgumentError(
                    f"{self.name} has no argument {name!r}.{did_you_mean(name, self.defaults)} "
                    f"It takes: {', '.join(self.defaults)}."
                )
            checked[name] = _checked(self.name, name, value, self.annotations[name])
        return checked

    def trace(self, input_shape: Shape, **arguments: Any) -> LayerGraph:
        """Lay the network for images of ``input_shape`` (height, width, channels), with slim's arguments.

        Raises:
            UnsupportedArgumentError: If an argument is refused, or the input is too small.
        """
        checked = self.check_arguments(arguments)
        x = layers.inputs(self._check_input_shape(input_shape))
        x.graph.outputs = self.lay(x, **checked)
        return x.graph

    def _check_input_shape(self, shape: Shape) -> Shape:
        shape = tuple(shape)
        sizes_fit = all(size is None or (type(size) is int and size > 0) for size in shape)
        if len(shape) != len(self.default_input_shape) or not sizes_fit or shape[-1] is None:
            axes = "(height, width, channels)" if self.frames is None else "(frames, height, width, channels)"
            raise UnsupportedArgumentError(
                f"input_shape of {self.name} must be {axes}, sizes None where they vary. Received: input_shape={shape}"
            )
        return shape


def _checked(net: str, name: str, value: Any, annotation: Any) -> Any:
    """The value as a plain number, string or None of the annotated type; a NumPy number serves as well."""
    allowed, marks = _types_and_marks(annotation)
    # An int serves as a float, but a bool is neither: depth_multiplier=True is a mistake.
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int in allowed:
        value = int(value)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool) and float in allowed:
        value = float(value)
    if type(value) not in allowed:
        names = " or ".join("None" if item is type(None) else item.__name__ for item in allowed)
        raise UnsupportedArgumentError(f"{name} of {net} must be {names}. Received: {name}={value!r}")
    for mark in marks:
        if isinstance(mark, AtLeast) and value is not None and value < mark.minimum:
            raise UnsupportedArgumentError(f"{name} {mark.requirement}. Received: {name}={value}")
        if isinstance(mark, OneOf) and value not in mark.values:
            *most, last = (f'"{item}"' if isinstance(item, str) else str(item) for item in mark.values)
            raise UnsupportedArgumentError(
                f"{name} of {net} must be {', '.join(most)} or {last}. Received: {name}={value!r}"
            )
    return value


def _types_and_marks(annotation: Any) -> tuple[tuple[type, ...], tuple[Any, ...]]:
    """The types of an annotation, and the marks within ``Annotated``."""
    marks = getattr(annotation, "__metadata__", ())
    if marks:
        annotation = annotation.__origin__
    # Python 3.10 gives ``int | None`` with the default None as ``typing.Optional[int]``, marks inside.
    if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
        return (annotation,), marks
    members = [_types_and_marks(member) for member in typing.get_args(annotation)]
    its_types = dict.fromkeys(item for types_of_member, _ in members for item in types_of_member)
    return tuple(its_types), (*marks, *(mark for _, marks_of_member in members for mark in marks_of_member))


def classes_in(variables: VariableShapes, logits: str) -> int | None:
    """Number of classes of the layer ``logits``, ``None`` where the network ends in its features."""
    shape = variables.get(f"{logits}/weights")
    return shape[-1] if shape else None


def read_depths(
    variables: VariableShapes, widths: Mapping[str, int], minimum: str, narrow: str
) -> Iterator[dict[str, Any]]:
    """Candidates for the depth multiplier and the minimum depth, the roundest multiplier with slim's minimum first.

    Args:
        variables: Shapes below the root scope.
        widths: Convolutions, and their filters with multiplier 1; the widest that is there tells the multiplier,
            because the minimum does not touch it.
        minimum: slim's name of the minimum depth.
        narrow: A regular expression for the convolutions that multiplier and minimum apply to.
    """
    present = [conv for conv in widths if f"{conv}/weights" in variables]
    widest = max(present, key=widths.__getitem__, default=None)
    base = widths[widest] if widest else 1
    filters = variables[f"{widest}/weights"][-1] if widest else 1
    narrow_widths = [shape[-1] for name, shape in variables.items() if re.fullmatch(f"{narrow}/weights", name)]
    for multiplier in _multipliers(filters, base):
        yield {"depth_multiplier": multiplier}
        if narrow_widths:
            yield {"depth_multiplier": multiplier, minimum: min(narrow_widths)}


def _multipliers(filters: int, base: int) -> Iterator[float]:
    """Depth multipliers with which ``int(base * multiplier)`` is ``filters``: the roundest, then the exact quotient."""
    exact = filters / base
    # The multiplier lies within half a filter above the quotient, because int() rounds down.
    tried = (round(exact + shift / base, digits) for digits in (0, 1, 2, 3) for shift in (0.0, 0.5))
    roundest = next((candidate for candidate in tried if int(base * candidate) == filters), exact)
    yield from dict.fromkeys((roundest, exact))
