from __future__ import annotations

import numpy as np
import pytest

from tests.keras3.backends import QUICK_FIRST, steps_with


@pytest.fixture(scope="session", params=QUICK_FIRST)
def found_steps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """``steps.single_steps()`` with each backend."""
    return steps_with(request.param, "single_steps", tmp_path_factory.mktemp(request.param))
