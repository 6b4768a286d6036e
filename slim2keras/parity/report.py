"""Reports on how near a model's numbers are to those of slim itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from slim2keras.errors import ParityError
from slim2keras.files.json_values import finite_or_none
from slim2keras.files.reports import Report

BARS = {
    "trainability": 0.0,
    "inference": 1e-6,
    "training": 1e-5,
    "moving statistics": 1e-6,
    "regularization loss": 1e-6,
}
"""Largest difference allowed on each rung, relative to the largest magnitude of the tensor."""


@dataclass(frozen=True)
class Comparison:
    """One tensor of ours against slim's.

    Attributes:
        rung: Key of ``BARS``.
        name: End point or variable.
        difference: Largest absolute difference over the largest magnitude of slim's tensor; NaN if either has a NaN.
        bar: What it must not exceed.
        num_nan: Numbers of slim's tensor that are NaN. Where ours has them too the rest is compared, but of an output.
    """

    rung: str
    name: str
    difference: float
    bar: float
    num_nan: int = 0

    @property
    def passed(self) -> bool:
        return self.difference <= self.bar

    def to_json(self) -> dict[str, Any]:
        """As plain values; JSON has no NaN and no infinity, they become ``None``."""
        return {**asdict(self), "difference": finite_or_none(self.difference), "passed": self.passed}


@dataclass(frozen=True, repr=False)
class ParityReport(Report):
    """What ``verify`` found.

    Attributes:
        net: Name of the network.
        comparisons: Every tensor compared, rung by rung, in slim's order.
        not_judged: End points that slim's own network cannot judge.
        from_model: Variables that the checkpoint does not have (excluded scopes); slim got the model's values.
        images_shape: Shape of the images that both ran on.
        precision: Policy of the model. In mixed precision a copy of its layers and variables in float32 was compared.
        judge: What the model was compared with.
        not_run: What was not compared, a rung or some of its tensors, and why.
    """

    net: str
    comparisons: Sequence[Comparison]
    not_judged: Sequence[str] = field(default_factory=tuple)
    from_model: Sequence[str] = field(default_factory=tuple)
    images_shape: tuple[int, ...] = ()
    precision: str = "float32"
    judge: str = "slim"
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every difference is within its bar."""
        return all(comparison.passed for comparison in self.comparisons)

    @property
    def largest_difference(self) -> float:
        """Largest relative difference of all, 0.0 where every bit is equal."""
        return float(np.max([comparison.difference for comparison in self.comparisons], initial=0.0))

    @property
    def first_difference(self) -> Comparison | None:
        """First tensor in slim's order that is not equal bit for bit."""
        return next((comparison for comparison in self.comparisons if comparison.difference != 0.0), None)

    @property
    def first_failure(self) -> Comparison | None:
        """First tensor in slim's order that misses its bar."""
        return next((comparison for comparison in self.comparisons if not comparison.passed), None)

    def summary(self) -> str:
        """In one line."""
        verdict = "parity holds" if self.passed else f"parity fails at {self.first_failure.name}"  # type: ignore[union-attr]
        return (
            f"{self.net}, {verdict}, {len(self.comparisons)} tensors, largest difference {self.largest_difference:.1e}"
        )

    def page(self, *, show_all: bool = False) -> Iterator[RenderableType]:
        """The worst tensor of each rung, or every tensor; remarks; the verdict."""
        size = " x ".join(map(str, self.images_shape))
        yield Text.assemble((self.net, "bold"), f" against {self.judge}, images {size}")
        yield self._table(show_all=show_all)
        yield from map(Text, self._remarks())
        yield Text("Parity holds.", "green") if self.passed else Text("Parity fails.", "bold red")

    def _table(self, *, show_all: bool) -> Table:
        counts = Counter(comparison.rung for comparison in self.comparisons)
        table = Table("rung", "tensor" if show_all else "tensors", "difference", "bar", "", box=None)
        for row in self.comparisons if show_all else self.worst_by_rung().values():
            verdict = Text("ok", "green") if row.passed else Text("differs", "bold red")
            tensors = Text(row.name) if show_all else str(counts[row.rung])
            difference = f"{row.difference:.1e}" if row.difference else "0"
            table.add_row(row.rung, tensors, difference, f"{row.bar:.0e}", verdict)
        return table

    def _remarks(self) -> Iterator[str]:
        if self.precision != "float32":
            yield (
                f"The model computes in {self.precision}, to two or three digits. Compared is a copy of its layers and "
                "variables in float32."
            )
        if failure := self.first_failure:
            yield f"First to miss its bar: {failure.name} ({failure.rung}), {failure.difference:.1e}"
        if first := self.first_difference:
            yield f"First that is not equal bit for bit: {first.name} ({first.rung}), {first.difference:.1e}"
        if differing := [item.name for item in self.comparisons if item.rung == "trainability" and item.difference]:
            yield (
                f"Trained by the model and not by {self.judge}, or the reverse: {', '.join(differing)}. What is to "
                "stay fine-tuning takes as exclude_from_training."
            )
        if with_nan := [f"{item.name} ({item.rung}, {item.num_nan})" for item in self.comparisons if item.num_nan]:
            yield f"{self.judge} gives NaN, there nothing can be compared: {', '.join(with_nan)}"
        yield from (f"Not compared, {rung}: {why}" for rung, why in self.not_run.items())
        if self.not_judged:
            yield f"Not judged, {self.judge} has no such end point: {', '.join(self.not_judged)}"
        if self.from_model:
            yield f"Started afresh, {self.judge} got the model's values: {', '.join(self.from_model)}"

    def worst_by_rung(self) -> dict[str, Comparison]:
        """The largest difference of each rung."""
        worst: dict[str, Comparison] = {}
        for comparison in self.comparisons:
            if comparison.rung not in worst or not comparison.difference <= worst[comparison.rung].difference:
                worst[comparison.rung] = comparison
        return worst

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        first = self.first_difference
        return {
            "net": self.net,
            "passed": self.passed,
            "largest_difference": finite_or_none(self.largest_difference),
            "first_difference": first.to_json() if first else None,
            "images_shape": list(self.images_shape),
            "precision": self.precision,
            "judge": self.judge,
            "not_judged": list(self.not_judged),
            "not_run": dict(self.not_run),
            "from_model": list(self.from_model),
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }

    def raise_if_failed(self) -> None:
        """Raise if a bar is missed.

        Raises:
            ParityError: Names the first tensor that misses its bar.
        """
        failure = self.first_failure
        if failure:
            raise ParityError(
                f"{self.net} differs from {self.judge}: the first to miss its bar is {failure.name} ({failure.rung}), "
                f"{failure.difference:.1e} where {failure.bar:.0e} is allowed. "
                f"The largest difference of all is {self.largest_difference:.1e}."
            )
