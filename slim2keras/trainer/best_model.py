"""``model.keras`` of a RUN: the network that was best on the validation images, as a plain Keras model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.conversion.report import describe_model, versions_of_all
from slim2keras.models.functional import functional_model
from slim2keras.models.overrides import Overrides
from slim2keras.models.precision import in_float32, precision_of
from slim2keras.models.variables import slim_variables
from slim2keras.outputs.formats import OutputFormat
from slim2keras.outputs.writing import write_with_report
from slim2keras.scopes import ema_name

if TYPE_CHECKING:
    import tf_keras

    from slim2keras.training.model import FineTunedModel


def validated_values(model: FineTunedModel) -> Mapping[str, Any]:
    """Variable by slim name to what validation takes for it: its moving average where there is one."""
    shadows = model.shadows
    return {name: shadows.get(ema_name(name), variable) for name, variable in slim_variables(model).items()}


class BestModel:
    """Writes a model with the values of one that trains.

    Args:
        model: That trains.
        path: To write to; a report that says which network it is lies beside it.
    """

    def __init__(self, model: FineTunedModel, path: Path) -> None:
        self._model, self._path = model, path
        self._plain = _plain(model)

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write the values of now, whole or not at all.

        Args:
            facts: For the report.
        """
        values = ((name, value.numpy()) for name, value in validated_values(self._model).items())
        write_whole(self._plain, values, self._path, facts)


def write_whole(model: tf_keras.Model, values: Any, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a plain model with other values, and its report.

    Raises:
        NoSpaceError, OutputError: If it cannot be written; the one before stays.
    """
    report = {**facts, **describe_model(model), "versions": versions_of_all()}
    write_with_report(model, values, path, OutputFormat.KERAS, report)


def _plain(model: FineTunedModel) -> tf_keras.Model:
    """A functional model of the same network, in float32 whatever it trains in."""
    plain = functional_model(model.input, model.output, model.name)
    plain.slim_network = model.slim_network
    return plain if precision_of(plain) == "float32" else in_float32(plain)


@contextlib.contextmanager
def averages_taken(model: FineTunedModel) -> Iterator[None]:
    """Within it the variables have the values that are validated."""
    with Overrides() as overrides:
        if model.shadows:
            variables = slim_variables(model)
            overrides.keep(variables.values())
            for name, value in validated_values(model).items():
                variables[name].assign(value)
        yield
