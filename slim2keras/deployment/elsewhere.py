"""Files read and run in a process of their own, where nothing of slim2keras can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import Slim2KerasError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_READERS = Path(__file__).parent / "readers"
# What lies in the working directory, the empty entry, is nobody's package.
_START = "import sys; sys.path[:] = [*filter(None, sys.path)]; sys.argv = sys.argv[1:]; import runpy; "
_RUN = "runpy.run_path(sys.argv[0], run_name='__main__')"
_WITHOUT_US = f"{_START} sys.modules['slim2keras'] = None; {_RUN}"
_WITH_OUR = f"{_START} import importlib; sys.path.insert(0, {{root!r}}); importlib.import_module({{module!r}}); {_RUN}"
_ROOT = Path(__file__).parents[2]
_LONGEST = 1800
"""Seconds; a network of a thousand layers takes minutes to load on a busy machine."""
_SHOWN = 2000
"""Characters at the end of what a process said."""


def run_elsewhere(
    reader: str,
    file: Path,
    inputs: Mapping[str, NDArray[Any]],
    environment: Mapping[str, str] | None = None,
    *,
    module: str = "",
    interpreter: str = sys.executable,
) -> tuple[list[NDArray[Any]], str]:
    """Let a reader load a file and run it.

    Args:
        reader: Name of a program in ``readers``, called with the file, an ``.npz`` of the inputs, and one to write:
            arrays ``output_0``, ``output_1``, ..., in order, and ``runtime``, name and version.
        file: To read.
        inputs: By name.
        environment: Added to that of this process.
        module: Of slim2keras, where a file cannot be read without it: it is imported first.
        interpreter: Of the environment to run it in, which need not be this one.

    Returns:
        Outputs, and the runtime.

    Raises:
        Slim2KerasError: If it fails, with what it said last.
    """
    with tempfile.TemporaryDirectory() as name:
        given, found = Path(name) / "given.npz", Path(name) / "found.npz"
        np.savez(given, **inputs)  # type: ignore[arg-type]
        start = _WITH_OUR.format(root=str(_ROOT), module=module) if module else _WITHOUT_US
        program = [interpreter, "-c", start, _READERS / f"{reader}.py", file, given, found]
        fault = _fault([*map(str, program)], environment or {})
        if fault or not found.is_file():
            raise Slim2KerasError(
                f"{file.name} was written, but cannot be run where it will be used: {reader} failed, in a process of "
                f"its own; nothing was kept. {fault or 'It gave no outputs.'}"
            )
        with np.load(found) as arrays:
            outputs = _in_order(arrays)
            return outputs, str(arrays["runtime"])


def _fault(program: Sequence[str], environment: Mapping[str, str]) -> str:
    """How a program failed, empty if it did not."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(  # noqa: S603
            program,
            env={**os.environ, **quiet, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired:
        return f"It was stopped after {_LONGEST} seconds."
    return f"Exit {done.returncode}, it said: {done.stderr.strip()[-_SHOWN:]}" if done.returncode != 0 else ""


def _in_order(arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    names: Sequence[str] = [name for name in arrays if name.startswith("output_")]
    return [arrays[f"output_{number}"] for number in range(len(names))]
