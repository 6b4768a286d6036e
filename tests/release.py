"""Checks what would be released: sdist and wheel, and the wheel without extras in a clean environment.

``make release-check``; the distributions it has checked lie in ``.cache/release``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = ROOT / ".cache" / "release"
PACKAGE = "slim2keras"
SECTION = re.compile(r"^## \[(?P<version>\d+\.\d+\.\d+)\] - (?P<date>\d{4}-\d\d-\d\d)$", re.MULTILINE)

_WRITE_ARCHIVE = """
import sys, tarfile
import numpy as np, tensorflow as tf
from slim2keras.nets.spec import NetSpec

v1, name = tf.compat.v1, sys.argv[1].partition("_2016")[0]
with tf.Graph().as_default(), v1.Session() as session:
    for variable in NetSpec.make(name, None, {}).trace().variables():
        v1.get_variable(variable.name, variable.shape, initializer=v1.constant_initializer(0.01))
    session.run(v1.global_variables_initializer())
    v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, f"{name}.ckpt", write_meta_graph=False)
with tarfile.open(sys.argv[1], "w:gz", compresslevel=1) as archive:
    archive.add(f"{name}.ckpt")
"""


class ReleaseError(Exception):
    """What is not as it has to be."""


def package_version() -> str:
    """Of the source."""
    return re.findall(r'^__version__ = "(.+)"$', _text(f"{PACKAGE}/version.py"), re.MULTILINE)[0]


def changelog_releases() -> list[tuple[str, str]]:
    """Version and date of each section of the changelog, as they stand."""
    return SECTION.findall(_text("CHANGELOG.md"))


def readme_command() -> list[str]:
    """The first command of the README after the installation."""
    return re.findall(r"^slim2keras convert .*$", _text("README.md"), re.MULTILINE)[0].split()


def version_faults() -> Iterator[str]:
    """Where the version differs from that of the package: changelog, citation, tag of this commit."""
    version = package_version()
    newest, date = changelog_releases()[0]
    if newest != version:
        yield f"the newest section of CHANGELOG.md is {newest}, and the package {version}"
    citation = _text("CITATION.cff")
    if f"\nversion: {version}\n" not in citation or f'\ndate-released: "{date}"\n' not in citation:
        yield f"CITATION.cff is not of {version}, {date}"
    tags = _run(["git", "tag", "--points-at", "HEAD"], ROOT).stdout.split()
    if tags and f"v{version}" not in tags:
        yield f"this commit has the tag {', '.join(tags)}, and not v{version}"


def build() -> tuple[Path, Path]:
    """An sdist, and the wheel that is built of it, in environments of their own."""
    shutil.rmtree(DISTRIBUTIONS, ignore_errors=True)
    _output(sys.executable, "-m", "build", "--outdir", DISTRIBUTIONS, ROOT)
    (sdist,), (wheel,) = DISTRIBUTIONS.glob("*.tar.gz"), DISTRIBUTIONS.glob("*.whl")
    return sdist, wheel


def wheel_faults(wheel: Path) -> Iterator[str]:
    """A file too many or too few, or another one than in the source; metadata that an index would refuse."""
    source = {str(path.relative_to(ROOT)): path.read_bytes() for path in _package_files()}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        found = {name: archive.read(name) for name in names}
        (metadata,) = (archive.read(name) for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    yield from (f"{name} is not in the wheel" for name in source.keys() - found.keys())
    yield from (f"{name} is in the wheel, and not of the package" for name in found.keys() - source.keys())
    both = source.keys() & found.keys()
    yield from (f"{name} is another in the wheel" for name in both if source[name] != found[name])
    told = Metadata.from_email(metadata, validate=True)
    if str(told.version) != package_version() or told.description != _text("README.md"):
        yield "the metadata of the wheel are not those of the source"


def sdist_faults(sdist: Path) -> Iterator[str]:
    """Tests without what they need, caches; and what a packager looks for."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    yield from (f"{name} is in the sdist" for name in sorted(names) if re.search(r"^(tests|docs)/|__pycache__", name))
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", f"{PACKAGE}/py.typed"}
    yield from (f"{name} is not in the sdist" for name in wanted - names)


def installed_faults(wheel: Path, folder: Path) -> Iterator[str]:
    """What a user meets who installs the wheel without extras: commands that do not run, errors that do not help."""
    python = folder / "environment" / "bin" / "python"
    _output(sys.executable, "-m", "venv", folder / "environment")
    _output(python, "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", ROOT / "constraints.txt", wheel)
    work = folder / "work"
    work.mkdir()
    convert = readme_command()
    _output(python, "-c", _WRITE_ARCHIVE, convert[2], cwd=work)
    run = [str(python.with_name(PACKAGE))]
    for command in (["--help"], ["nets"], convert[1:], ["inspect", convert[2]], ["verify", convert[-1]]):
        done = _run([*run, *command], work)
        if done.returncode:
            yield f"`{PACKAGE} {' '.join(command)}` ended with {done.returncode}: {done.stderr}"
    for extra, command in _without(convert):
        done = _run([*run, *command], work)
        if done.returncode != 2 or f"{PACKAGE}[{extra}]" not in done.stderr or "Traceback" in done.stderr:
            yield f"`{PACKAGE} {' '.join(command)}` does not ask for [{extra}], {done.returncode}: {done.stderr}"
    code = f"import {PACKAGE}, importlib.metadata as m; assert {PACKAGE}.__version__ == m.version('{PACKAGE}')"
    _output(python, "-c", code, cwd=work)


def _without(convert: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """An extra, and a command that needs it; Keras 3 comes with TensorFlow."""
    archive, model = convert[2], convert[-1]
    yield "verify", ["verify", archive, model]
    yield "tflite", ["convert", archive, "-o", "model.tflite"]
    yield "onnx", ["convert", archive, "-o", "model.onnx"]
    yield "plots", ["doctor", archive, "--data", ".", "--plot", "drift.png"]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _package_files() -> Iterator[Path]:
    for path in (ROOT / PACKAGE).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _run(command: Sequence[object], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that sees no package but those of its own environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    arguments = [*map(str, command)]
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _output(*command: object, cwd: Path = ROOT) -> str:
    done = _run(command, cwd)
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"
        raise ReleaseError(f"{' '.join(map(str, command[:4]))} ended with {done.returncode}:\n{said}")
    return done.stdout


def faults() -> Iterator[str]:
    """Everything that is not as it has to be."""
    yield from version_faults()
    sdist, wheel = build()
    yield from sdist_faults(sdist)
    yield from wheel_faults(wheel)
    with tempfile.TemporaryDirectory() as folder:
        yield from installed_faults(wheel, Path(folder))


if __name__ == "__main__":
    found = list(faults())
    sys.exit("\n".join(found) if found else 0)
