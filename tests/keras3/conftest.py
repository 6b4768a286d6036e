from __future__ import annotations

import numpy as np
import pytest

from tests.keras3 import steps
from tests.keras3.backends import BACKENDS, run_module


@pytest.fixture(scope="session", params=BACKENDS)
def found_steps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """``steps.everything()`` with each backend; with that of this process without another one."""
    import keras

    if request.param == keras.backend.backend():
        return steps.everything()
    path = tmp_path_factory.mktemp(request.param) / "found.npz"
    run_module(request.param, "tests.keras3.steps", path)
    with np.load(path) as arrays:
        return dict(arrays)
