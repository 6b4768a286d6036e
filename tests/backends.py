"""Runs the tests of Keras 3 with each backend, PyTorch in an environment of its own; see ``make test-backends``.

That environment lies in ``.cache/backends`` and has neither TensorFlow nor this package installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".cache" / "backends" / "torch"


def install(torch: str) -> Path:
    """The interpreter of an environment with PyTorch, Keras 3 as it is here, and what Keras needs.

    Args:
        torch: What pip is asked for.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", ENVIRONMENT)
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in ("keras", "numpy", "h5py")]
    _run(python, "-m", "pip", "install", "--quiet", *shlex.split(torch))
    _run(python, "-m", "pip", "install", "--quiet", *pinned)
    return python


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True)


def main(torch: str, *arguments: str) -> int:
    """Install, and run the tests that know backends; what follows goes to pytest."""
    environment = {**os.environ, "PYTHON_WITH_TORCH": str(install(torch))}
    command = [sys.executable, "-m", "pytest", "tests/keras3", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
