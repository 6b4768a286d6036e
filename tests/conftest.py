from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.reference import small_values, write_checkpoint


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """V2 checkpoint of the small network with a step counter; not to be changed."""
    directory = tmp_path_factory.mktemp("small")
    return write_checkpoint(directory / "model.ckpt-5000", {**small_values(), "global_step": np.int64(5000)})


@pytest.fixture
def own_checkpoint(tmp_path: Path) -> Path:
    """The same in a directory of its own, to be damaged."""
    return write_checkpoint(tmp_path / "model.ckpt-5000", {**small_values(), "global_step": np.int64(5000)})


@pytest.fixture(scope="session")
def sick_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sickness to a checkpoint that slim trained, and ``healthy`` to one; not to be changed."""
    from tests.sick_checkpoints import make_all

    return make_all(tmp_path_factory.mktemp("sick"))
