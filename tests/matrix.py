"""Runs the quick tests on each Python and TensorFlow that ``pyproject.toml`` promises, and prints what passed.

Each has an environment of its own in ``.cache/matrix``; see ``make test-matrix``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
DIRECTORY = ROOT / ".cache" / "matrix"
NEWEST_TENSORFLOW = "2.21"
QUICK_TESTS = ("-m", "not slow", "-n", "auto", "--dist", "loadfile")


@dataclass(frozen=True)
class Environment:
    """A Python with a TensorFlow and the tf-keras of the same minor version."""

    name: str
    python: str
    tensorflow: str = NEWEST_TENSORFLOW

    @property
    def interpreter(self) -> str | None:
        """Of this version, where there is one that runs; pyenv has commands for versions that do not."""
        candidates = (
            *sorted(map(str, Path.home().glob(f".pyenv/versions/{self.python}.*/bin/python"))),
            shutil.which(f"python{self.python}"),
        )
        return next((item for item in candidates if item and _succeeds(item, "--version")), None)

    def install(self) -> bool:
        """Whether the package with its tests can be installed, with the newest of all else that TensorFlow allows."""
        pinned = [f"{name}=={self.tensorflow}.*" for name in ("tensorflow", "tf-keras")]
        return _succeeds(self.interpreter, "-m", "venv", DIRECTORY / self.name) and _succeeds(
            self.own_python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[dev,verify,plots]", *pinned
        )

    @property
    def own_python(self) -> Path:
        """The interpreter of the environment."""
        return DIRECTORY / self.name / "bin" / "python"

    def test(self, arguments: list[str]) -> dict[str, int]:
        """How many tests ran, failed, and so on; empty if pytest did not get that far."""
        results = DIRECTORY / f"{self.name}.xml"
        results.unlink(missing_ok=True)
        _succeeds(self.own_python, "-m", "pytest", *QUICK_TESTS, f"--junit-xml={results}", *arguments)
        if not results.exists():
            return {}
        suite = ET.parse(results).find("testsuite")
        assert suite is not None
        return {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}


ENVIRONMENTS = (
    *(Environment(f"py{python}", python) for python in ("3.10", "3.12", "3.13")),
    *(Environment(f"tf{tensorflow}", "3.11", tensorflow) for tensorflow in ("2.16", "2.18", "2.20")),
)


def _succeeds(*command: object) -> bool:
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=False).returncode == 0


def outcome(environment: Environment, arguments: list[str]) -> Iterator[str]:
    """What the table says of an environment: passed, failed, seconds."""
    if environment.interpreter is None:
        yield f"skipped: there is no Python {environment.python}"
        return
    if not environment.install():
        yield "cannot be installed"
        return
    start = time.monotonic()
    counts = environment.test(arguments)
    if not counts:
        yield "pytest ended without a result"
        return
    failed = counts["failures"] + counts["errors"]
    yield from map(str, (counts["tests"] - failed - counts["skipped"], failed, round(time.monotonic() - start)))


def main(only: str, *arguments: str) -> int:
    """Run one environment, or all where ``only`` is empty; what follows goes to pytest."""
    chosen = [item for item in ENVIRONMENTS if only in ("", item.name)]
    if not chosen:
        sys.exit(f"There is no environment {only}: {', '.join(item.name for item in ENVIRONMENTS)}")
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    table = Table("environment", "Python", "TensorFlow", "passed", "failed", "seconds", box=None)
    rows = [(item, tuple(outcome(item, list(arguments)))) for item in chosen]
    for item, cells in rows:
        table.add_row(item.name, item.python, item.tensorflow, *cells)
    Console().print(table)
    return int(any(not cells[0].startswith("skipped") and cells[1:2] != ("0",) for _, cells in rows))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
