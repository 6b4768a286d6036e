"""Loss and accuracy of an epoch, whoever began it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np


class LazyLogs(Mapping[str, float]):
    """Loss and accuracy of a step under these names, fetched from the device when somebody looks."""

    def __init__(self, logs: Mapping[str, Any]) -> None:
        self._logs = logs

    def __getitem__(self, name: str) -> float:
        return float(np.asarray(self._logs[accuracy_name(self._logs) if name == "accuracy" else name]))

    def __iter__(self) -> Iterator[str]:
        return iter(("loss", "accuracy"))

    def __len__(self) -> int:
        return 2


def accuracy_name(names: Iterable[str]) -> str:
    """What Keras calls the accuracy, before which the output is named where there are several."""
    return next(name for name in names if name.endswith("accuracy"))


class Accumulators:
    """Sums of Keras' metrics over an epoch, also of one that another process began.

    Args:
        model: Whose metrics they are; it makes them in its first step.
        before: What the epoch has so far, by metric.
    """

    def __init__(self, model: Any, before: Mapping[str, Sequence[float]]) -> None:
        self._model, self._before = model, before
        self._is_begun = False

    def go_on(self) -> None:
        """After a step: add what was before the first one to what the metrics began anew."""
        if self._is_begun:
            return
        self._is_begun = True
        for metric in self._model.metrics:
            for variable, value in zip(metric.variables, self._before.get(metric.name, ()), strict=False):
                # Of several replicas each has a part of the sum, to which nothing can be added.
                variable.assign(variable.numpy() + value)

    def values(self) -> dict[str, list[float]]:
        """The sums of now."""
        if not self._is_begun:
            return {name: [*values] for name, values in self._before.items()}
        return {metric.name: [float(item.numpy()) for item in metric.variables] for metric in self._model.metrics}

    @staticmethod
    def results(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Loss and accuracy from sums and counts."""
        names = {"loss": "loss", "accuracy": accuracy_name([*values])}
        found = {ours: np.asarray(values[theirs], np.float32) for ours, theirs in names.items()}
        return {name: float(total / count) for name, (total, count) in found.items()}
