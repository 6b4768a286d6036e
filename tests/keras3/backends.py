"""The backends of Keras 3: this process has one, programs of the tests run with the others."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.keras3 import steps

BACKENDS = ("tensorflow", "jax", "torch")
QUICK_FIRST = (BACKENDS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in BACKENDS[1:]))
"""As parameters: with the others a process of its own has to import them first."""

_ROOT = Path(__file__).parents[2]


def run_module(backend: str, module: str, *arguments: str | Path) -> None:
    """Run a module of the tests with a backend; skip the test where it is not installed.

    The environment variable ``PYTHON_WITH_TORCH`` names an interpreter whose environment has Keras 3 and torch.
    """
    python = os.environ.get("PYTHON_WITH_TORCH") if backend == "torch" else None
    if python is None and importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [python or sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def steps_with(backend: str, function: str, path: Path) -> dict[str, np.ndarray]:
    """What a function of ``steps`` gives with a backend, in another process unless it is that of this one."""
    import keras

    if backend == keras.backend.backend():
        found: dict[str, np.ndarray] = getattr(steps, function)()
        return found
    run_module(backend, steps.__name__, function, path / "found.npz")
    with np.load(path / "found.npz") as arrays:
        return dict(arrays)
