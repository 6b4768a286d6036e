"""Inputs that are led by coverage, to what slim2keras itself parses: each is read, or refused as documented.

``python -m tests.faults.guided TARGET [--runs N] [--seconds N]`` begins with a good file, and ends at the first fault,
whose input it writes into the current directory. It takes atheris: ``pip install atheris``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """What reads a file.

    Attributes:
        kind: Of a good file, a key of ``samples.ALL``.
        name: The file is given.
        module: That is instrumented, with what it imports.
        read: Takes the module and the path.
        allowed: Errors that are documented beside ``Slim2KerasError``.
    """

    kind: str
    name: str
    module: str
    read: Callable[[Any, Path], object]
    allowed: tuple[type[Exception], ...] = ()


def _claims(claims: Any, path: Path) -> None:
    from google.protobuf.message import DecodeError

    from slim2keras.checkpoints.locating import locate_checkpoint

    Path(f"{path.with_suffix('')}.data-00000-of-00001").write_bytes(bytes(64))
    with contextlib.suppress(DecodeError):
        claims.check_claims(locate_checkpoint(path))


def _unpacked(archives: Any, path: Path) -> None:
    with archives.unpacked_archive(path):
        pass


def _opened(reading: Any, path: Path) -> None:
    with reading.open_checkpoint(path.parent):
        pass


TARGETS: Mapping[str, Target] = {
    "index": Target("V2 entries", "a.index", "slim2keras.checkpoints.claims", _claims, (ValueError,)),
    "v1": Target("V1 entries", "net.ckpt", "slim2keras.checkpoints.claims", _claims, (ValueError,)),
    "state": Target("checkpoint state", "checkpoint", "slim2keras.checkpoints.reading", _opened),
    "archive": Target("members of an archive", "net.tar.gz", "slim2keras.files.archives", _unpacked),
    "graph": Target(".pb", "net.pb", "slim2keras.importing.sources", lambda module, path: module.read_graph(path)),
    "meta": Target(
        ".meta fields", "net.meta", "slim2keras.importing.sources", lambda module, path: module.read_graph(path)
    ),
    "keras": Target(
        ".keras", "tiny.keras", "slim2keras.outputs.model_safety", lambda module, path: module.check_model_file(path)
    ),
    "h5": Target(
        ".h5", "tiny.h5", "slim2keras.outputs.model_safety", lambda module, path: module.check_model_file(path)
    ),
    "report": Target(
        "report", "tiny.keras.json", "slim2keras.conversion.reading", lambda module, path: module._read_report(path)
    ),
    "labels": Target(
        "labels.txt", "labels.txt", "slim2keras.data.labels", lambda module, path: module.read_label_names(path)
    ),
    "npz": Target(".npz", "data.npz", "slim2keras.data.listing", lambda module, path: module.list_examples(path)),
    "request": Target(
        "request of a RUN",
        "request.json",
        "slim2keras.trainer.resuming",
        lambda module, path: (module.read_request(path.parent), module._stored_plan(module.RunLayout(path.parent))),
    ),
}


def good_file(target: Target, folder: Path) -> bytes:
    """Content of the file that is begun with."""
    from tests.faults.samples import ALL

    sample = ALL[target.kind]
    sample.make(folder)
    return (folder / sample.damaged).read_bytes()


def reader(target: Target, module: Any, folder: Path) -> Callable[[bytes], None]:
    """What is called with each input."""
    from slim2keras.errors import Slim2KerasError

    path = folder / target.name

    def read(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(Slim2KerasError, *target.allowed):
            target.read(module, path)

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=[*TARGETS])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=300)
    asked = parser.parse_args()
    import atheris

    target = TARGETS[asked.target]
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["slim2keras"]):
        module = importlib.import_module(target.module)
    with tempfile.TemporaryDirectory() as name:
        folders = {part: Path(name) / part for part in ("made", "corpus", "work")}
        for folder in folders.values():
            folder.mkdir()
        (folders["corpus"] / "good").write_bytes(good_file(target, folders["made"]))
        options = [
            f"-atheris_runs={asked.runs}",
            f"-max_total_time={asked.seconds}",
            "-timeout=60",
            "-rss_limit_mb=6144",
        ]
        read = reader(target, module, folders["work"])
        atheris.Setup([sys.argv[0], *options, "-max_len=131072", str(folders["corpus"])], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
