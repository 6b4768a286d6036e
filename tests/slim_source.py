"""Fetches the last ``research/slim`` into a directory of the checkout, and prints where it lies; see the Makefile."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from slim2keras.slim.runtime import DOWNLOAD_SLIM, slim_directory


def fetch(directory: Path) -> Path | None:
    """The directory ``research/slim``, fetched if it is not there yet; ``None`` where pip cannot fetch it."""
    source = directory / "slim"
    if not source.exists():
        command = [sys.executable, "-m", *DOWNLOAD_SLIM.split(), "--quiet", "--dest", str(directory)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        (archive,) = directory.glob("*.tar.gz")
        with slim_directory(archive) as unpacked:
            shutil.copytree(unpacked, directory / "draft", dirs_exist_ok=True)
        (directory / "draft").rename(source)
    return source


if __name__ == "__main__":
    found = fetch(Path(sys.argv[1]))
    sys.stdout.write(str(found.absolute()) if found else "")
    if not found:
        sys.stderr.write(f"Offline: what needs research/slim is skipped; `{DOWNLOAD_SLIM}` did not fetch it.\n")
