"""What a network says of images that have no labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from slim2keras.evaluation.scores import Scores
from slim2keras.files.reports import Report, plural


@dataclass(frozen=True, repr=False)
class Predictions(Report):
    """What a network says of images.

    Attributes:
        source: The network.
        scores: What it says of each.
        class_names: Name of each class of the network.
        names: What each image is called.
        preprocessing: What became of the images before, in words.
        left_out: Images that cannot be read.
    """

    source: str
    scores: Scores
    class_names: Sequence[str]
    names: Sequence[str]
    preprocessing: str = ""
    left_out: Sequence[str] = ()

    def summary(self) -> str:
        """In one line."""
        first = f"{self.names[0]} is {self.labels(0)[0][0]}"
        return f"{plural(len(self.names), 'image')}, {first}"

    def labels(self, place: int) -> list[tuple[str, float]]:
        """Names and probabilities of the likeliest classes of an image, likeliest first."""
        found = zip(self.scores.classes[place], self.scores.probabilities[place], strict=True)
        return [(self.class_names[number], float(probability)) for number, probability in found]

    def page(self) -> Iterator[RenderableType]:
        """A line an image, the likeliest class first."""
        for place, name in enumerate(self.names):
            first, *others = (f"{label} {probability:.1%}" for label, probability in self.labels(place))
            yield Text.assemble(f"{name}: ", (first, "bold"), *(f", {other}" for other in others))
        if self.left_out:
            yield Text(f"left out, cannot be read: {', '.join(self.left_out)}", "yellow")

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return {
            "source": self.source,
            "preprocessing": self.preprocessing or None,
            "images": [{"name": name, "classes": self._classes(place)} for place, name in enumerate(self.names)],
            "left_out": [*self.left_out],
        }

    def _classes(self, place: int) -> list[dict[str, Any]]:
        numbers = self.scores.classes[place]
        return [
            {"class": int(number), "label": label, "probability": probability}
            for number, (label, probability) in zip(numbers, self.labels(place), strict=True)
        ]
