from __future__ import annotations

from pathlib import Path

import pytest

from slim2keras.outputs.formats import OutputFormat
from slim2keras.outputs.outline import outline_of_network
from slim2keras.outputs.writing import write_model
from tests.reference import small_spec, small_values


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``.keras`` that was written without a model; not to be changed."""
    path = tmp_path_factory.mktemp("small") / "model.keras"
    write_model(outline_of_network(small_spec()), small_values().items(), path, OutputFormat.KERAS)
    return path
