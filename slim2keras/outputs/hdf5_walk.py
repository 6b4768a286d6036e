"""HDF5 is walked in a process of its own first, since a damaged file can end the one that reads it.

Of a damaged table of a group's links (a fractal heap and its B-tree, as groups of more than eight have) HDF5 1.14.6
tells that its checksum is wrong, and writes where it may not: later, anywhere, there is SIGSEGV or SIGABRT.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import BinaryIO

from slim2keras.outputs.keras_archive import opened_member

_CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}
_PROGRAM = "import sys; sys.path[:] = {path!r}; from slim2keras.outputs.hdf5_walk import walk; walk(*sys.argv[1:])"


def check_walk(path: Path, member: str = "") -> None:
    """Refuse a file at which HDF5 ends its process; whatever else is wrong with it the reader tells.

    Args:
        path: Of an HDF5 file, or of a zip.
        member: Of the zip.

    Raises:
        ValueError: With the signal.
    """
    program = _PROGRAM.format(path=[str(Path(place or ".").resolve()) for place in sys.path])
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, path.resolve(), member],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode in _CRASHES:
        raise ValueError(f"HDF5 ends the process that reads it ({signal.Signals(-done.returncode).name})")


def walk(path: str, member: str) -> None:
    """Go through every link."""
    if not member:
        _walk(path)
        return
    with zipfile.ZipFile(path) as archive, Path(path).open("rb") as file:
        _walk(opened_member(archive, archive.getinfo(member), file))


def _walk(source: str | BinaryIO) -> None:
    import h5py

    with h5py.File(source, "r") as file:
        file.visititems(lambda name, item: None)  # noqa: ARG005  by these names
